// Datastore reads, validates and writes API keys as the Go tools do, with the
// official client and its strict loading: a property that a struct does not
// have, or of another type, is an error. The client obeys DATASTORE_EMULATOR_HOST.
//
//	datastore read                 -project P
//	datastore validate-integration -project P < api-key
//	datastore validate-autojoin    -project P < api-key
//	datastore write-integration    -project P -integration-id X
//	datastore write-organization   -project P -organization X
//
// The answer is one JSON object on stdout. An API key is read from stdin as it
// stands: a newline at its end would belong to it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"cloud.google.com/go/datastore"
)

// deadline bounds a whole command: the client tries again without end while the
// store is unavailable.
const deadline = 20 * time.Second

// A command answers with what is printed as JSON.
type command func(context.Context, store) (any, error)

func main() {
	answer, err := run(os.Args[1:], os.Stdin)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "datastore:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader) (answer any, err error) {
	// The client panics on an integer where the struct has a *float64.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the client panicked: %v", p)
		}
	}()

	if len(args) == 0 {
		return nil, errors.New("no command given")
	}
	flags := flag.NewFlagSet(args[0], flag.ExitOnError)
	project := flags.String("project", "", "project `id` (required)")
	var s store
	flags.StringVar(&s.platformNS, "platform-ns", "platform-credentials", "namespace of organizations")
	flags.StringVar(&s.integrationNS, "integration-ns", "client-integration", "namespace of integrations")

	var do command
	switch args[0] {
	case "read":
		do = read
	case "validate-integration":
		do = withAPIKey(stdin, validateIntegration)
	case "validate-autojoin":
		do = withAPIKey(stdin, validateAutojoin)
	case "write-integration":
		do = writeIntegration(flags)
	case "write-organization":
		do = writeOrganization(flags)
	default:
		return nil, fmt.Errorf("unknown command %q", args[0])
	}
	flags.Parse(args[1:]) // exits on error
	if *project == "" {
		return nil, errors.New("-project is required")
	}

	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if s.client, err = datastore.NewClient(ctx, *project); err != nil {
		return nil, err
	}
	defer s.client.Close()
	return do(ctx, s)
}

func withAPIKey(stdin io.Reader, validate func(context.Context, store, string) (any, error)) command {
	return func(ctx context.Context, s store) (any, error) {
		apiKey, err := io.ReadAll(stdin)
		if err != nil {
			return nil, err
		}
		return validate(ctx, s, string(apiKey))
	}
}
