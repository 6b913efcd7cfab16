// Watch verifies token after token as a Go service does that runs for long:
// go-jose, with go-oidc's remote key sets and the caches that they keep.
//
//	watch <jwks-url>... < tokens > figures.json
//
// One token a line; each is verified with the keys of each URL.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// fetchTimeout bounds one fetch of the key set: go-oidc sets no limit itself.
const fetchTimeout = 10 * time.Second

type figures struct {
	Verified int      `json:"verified"`
	Failures []string `json:"failures"`
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: watch <jwks-url>...")
		os.Exit(2)
	}
	ctx := oidc.ClientContext(context.Background(), &http.Client{Timeout: fetchTimeout})
	var sets []oidc.KeySet
	for _, url := range os.Args[1:] {
		sets = append(sets, oidc.NewRemoteKeySet(ctx, url))
	}
	result := figures{Failures: []string{}}
	tokens := bufio.NewScanner(os.Stdin)
	for tokens.Scan() {
		for _, keys := range sets {
			if _, err := keys.VerifySignature(ctx, tokens.Text()); err != nil {
				result.Failures = append(result.Failures, err.Error())
				continue
			}
			result.Verified++
		}
	}
	if err := tokens.Err(); err != nil {
		fmt.Fprintln(os.Stderr, "watch:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		os.Exit(1)
	}
}
