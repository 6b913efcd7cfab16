//! Entities as operators see them: whatever stands there, and what is wrong with it.

use std::collections::HashMap;

use gcloud_sdk::google::datastore::v1::key::PathElement;
use gcloud_sdk::google::datastore::v1::key::path_element::IdType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{Entity, EntityResult, Key, Value};
use gcloud_sdk::prost::Message as _;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use super::entity::{
    CREATED_AT, DESCRIPTION, EMAIL, INTEGRATION_KEY, INTEGRATION_KIND, KEY, KEY_HASH, NAME,
    ORGANIZATION_KEY, ORGANIZATION_KIND, PROBABILITY_MULTIPLIER, PropertyType, STATUS, Schema,
    TIER,
};
use crate::api_key::SecretHash;
use crate::key_store::{
    Defect, FactsState, IntegrationKeyRow, IntegrationRow, Locator, OrganizationKeyRow,
    OrganizationRow, Version,
};

const INTEGRATION: &Schema = &[(CREATED_AT, PropertyType::Time), (DESCRIPTION, PropertyType::Text)];

const ORGANIZATION: &Schema = &[
    (NAME, PropertyType::Text),
    (EMAIL, PropertyType::Text),
    (CREATED_AT, PropertyType::Time),
    (PROBABILITY_MULTIPLIER, PropertyType::Number),
];

pub(super) fn integration(result: EntityResult) -> IntegrationRow {
    let (path, mut seen) = inspect(result.entity, INTEGRATION);
    IntegrationRow {
        id: own_name(&path, &mut seen.defects),
        description: seen.text(DESCRIPTION),
        created_at: seen.time(CREATED_AT),
        defects: seen.defects,
        version: Version(result.version),
    }
}

/// Without its facts.
pub(super) fn integration_key(result: EntityResult) -> IntegrationKeyRow {
    let (path, mut seen) = inspect(result.entity, INTEGRATION_KEY);
    IntegrationKeyRow {
        integration_id: parent_name(&path, INTEGRATION_KIND, &mut seen.defects),
        key_id: own_name(&path, &mut seen.defects),
        key_hash: seen.text(KEY_HASH),
        status: seen.text(STATUS),
        tier: seen.integer(TIER),
        description: seen.text(DESCRIPTION),
        created_at: seen.time(CREATED_AT),
        defects: seen.defects,
        version: Version(result.version),
        facts: FactsState::None,
    }
}

pub(super) fn organization(result: EntityResult) -> OrganizationRow {
    let (path, mut seen) = inspect(result.entity, ORGANIZATION);
    let name = own_name(&path, &mut seen.defects);
    match seen.properties.get(NAME) {
        None => seen.defects.push(Defect::Missing(NAME)),
        Some(ValueType::StringValue(text)) if text.is_empty() => {
            seen.defects.push(Defect::Empty(NAME));
        }
        Some(ValueType::StringValue(text)) if *text != name => {
            seen.defects.push(Defect::DiffersFromName(NAME));
        }
        Some(_) => {}
    }
    OrganizationRow {
        name,
        email: seen.text(EMAIL),
        probability_multiplier: seen.number(PROBABILITY_MULTIPLIER),
        created_at: seen.time(CREATED_AT),
        defects: seen.defects,
        version: Version(result.version),
    }
}

/// Without its facts.
pub(super) fn organization_key(result: EntityResult) -> OrganizationKeyRow {
    let entity = result.entity.unwrap_or_default();
    let key = entity.key.clone().unwrap_or_default();
    let is_indexed = entity.properties.get(KEY).is_none_or(|value| !value.exclude_from_indexes);
    let (path, mut seen) = inspect(Some(entity), ORGANIZATION_KEY);
    let name = own_name(&path, &mut seen.defects);
    let api_key = seen.text(KEY);
    match seen.properties.get(KEY) {
        None => seen.defects.push(Defect::Missing(KEY)),
        Some(_) if api_key.is_empty() => seen.defects.push(Defect::Empty(KEY)),
        Some(_) if api_key != name => seen.defects.push(Defect::DiffersFromName(KEY)),
        Some(_) => {}
    }
    if !is_indexed {
        seen.defects.push(Defect::NotIndexed(KEY));
    }
    // What cannot be found by any key has to be called by something all the same.
    let called = SecretString::from(if api_key.is_empty() { name } else { api_key.clone() });
    OrganizationKeyRow {
        organization: parent_name(&path, ORGANIZATION_KIND, &mut seen.defects),
        key_hash: SecretHash::of(&called),
        created_at: seen.time(CREATED_AT),
        defects: seen.defects,
        locator: locator(&key, &api_key),
        version: Version(result.version),
        facts: FactsState::None,
    }
}

