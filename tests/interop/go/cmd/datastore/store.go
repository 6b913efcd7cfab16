package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"

	"cloud.google.com/go/datastore"
)

const (
	integrationKind     = "IntegrationMeta"
	integrationKeyKind  = "IntegrationAPIKey"
	organizationKind    = "Organization"
	organizationKeyKind = "APIKey"

	statusActive = "active"
)

// The structs have exactly the properties that the Go tools know.
type (
	integration struct {
		CreatedAt   time.Time `datastore:"created_at" json:"created_at"`
		Description string    `datastore:"description" json:"description"`
	}
	integrationKey struct {
		KeyHash     string    `datastore:"key_hash" json:"key_hash"`
		CreatedAt   time.Time `datastore:"created_at" json:"created_at"`
		Description string    `datastore:"description" json:"description"`
		Status      string    `datastore:"status" json:"status"`
		Tier        int64     `datastore:"tier" json:"tier"`
	}
	organization struct {
		Name                  string    `datastore:"name" json:"name"`
		Email                 string    `datastore:"email" json:"email"`
		CreatedAt             time.Time `datastore:"created_at" json:"created_at"`
		ProbabilityMultiplier *float64  `datastore:"probability_multiplier" json:"probability_multiplier"`
	}
	// organizationKey holds a plain API key, so it has no JSON form.
	organizationKey struct {
		CreatedAt time.Time `datastore:"created_at"`
		Key       string    `datastore:"key"`
	}
)

type store struct {
	client                    *datastore.Client
	platformNS, integrationNS string
}

func (s store) integration(id string) *datastore.Key {
	return nameKey(s.integrationNS, integrationKind, id, nil)
}

func (s store) integrationKey(id, keyID string) *datastore.Key {
	return nameKey(s.integrationNS, integrationKeyKind, keyID, s.integration(id))
}

func (s store) organization(name string) *datastore.Key {
	return nameKey(s.platformNS, organizationKind, name, nil)
}

func (s store) organizationKey(name, apiKey string) *datastore.Key {
	return nameKey(s.platformNS, organizationKeyKind, apiKey, s.organization(name))
}

func nameKey(namespace, kind, name string, parent *datastore.Key) *datastore.Key {
	key := datastore.NameKey(kind, name, parent)
	key.Namespace = namespace
	return key
}

// parentName is empty for a key without a parent and for a numbered parent.
func parentName(key *datastore.Key) string {
	if key.Parent == nil {
		return ""
	}
	return key.Parent.Name
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// newSecret is also the form of a whole API key of an organization.
func newSecret() string {
	return base64.RawURLEncoding.EncodeToString(randomBytes(32))
}

func newKeyID() string {
	return "ki_" + hex.EncodeToString(randomBytes(8))
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
