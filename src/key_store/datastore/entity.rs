//! Entities as the Go tools write them, and as they can be read by them.
//!
//! The names and types of kinds and properties stand here and nowhere else. They are the
//! predecessor's: none may be added (contract, section Datastore).

use std::collections::HashMap;

use gcloud_sdk::google::datastore::v1::key::PathElement;
use gcloud_sdk::google::datastore::v1::key::path_element::IdType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{Entity, Key, PartitionId, Value};
use gcloud_sdk::prost_types;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey, OrganizationName, SecretHash};
use crate::key_store::{
    Answer, Holder, IntegrationKey, KeyStatus, NewIntegration, NewIntegrationKey, NewOrganization,
    NewOrganizationKey, OrganizationKey, UnusableRecord,
};

pub(super) const API_KEY_KIND: &str = "APIKey";
const INTEGRATION_KIND: &str = "IntegrationMeta";
const INTEGRATION_KEY_KIND: &str = "IntegrationAPIKey";
const ORGANIZATION_KIND: &str = "Organization";

/// The property that an organization's key is found by.
pub(super) const KEY: &str = "key";
const CREATED_AT: &str = "created_at";
const DESCRIPTION: &str = "description";
const EMAIL: &str = "email";
const KEY_HASH: &str = "key_hash";
const NAME: &str = "name";
const PROBABILITY_MULTIPLIER: &str = "probability_multiplier";
const STATUS: &str = "status";
const TIER: &str = "tier";

/// Properties that hold exactly what a reader of the Go tools accepts, by name.
pub(super) struct Properties(HashMap<String, ValueType>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum PropertyType {
    Text,
    Integer,
    Time,
}

type Schema = [(&'static str, PropertyType)];

const INTEGRATION_KEY: &Schema = &[
    (KEY_HASH, PropertyType::Text),
    (CREATED_AT, PropertyType::Time),
    (DESCRIPTION, PropertyType::Text),
    (STATUS, PropertyType::Text),
    (TIER, PropertyType::Integer),
];

const ORGANIZATION_KEY: &Schema = &[(CREATED_AT, PropertyType::Time), (KEY, PropertyType::Text)];

impl Properties {
    /// Loads as the Go client does: what is missing or null stays out, anything else that the
    /// schema does not say makes the record unusable, a null of an unknown name too.
    fn load(entity: Entity, schema: &Schema) -> Result<Self, UnusableRecord> {
        let mut loaded = HashMap::with_capacity(entity.properties.len());
        for (name, value) in entity.properties {
            let Some((known, expected)) = schema.iter().find(|(known, _)| *known == name) else {
                return Err(UnusableRecord::UnknownProperty);
            };
            let found = match &value.value_type {
                None | Some(ValueType::NullValue(_)) => continue,
                Some(ValueType::StringValue(_)) => Some(PropertyType::Text),
                Some(ValueType::IntegerValue(_)) => Some(PropertyType::Integer),
                Some(ValueType::TimestampValue(_)) => Some(PropertyType::Time),
                Some(_) => None,
            };
            match value.value_type {
                Some(value) if found == Some(*expected) => loaded.insert(name, value),
                _ => return Err(UnusableRecord::PropertyType(known)),
            };
        }
        Ok(Self(loaded))
    }

    fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(ValueType::StringValue(text)) => text,
            _ => "",
        }
    }

    fn integer(&self, name: &str) -> i64 {
        match self.0.get(name) {
            Some(ValueType::IntegerValue(integer)) => *integer,
            _ => 0,
        }
    }
}

/// What an `IntegrationAPIKey` says.
pub(super) fn integration_key(entity: Entity) -> Answer<IntegrationKey> {
    match Properties::load(entity, INTEGRATION_KEY) {
        Ok(properties) => Answer::Found(IntegrationKey {
            secret_hash: SecretHash::from_hex(properties.text(KEY_HASH)),
            status: KeyStatus::from_stored(properties.text(STATUS)),
            tier: properties.integer(TIER),
        }),
        Err(reason) => Answer::Unusable(reason),
    }
}

/// What an `APIKey` says: its immediate parent holds it, of whatever kind that is.
pub(super) fn organization_key(entity: Entity) -> Answer<OrganizationKey> {
    let parent = entity.key.as_ref().and_then(|key| key.path.iter().rev().nth(1)).cloned();
    if let Err(reason) = Properties::load(entity, ORGANIZATION_KEY) {
        return Answer::Unusable(reason);
    }
    let holder = match parent.and_then(|parent| parent.id_type) {
        Some(IdType::Name(name)) => Holder::Organization(name),
        Some(IdType::Id(_)) => Holder::Numbered,
        None => return Answer::Unusable(UnusableRecord::NoParent),
    };
    Answer::Found(OrganizationKey { holder })
}

/// The names of the two namespaces, and all the keys in them.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) project_id: String,
    pub(super) platform_namespace: String,
    pub(super) integration_namespace: String,
}

