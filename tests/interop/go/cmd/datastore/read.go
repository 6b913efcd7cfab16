package main

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/datastore"
)

type (
	integrationRow struct {
		ID string `json:"id"`
		integration
	}
	integrationKeyRow struct {
		IntegrationID string `json:"integration_id"`
		KeyID         string `json:"key_id"`
		integrationKey
	}
	organizationRow struct {
		Key string `json:"key"`
		organization
	}
	// organizationKeyRow identifies a key by hashes: plain keys are not printed.
	organizationKeyRow struct {
		Organization string    `json:"organization"`
		NameSHA256   string    `json:"name_sha256"`
		KeySHA256    string    `json:"key_sha256"`
		CreatedAt    time.Time `json:"created_at"`
	}
	contents struct {
		Integrations     []integrationRow     `json:"integrations"`
		IntegrationKeys  []integrationKeyRow  `json:"integration_keys"`
		Organizations    []organizationRow    `json:"organizations"`
		OrganizationKeys []organizationKeyRow `json:"organization_keys"`
	}
)

// read loads every entity of the four kinds and fails if any is odd.
func read(ctx context.Context, s store) (any, error) {
	var all contents
	var err error
	all.Integrations, err = rows(ctx, s.client, s.integrationNS, integrationKind,
		func(key *datastore.Key, e integration) integrationRow {
			return integrationRow{key.Name, e}
		})
	if err != nil {
		return nil, err
	}
	all.IntegrationKeys, err = rows(ctx, s.client, s.integrationNS, integrationKeyKind,
		func(key *datastore.Key, e integrationKey) integrationKeyRow {
			return integrationKeyRow{parentName(key), key.Name, e}
		})
	if err != nil {
		return nil, err
	}
	all.Organizations, err = rows(ctx, s.client, s.platformNS, organizationKind,
		func(key *datastore.Key, e organization) organizationRow {
			return organizationRow{key.Name, e}
		})
	if err != nil {
		return nil, err
	}
	all.OrganizationKeys, err = rows(ctx, s.client, s.platformNS, organizationKeyKind,
		func(key *datastore.Key, e organizationKey) organizationKeyRow {
			return organizationKeyRow{parentName(key), sha256Hex(key.Name), sha256Hex(e.Key), e.CreatedAt}
		})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// rows is never nil, so that no entity at all reads as [].
func rows[Entity, Row any](
	ctx context.Context, client *datastore.Client, namespace, kind string,
	row func(*datastore.Key, Entity) Row,
) ([]Row, error) {
	var entities []Entity
	keys, err := client.GetAll(ctx, datastore.NewQuery(kind).Namespace(namespace), &entities)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	rows := make([]Row, len(keys))
	for i, key := range keys {
		rows[i] = row(key, entities[i])
	}
	return rows, nil
}
