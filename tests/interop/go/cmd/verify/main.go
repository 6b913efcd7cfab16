// Verify judges tokens as a Go service does: go-jose, with the keys from
// go-oidc's remote key set.
//
//	verify <jwks-url> < cases.json > verdicts.json
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// fetchTimeout bounds one fetch of the key set: go-oidc sets no limit itself.
const fetchTimeout = 10 * time.Second

// algorithms are all that are allowed: go-oidc leaves the choice to its caller.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

type testCase struct {
	Name     string `json:"name"`
	Token    string `json:"token"`
	Audience string `json:"audience"`
	Issuer   string `json:"issuer"`
}

// verdict keeps header and claims as raw JSON, so that no number is rounded.
type verdict struct {
	Name     string          `json:"name"`
	Accepted bool            `json:"accepted"`
	Header   json.RawMessage `json:"header"`
	Claims   json.RawMessage `json:"claims"`
	Error    *string         `json:"error"`
}

// errNoKeySet marks a failure that says nothing about the token.
var errNoKeySet = errors.New("no key set")

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: verify <jwks-url>")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func run(jwksURL string, in io.Reader, out io.Writer) error {
	var cases []testCase
	if err := json.NewDecoder(in).Decode(&cases); err != nil {
		return fmt.Errorf("reading the cases: %w", err)
	}
	ctx := oidc.ClientContext(context.Background(), &http.Client{Timeout: fetchTimeout})
	keys := oidc.NewRemoteKeySet(ctx, jwksURL)

	verdicts := make([]verdict, 0, len(cases))
	for _, c := range cases {
		// go-jose skips a check whose expected value is empty.
		if c.Audience == "" || c.Issuer == "" {
			return fmt.Errorf("case %q lacks an audience or an issuer", c.Name)
		}
		v := verdict{Name: c.Name, Header: header(c.Token)}
		claims, err := judge(ctx, keys, c)
		switch {
		case errors.Is(err, errNoKeySet):
			return err
		case err != nil:
			text := err.Error()
			v.Error = &text
		default:
			v.Accepted, v.Claims = true, claims
		}
		verdicts = append(verdicts, v)
	}
	return json.NewEncoder(out).Encode(verdicts)
}

// judge returns the claims of a token that passes every check.
func judge(ctx context.Context, keys oidc.KeySet, c testCase) (json.RawMessage, error) {
	token, err := jwt.ParseSigned(c.Token, algorithms)
	if err != nil {
		return nil, err
	}
	// go-oidc tries every key for a token that names none.
	if token.Headers[0].KeyID == "" {
		return nil, errors.New("no kid in the header")
	}
	payload, err := keys.VerifySignature(ctx, c.Token)
	if err != nil {
		// go-oidc has no type for a failed fetch, only this prefix.
		if strings.HasPrefix(err.Error(), "fetching keys ") {
			return nil, fmt.Errorf("%w: %w", errNoKeySet, err)
		}
		return nil, err
	}
	var claims jwt.Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, err
	}
	// go-jose accepts a token that never expires.
	if claims.Expiry == nil {
		return nil, errors.New("no exp claim")
	}
	expected := jwt.Expected{Issuer: c.Issuer, AnyAudience: jwt.Audience{c.Audience}}
	if err := claims.Validate(expected); err != nil {
		return nil, err
	}
	return payload, nil
}

// header decodes the header of any token, trusted or not; nil where there is none.
func header(token string) json.RawMessage {
	segment, _, _ := strings.Cut(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil || !json.Valid(raw) {
		return nil
	}
	return raw
}