impl Keys {
    pub(super) fn platform(&self) -> PartitionId {
        self.partition(&self.platform_namespace)
    }

    pub(super) fn integration(&self, id: &IntegrationId) -> Key {
        self.key(&self.integration_namespace, &[(INTEGRATION_KIND, id.as_str())])
    }

    pub(super) fn integration_key(&self, id: &IntegrationId, key_id: &KeyId) -> Key {
        let path = [(INTEGRATION_KIND, id.as_str()), (INTEGRATION_KEY_KIND, key_id.as_str())];
        self.key(&self.integration_namespace, &path)
    }

    pub(super) fn organization(&self, name: &OrganizationName) -> Key {
        self.key(&self.platform_namespace, &[(ORGANIZATION_KIND, name.as_str())])
    }

    pub(super) fn organization_key(
        &self,
        name: &OrganizationName,
        key: &OrganizationApiKey,
    ) -> Key {
        let key_name = key.reveal().expose_secret();
        let path = [(ORGANIZATION_KIND, name.as_str()), (API_KEY_KIND, key_name)];
        self.key(&self.platform_namespace, &path)
    }

    fn key(&self, namespace: &str, path: &[(&str, &str)]) -> Key {
        let element = |(kind, name): &(&str, &str)| PathElement {
            kind: (*kind).to_owned(),
            id_type: Some(IdType::Name((*name).to_owned())),
        };
        Key {
            partition_id: Some(self.partition(namespace)),
            path: path.iter().map(element).collect(),
        }
    }

    fn partition(&self, namespace: &str) -> PartitionId {
        PartitionId {
            project_id: self.project_id.clone(),
            namespace_id: namespace.to_owned(),
            ..PartitionId::default()
        }
    }
}

pub(super) fn of_integration(keys: &Keys, integration: &NewIntegration) -> Entity {
    entity(
        keys.integration(&integration.id),
        [
            (CREATED_AT, time(integration.created_at)),
            (DESCRIPTION, text(integration.description.as_str())),
        ],
    )
}

pub(super) fn of_integration_key(keys: &Keys, key: &NewIntegrationKey) -> Entity {
    entity(
        keys.integration_key(&key.integration_id, &key.key_id),
        [
            (KEY_HASH, text(&key.secret_hash.to_hex())),
            (CREATED_AT, time(key.created_at)),
            (DESCRIPTION, text(key.description.as_str())),
            (STATUS, text(KeyStatus::ACTIVE)),
            (TIER, ValueType::IntegerValue(key.tier)),
        ],
    )
}

pub(super) fn of_organization(keys: &Keys, organization: &NewOrganization) -> Entity {
    entity(
        keys.organization(&organization.name),
        [
            (NAME, text(organization.name.as_str())),
            (EMAIL, text(&organization.email)),
            (CREATED_AT, time(organization.created_at)),
            (PROBABILITY_MULTIPLIER, ValueType::DoubleValue(organization.probability_multiplier)),
        ],
    )
}

pub(super) fn of_organization_key(keys: &Keys, key: &NewOrganizationKey) -> Entity {
    entity(
        keys.organization_key(&key.organization, &key.key),
        [(CREATED_AT, time(key.created_at)), (KEY, text(key.key.reveal().expose_secret()))],
    )
}

/// Whether a stored entity is the very one that was to be written.
pub(super) fn is_same(stored: &Entity, written: &Entity) -> bool {
    let value = |entity: &Entity, name: &str| {
        entity.properties.get(name).and_then(|value| value.value_type.clone())
    };
    stored.properties.len() == written.properties.len()
        && written.properties.keys().all(|name| value(stored, name) == value(written, name))
}

fn entity<const N: usize>(key: Key, properties: [(&str, ValueType); N]) -> Entity {
    let properties = properties.map(|(name, value)| {
        (name.to_owned(), Value { value_type: Some(value), ..Value::default() })
    });
    Entity { key: Some(key), properties: properties.into() }
}

fn text(text: &str) -> ValueType {
    ValueType::StringValue(text.to_owned())
}

/// Datastore keeps microseconds; what it would drop is dropped here, so that reading back compares.
fn time(time: Timestamp) -> ValueType {
    let micros = time.as_microsecond();
    ValueType::TimestampValue(prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default(),
    })
}
