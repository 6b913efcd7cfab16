package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"
)

type writeAnswer struct {
	APIKey string `json:"api_key"`
}

func writeIntegration(flags *flag.FlagSet) command {
	id := flags.String("integration-id", "", "integration `id` (required)")
	keyID := flags.String("key-id", "", "key `id` with its ki_ prefix (default: a new one)")
	description := flags.String("description", "", "description of the integration")
	keyDescription := flags.String("key-description", "", "description of the key")
	tier := flags.Int64("tier", 0, "tier of the key")

	return func(ctx context.Context, s store) (any, error) {
		if *id == "" {
			return nil, errors.New("-integration-id is required")
		}
		if *keyID == "" {
			*keyID = newKeyID()
		}
		secret, now := newSecret(), time.Now().UTC()
		meta := integration{CreatedAt: now, Description: *description}
		if _, err := s.client.Put(ctx, s.integration(*id), &meta); err != nil {
			return nil, err
		}
		key := integrationKey{
			KeyHash:     sha256Hex(secret),
			CreatedAt:   now,
			Description: *keyDescription,
			Status:      statusActive,
			Tier:        *tier,
		}
		if _, err := s.client.Put(ctx, s.integrationKey(*id, *keyID), &key); err != nil {
			return nil, err
		}
		return writeAnswer{fmt.Sprintf("mlabk.cii_%s.%s.%s", *id, *keyID, secret)}, nil
	}
}

func writeOrganization(flags *flag.FlagSet) command {
	name := flags.String("organization", "", "`name` of the organization (required)")
	email := flags.String("email", "", "its e-mail address")

	return func(ctx context.Context, s store) (any, error) {
		if *name == "" {
			return nil, errors.New("-organization is required")
		}
		apiKey, now := newSecret(), time.Now().UTC()
		multiplier := 1.0
		org := organization{Name: *name, Email: *email, CreatedAt: now, ProbabilityMultiplier: &multiplier}
		if _, err := s.client.Put(ctx, s.organization(*name), &org); err != nil {
			return nil, err
		}
		key := organizationKey{CreatedAt: now, Key: apiKey}
		if _, err := s.client.Put(ctx, s.organizationKey(*name, apiKey), &key); err != nil {
			return nil, err
		}
		return writeAnswer{apiKey}, nil
	}
}
