//! Facts of API keys as entities of our own kinds. Nothing in them is indexed: they are found by
//! name.
//!
//! What is not understood here must not be taken for permission: a property that this version does
//! not know may be one that forbids something.

use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{Entity, EntityResult, Key, Value};
use jiff::Timestamp;

use super::entity::KEY_HASH;
use super::written;
use crate::api_key::SecretHash;
use crate::key_store::{Defect, Facts, FactsState, Revocation, StoredFacts, Version};

const NOT_BEFORE: &str = "not_before";
const EXPIRES_AT: &str = "expires_at";
const REVOKED_AT: &str = "revoked_at";
const REVOKED_REASON: &str = "revoked_reason";
const REPLACED_BY: &str = "replaced_by";
const REPLACES: &str = "replaces";
const CREATED_BY: &str = "created_by";
const CHANGED_BY: &str = "changed_by";
const CHANGED_AT: &str = "changed_at";
const NOTE: &str = "note";

/// Whose facts they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// They have to say which secret they speak of.
    IntegrationKey,
    /// Their name says it.
    OrganizationKey,
}

/// What a lookup or a query found of facts.
pub(super) fn of_result(found: Option<EntityResult>, of: Of) -> FactsState {
    let Some(EntityResult { entity, version, .. }) = found else { return FactsState::None };
    let version = Version(version);
    match load(entity.unwrap_or_default(), of) {
        Ok(facts) => FactsState::Readable(Box::new(StoredFacts { facts, version })),
        Err(defect) => FactsState::Unreadable { defect, version },
    }
}

/// The entity of some facts; what they do not say stays out.
pub(super) fn entity(key: Key, facts: &Facts) -> Entity {
    let text = |text: &Option<String>| text.as_deref().map(written::text);
    let time = |time: Option<Timestamp>| time.map(written::time);
    let revoked = facts.revoked.as_ref();
    let properties = [
        (KEY_HASH, facts.key_hash.map(|hash| written::text(&hash.to_hex()))),
        (NOT_BEFORE, time(facts.not_before)),
        (EXPIRES_AT, time(facts.expires_at)),
        (REVOKED_AT, time(revoked.map(|revocation| revocation.at))),
        (REVOKED_REASON, revoked.map(|revocation| written::text(&revocation.reason))),
        (REPLACED_BY, text(&facts.replaced_by)),
        (REPLACES, text(&facts.replaces)),
        (CREATED_BY, text(&facts.created_by)),
        (CHANGED_BY, text(&facts.changed_by)),
        (CHANGED_AT, time(facts.changed_at)),
        (NOTE, text(&facts.note)),
    ];
    let properties = properties.into_iter().filter_map(|(name, value)| {
        let value =
            Value { value_type: Some(value?), exclude_from_indexes: true, ..Value::default() };
        Some((name.to_owned(), value))
    });
    Entity { key: Some(key), properties: properties.collect() }
}

fn load(entity: Entity, of: Of) -> Result<Facts, Defect> {
    let mut facts = Facts::default();
    let (mut revoked_at, mut revoked_reason) = (None, None);
    for (name, value) in entity.properties {
        let value = match value.value_type {
            None | Some(ValueType::NullValue(_)) => None,
            Some(value) => Some(value),
        };
        match name.as_str() {
            KEY_HASH => {
                facts.key_hash = text(value, KEY_HASH)?
                    .map(|hex| SecretHash::from_hex(&hex).ok_or(Defect::PropertyType(KEY_HASH)))
                    .transpose()?;
            }
            NOT_BEFORE => facts.not_before = time(value.as_ref(), NOT_BEFORE)?,
            EXPIRES_AT => facts.expires_at = time(value.as_ref(), EXPIRES_AT)?,
            REVOKED_AT => revoked_at = time(value.as_ref(), REVOKED_AT)?,
            REVOKED_REASON => revoked_reason = text(value, REVOKED_REASON)?,
            REPLACED_BY => facts.replaced_by = text(value, REPLACED_BY)?,
            REPLACES => facts.replaces = text(value, REPLACES)?,
            CREATED_BY => facts.created_by = text(value, CREATED_BY)?,
            CHANGED_BY => facts.changed_by = text(value, CHANGED_BY)?,
            CHANGED_AT => facts.changed_at = time(value.as_ref(), CHANGED_AT)?,
            NOTE => facts.note = text(value, NOTE)?,
            unknown => return Err(Defect::unknown_property(unknown)),
        }
    }
    if of == Of::IntegrationKey && facts.key_hash.is_none() {
        return Err(Defect::Missing(KEY_HASH));
    }
    facts.revoked =
        revoked_at.map(|at| Revocation { at, reason: revoked_reason.unwrap_or_default() });
    Ok(facts)
}

fn text(value: Option<ValueType>, name: &'static str) -> Result<Option<String>, Defect> {
    match value {
        None => Ok(None),
        Some(ValueType::StringValue(text)) => Ok(Some(text)),
        Some(_) => Err(Defect::PropertyType(name)),
    }
}

fn time(value: Option<&ValueType>, name: &'static str) -> Result<Option<Timestamp>, Defect> {
    match value {
        None => Ok(None),
        Some(ValueType::TimestampValue(time)) => Timestamp::new(time.seconds, time.nanos)
            .map(Some)
            .map_err(|_| Defect::PropertyType(name)),
        Some(_) => Err(Defect::PropertyType(name)),
    }
}
