//! Names of kinds and properties, keys, and entities as the Go tools can read them.
//!
//! The four kinds of the predecessor get no property of ours (contract, section Datastore); what we
//! know beyond that is in two kinds of our own, beside them.

use std::collections::HashMap;

use gcloud_sdk::google::datastore::v1::key::PathElement;
use gcloud_sdk::google::datastore::v1::key::path_element::IdType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{Entity, Key, PartitionId};
use secrecy::ExposeSecret as _;

use crate::api_key::{OrganizationApiKey, SecretHash};
use crate::key_store::{
    Answer, Facts, FactsState, Holder, IntegrationKey, KeyStatus, OrganizationKey, Unavailable,
    UnusableRecord, Validity,
};

pub(super) const API_KEY_KIND: &str = "APIKey";
pub(super) const INTEGRATION_KIND: &str = "IntegrationMeta";
pub(super) const INTEGRATION_KEY_KIND: &str = "IntegrationAPIKey";
pub(super) const ORGANIZATION_KIND: &str = "Organization";
/// Ours: beside an `IntegrationAPIKey`, under the same parent and of the same name.
pub(super) const INTEGRATION_KEY_FACTS_KIND: &str = "IntegrationKeyFacts";
/// Ours: without a parent; its name is the SHA-256 of an organization's API key, in hex.
pub(super) const API_KEY_FACTS_KIND: &str = "APIKeyFacts";

/// The property that an organization's key is found by.
pub(super) const KEY: &str = "key";
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const DESCRIPTION: &str = "description";
pub(super) const EMAIL: &str = "email";
pub(super) const KEY_HASH: &str = "key_hash";
pub(super) const NAME: &str = "name";
pub(super) const PROBABILITY_MULTIPLIER: &str = "probability_multiplier";
pub(super) const STATUS: &str = "status";
pub(super) const TIER: &str = "tier";

/// Properties that hold exactly what a reader of the Go tools accepts, by name.
pub(super) struct Properties(HashMap<String, ValueType>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PropertyType {
    Text,
    Integer,
    /// Floating point.
    Number,
    Time,
}

pub(super) type Schema = [(&'static str, PropertyType)];

pub(super) const INTEGRATION_KEY: &Schema = &[
    (KEY_HASH, PropertyType::Text),
    (CREATED_AT, PropertyType::Time),
    (DESCRIPTION, PropertyType::Text),
    (STATUS, PropertyType::Text),
    (TIER, PropertyType::Integer),
];

pub(super) const ORGANIZATION_KEY: &Schema =
    &[(CREATED_AT, PropertyType::Time), (KEY, PropertyType::Text)];

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

/// What an `IntegrationAPIKey` says, judged by those of its facts that are about it.
pub(super) fn integration_key(
    entity: Entity,
    facts: &FactsState,
) -> Result<Answer<IntegrationKey>, Unavailable> {
    facts.validity()?;
    let properties = match Properties::load(entity, INTEGRATION_KEY) {
        Ok(properties) => properties,
        Err(reason) => return Ok(Answer::Unusable(reason)),
    };
    let secret_hash = SecretHash::from_hex(properties.text(KEY_HASH));
    let facts = facts.readable().map(|stored| &stored.facts);
    let in_force = facts.filter(|facts| facts.are_about(secret_hash));
    Ok(Answer::Found(IntegrationKey {
        secret_hash,
        status: KeyStatus::from_stored(properties.text(STATUS)),
        tier: properties.integer(TIER),
        validity: in_force.map(Facts::validity).unwrap_or_default(),
    }))
}

/// What an `APIKey` says: its immediate parent holds it, of whatever kind that is.
pub(super) fn organization_key(entity: Entity, validity: Validity) -> Answer<OrganizationKey> {
    let parent = entity.key.as_ref().and_then(|key| key.path.iter().rev().nth(1)).cloned();
    if let Err(reason) = Properties::load(entity, ORGANIZATION_KEY) {
        return Answer::Unusable(reason);
    }
    let holder = match parent.and_then(|parent| parent.id_type) {
        Some(IdType::Name(name)) => Holder::Organization(name.into()),
        Some(IdType::Id(_)) => Holder::Numbered,
        None => return Answer::Unusable(UnusableRecord::NoParent),
    };
    Answer::Found(OrganizationKey { holder, validity })
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

    pub(super) fn integrations(&self) -> PartitionId {
        self.partition(&self.integration_namespace)
    }

    pub(super) fn integration(&self, id: &str) -> Key {
        self.key(&self.integration_namespace, &[(INTEGRATION_KIND, id)])
    }

    pub(super) fn integration_key(&self, id: &str, key_id: &str) -> Key {
        let path = [(INTEGRATION_KIND, id), (INTEGRATION_KEY_KIND, key_id)];
        self.key(&self.integration_namespace, &path)
    }

    pub(super) fn organization(&self, name: &str) -> Key {
        self.key(&self.platform_namespace, &[(ORGANIZATION_KIND, name)])
    }

    pub(super) fn organization_key(&self, name: &str, key: &OrganizationApiKey) -> Key {
        let path = [(ORGANIZATION_KIND, name), (API_KEY_KIND, key.reveal().expose_secret())];
        self.key(&self.platform_namespace, &path)
    }

    pub(super) fn integration_key_facts(&self, id: &str, key_id: &str) -> Key {
        let path = [(INTEGRATION_KIND, id), (INTEGRATION_KEY_FACTS_KIND, key_id)];
        self.key(&self.integration_namespace, &path)
    }

    pub(super) fn organization_key_facts(&self, key_hash: SecretHash) -> Key {
        self.key(&self.platform_namespace, &[(API_KEY_FACTS_KIND, &key_hash.to_hex())])
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
