package main

import (
	"context"
	"errors"
	"strings"

	"cloud.google.com/go/datastore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

type integrationAnswer struct {
	Valid         bool   `json:"valid"`
	Reason        string `json:"reason"`
	IntegrationID string `json:"integration_id"`
	KeyID         string `json:"key_id"`
	Tier          *int64 `json:"tier"` // null unless valid
}

func validateIntegration(ctx context.Context, s store, apiKey string) (any, error) {
	id, keyID, secret, err := splitAPIKey(apiKey)
	if err != nil {
		return integrationAnswer{Reason: err.Error()}, nil
	}
	answer := integrationAnswer{IntegrationID: id, KeyID: keyID}
	var key integrationKey
	err = s.client.Get(ctx, s.integrationKey(id, keyID), &key)
	switch {
	case err != nil && !concernsKey(err):
		return nil, err
	case err != nil:
		answer.Reason = err.Error()
	case key.Status != statusActive:
		answer.Reason = "the status is not active"
	case key.KeyHash != sha256Hex(secret):
		answer.Reason = "the secret does not match"
	default:
		answer.Valid, answer.Tier = true, &key.Tier
	}
	return answer, nil
}

// splitAPIKey takes mlabk.cii_<integration id>.ki_<suffix>.<secret> apart; the
// key id keeps its prefix. Lengths are in bytes.
func splitAPIKey(apiKey string) (id, keyID, secret string, err error) {
	if len(apiKey) > 300 {
		return "", "", "", errors.New("longer than 300 bytes")
	}
	parts := strings.Split(apiKey, ".")
	if len(parts) != 4 || parts[0] != "mlabk" {
		return "", "", "", errors.New("not of the form mlabk.x.y.z")
	}
	id, isIntegration := strings.CutPrefix(parts[1], "cii_")
	keyID, secret = parts[2], parts[3]
	switch {
	case !isIntegration || len(id) < 1 || len(id) > 64:
		err = errors.New("not an integration id")
	case !strings.HasPrefix(keyID, "ki_") || len(keyID) < 4 || len(keyID) > 64:
		err = errors.New("not a key id")
	case len(secret) < 1 || len(secret) > 128:
		err = errors.New("not a secret")
	}
	return id, keyID, secret, err
}

type autojoinAnswer struct {
	Valid        bool   `json:"valid"`
	Organization string `json:"organization"`
	Reason       string `json:"reason"`
}

func validateAutojoin(ctx context.Context, s store, apiKey string) (any, error) {
	query := datastore.NewQuery(organizationKeyKind).Namespace(s.platformNS).
		FilterField("key", "=", apiKey).Limit(1)
	var entities []organizationKey
	keys, err := s.client.GetAll(ctx, query, &entities)
	switch {
	case err != nil && !concernsKey(err):
		return nil, err
	case err != nil:
		return autojoinAnswer{Reason: err.Error()}, nil
	case len(keys) == 0:
		return autojoinAnswer{Reason: "no such API key"}, nil
	case parentName(keys[0]) == "":
		return autojoinAnswer{Reason: "the API key is under no named organization"}, nil
	}
	return autojoinAnswer{Valid: true, Organization: parentName(keys[0])}, nil
}

// concernsKey tells an API key that the store or the client refuses from a store
// that cannot answer. The client's own errors (no such entity, a field that does
// not load, a value too long for an index) carry no status, so their code is Unknown.
func concernsKey(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	code := status.Code(err)
	return code == codes.Unknown || code == codes.InvalidArgument
}
