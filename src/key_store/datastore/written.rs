//! Entities as we write them: those of the four kinds exactly as the Go tools do.

use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{Entity, Key, Value};
use gcloud_sdk::prost_types;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::entity::{
    CREATED_AT, DESCRIPTION, EMAIL, KEY, KEY_HASH, Keys, NAME, PROBABILITY_MULTIPLIER, STATUS, TIER,
};
use crate::key_store::{
    Description, IntegrationKeyRow, IntegrationRow, KeyStatus, NewIntegration, NewIntegrationKey,
    NewOrganization, NewOrganizationKey, OrganizationRow,
};

pub(super) fn new_integration(keys: &Keys, new: &NewIntegration) -> Entity {
    entity(
        keys.integration(new.id.as_str()),
        [
            (CREATED_AT, Some(time(new.created_at))),
            (DESCRIPTION, Some(text(new.description.as_str()))),
        ],
    )
}

pub(super) fn new_integration_key(keys: &Keys, new: &NewIntegrationKey) -> Entity {
    entity(
        keys.integration_key(new.integration_id.as_str(), new.key_id.as_str()),
        [
            (KEY_HASH, Some(text(&new.secret_hash.to_hex()))),
            (CREATED_AT, Some(time(new.created_at))),
            (DESCRIPTION, Some(text(new.description.as_str()))),
            (STATUS, Some(text(KeyStatus::ACTIVE))),
            (TIER, Some(ValueType::IntegerValue(new.tier))),
        ],
    )
}

pub(super) fn new_organization(keys: &Keys, new: &NewOrganization) -> Entity {
    let multiplier = ValueType::DoubleValue(new.probability_multiplier);
    entity(
        keys.organization(new.name.as_str()),
        [
            (NAME, Some(text(new.name.as_str()))),
            (EMAIL, Some(text(&new.email))),
            (CREATED_AT, Some(time(new.created_at))),
            (PROBABILITY_MULTIPLIER, Some(multiplier)),
        ],
    )
}

pub(super) fn new_organization_key(keys: &Keys, new: &NewOrganizationKey) -> Entity {
    entity(
        keys.organization_key(new.organization.as_str(), &new.key),
        [
            (CREATED_AT, Some(time(new.created_at))),
            (KEY, Some(text(new.key.reveal().expose_secret()))),
        ],
    )
}

/// A row that was read, as it is to stand. What was missing stays out.
pub(super) fn integration(keys: &Keys, row: &IntegrationRow) -> Entity {
    standing(
        keys.integration(&row.id),
        [(CREATED_AT, row.created_at.map(time)), (DESCRIPTION, Some(text(&row.description)))],
    )
}

pub(super) fn integration_key(keys: &Keys, row: &IntegrationKeyRow) -> Entity {
    standing(
        keys.integration_key(&row.integration_id, &row.key_id),
        [
            (KEY_HASH, Some(text(&row.key_hash))),
            (CREATED_AT, row.created_at.map(time)),
            (DESCRIPTION, Some(text(&row.description))),
            (STATUS, Some(text(&row.status))),
            (TIER, Some(ValueType::IntegerValue(row.tier))),
        ],
    )
}

pub(super) fn organization(keys: &Keys, row: &OrganizationRow) -> Entity {
    standing(
        keys.organization(&row.name),
        [
            (NAME, Some(text(&row.name))),
            (EMAIL, Some(text(&row.email))),
            (CREATED_AT, row.created_at.map(time)),
            (PROBABILITY_MULTIPLIER, row.probability_multiplier.map(ValueType::DoubleValue)),
        ],
    )
}

pub(super) fn organization_key(key: Key, api_key: &str, created_at: Option<Timestamp>) -> Entity {
    entity(key, [(CREATED_AT, created_at.map(time)), (KEY, Some(text(api_key)))])
}

/// Whether a stored entity is the very one that was to be written.
pub(super) fn is_same(stored: &Entity, written: &Entity) -> bool {
    let value = |entity: &Entity, name: &str| {
        entity.properties.get(name).and_then(|value| value.value_type.clone())
    };
    stored.properties.len() == written.properties.len()
        && written.properties.keys().all(|name| value(stored, name) == value(written, name))
}

/// A record that stands there already, with what it holds that no index can.
fn standing<const N: usize>(key: Key, properties: [(&str, Option<ValueType>); N]) -> Entity {
    let mut entity = entity(key, properties);
    for value in entity.properties.values_mut() {
        value.exclude_from_indexes = matches!(
            &value.value_type,
            Some(ValueType::StringValue(text)) if text.len() > Description::MAX_BYTES
        );
    }
    entity
}

/// Indexed like those of the Go tools.
fn entity<const N: usize>(key: Key, properties: [(&str, Option<ValueType>); N]) -> Entity {
    let properties = properties.into_iter().filter_map(|(name, value)| {
        let value = Value { value_type: Some(value?), ..Value::default() };
        Some((name.to_owned(), value))
    });
    Entity { key: Some(key), properties: properties.collect() }
}

pub(super) fn text(text: &str) -> ValueType {
    ValueType::StringValue(text.to_owned())
}

/// Datastore keeps microseconds; what it would drop is dropped here, so that reading back compares.
pub(super) fn time(time: Timestamp) -> ValueType {
    let micros = time.as_microsecond();
    ValueType::TimestampValue(prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default(),
    })
}