/// The names of the parent and of the entity itself; empty where there is none.
pub(super) fn names(entity: Option<&Entity>) -> (String, String) {
    let path = entity.and_then(|entity| entity.key.as_ref()).map_or(&[][..], |key| &key.path);
    (parent_name(path, INTEGRATION_KIND, &mut Vec::new()), own_name(path, &mut Vec::new()))
}

fn locator(key: &Key, api_key: &str) -> Locator {
    Locator(SecretString::from(format!("{} {api_key}", hex::encode(key.encode_to_vec()))))
}

/// The key of the entity, and the API key that stands in it.
pub(super) fn locate(locator: &Locator) -> Option<(Key, &str)> {
    let (key, api_key) = locator.0.expose_secret().split_once(' ')?;
    let key = hex::decode(key).ok()?;
    Some((Key::decode(&key[..]).ok()?, api_key))
}

/// What could be read, and what could not.
struct Seen {
    properties: HashMap<String, ValueType>,
    defects: Vec<Defect>,
}

impl Seen {
    fn text(&self, name: &str) -> String {
        match self.properties.get(name) {
            Some(ValueType::StringValue(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn integer(&self, name: &str) -> i64 {
        match self.properties.get(name) {
            Some(ValueType::IntegerValue(integer)) => *integer,
            _ => 0,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "what is mended is a factor, in practice 0 or 1"
    )]
    fn number(&self, name: &str) -> Option<f64> {
        match self.properties.get(name) {
            Some(ValueType::DoubleValue(number)) => Some(*number),
            Some(ValueType::IntegerValue(integer)) => Some(*integer as f64),
            _ => None,
        }
    }

    fn time(&self, name: &str) -> Option<Timestamp> {
        match self.properties.get(name) {
            Some(ValueType::TimestampValue(time)) => Timestamp::new(time.seconds, time.nanos).ok(),
            _ => None,
        }
    }
}

/// Loads what the schema knows and complains about the rest, in the order of names.
fn inspect(entity: Option<Entity>, schema: &Schema) -> (Vec<PathElement>, Seen) {
    let Entity { key, properties } = entity.unwrap_or_default();
    let mut seen = Seen { properties: HashMap::new(), defects: Vec::new() };
    let mut properties: Vec<_> = properties.into_iter().collect();
    properties.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for (name, Value { value_type, .. }) in properties {
        let Some((known, expected)) = schema.iter().find(|(known, _)| *known == name) else {
            seen.defects.push(Defect::unknown_property(&name));
            continue;
        };
        let Some(value) = value_type.filter(|value| !matches!(value, ValueType::NullValue(_)))
        else {
            continue;
        };
        match (&value, expected) {
            (ValueType::StringValue(_), PropertyType::Text)
            | (ValueType::IntegerValue(_), PropertyType::Integer)
            | (ValueType::TimestampValue(_), PropertyType::Time)
            | (ValueType::DoubleValue(_), PropertyType::Number) => {}
            (ValueType::IntegerValue(_), PropertyType::Number) => {
                seen.defects.push(Defect::IntegerMultiplier);
            }
            _ => {
                seen.defects.push(Defect::PropertyType(known));
                continue;
            }
        }
        seen.properties.insert(name, value);
    }
    (key.unwrap_or_default().path, seen)
}

fn own_name(path: &[PathElement], defects: &mut Vec<Defect>) -> String {
    match path.last().and_then(|own| own.id_type.clone()) {
        Some(IdType::Name(name)) => name,
        Some(IdType::Id(number)) => {
            defects.push(Defect::NumericName);
            number.to_string()
        }
        None => String::new(),
    }
}

fn parent_name(path: &[PathElement], kind: &str, defects: &mut Vec<Defect>) -> String {
    let Some(parent) = path.iter().rev().nth(1) else {
        defects.push(Defect::NoParent);
        return String::new();
    };
    if parent.kind != kind || path.len() > 2 {
        defects.push(Defect::ForeignParent);
    }
    match &parent.id_type {
        Some(IdType::Name(name)) => name.clone(),
        Some(IdType::Id(number)) => {
            defects.push(Defect::NumericParent);
            number.to_string()
        }
        None => String::new(),
    }
}
