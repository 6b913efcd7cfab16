//! Where API keys are kept: what a store must be able to say and to do.
//!
//! The one rule that everything else rests on: *there is no such key* and *I could not find out*
//! are different types, from here to the wire. Only the first may be told to a caller as "invalid".
//! The storage engines are in the rooms below; nothing of them shows here.

pub mod datastore;
pub mod sqlite;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::api_key::{
    IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey, OrganizationName, SecretHash,
};

/// Reads what a token is decided by.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Looks up one key of an integration. The integration itself is not looked at.
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Answer<IntegrationKey>, Unavailable>;

    /// Finds the organization that holds a key; of several, the one whose name sorts first.
    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
    ) -> Result<Answer<OrganizationKey>, Unavailable>;
}

/// Writes what operators decide. Every change is one atomic commit that never overwrites.
#[async_trait]
pub trait KeyAdmin: KeyStore {
    /// Creates an integration together with its first key, or neither.
    async fn create_integration(
        &self,
        integration: &NewIntegration,
        key: &NewIntegrationKey,
    ) -> Result<(), WriteError>;

    /// Gives a key to an integration that exists; the integration stays untouched.
    async fn create_integration_key(&self, key: &NewIntegrationKey) -> Result<(), WriteError>;

    /// Creates an organization without keys.
    async fn create_organization(&self, organization: &NewOrganization) -> Result<(), WriteError>;

    /// Gives a key to an organization that exists.
    async fn create_organization_key(&self, key: &NewOrganizationKey) -> Result<(), WriteError>;
}

/// What a store says of a key when it has been reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    Found(T),
    /// The store was asked, and there is no such record.
    Absent,
    /// There is a record that no reader of this store accepts (contract, section Datastore).
    Unusable(UnusableRecord),
}

/// What is wrong with a record, in words for the operator. Never holds a value of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableRecord {
    #[error("property {0:?} has a type that no reader accepts")]
    PropertyType(&'static str),
    #[error("there is a property that no reader knows")]
    UnknownProperty,
    #[error("the record has no parent")]
    NoParent,
}

/// A key of an integration as the store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationKey {
    /// `None` when what is stored is not a hash that any secret can have.
    pub secret_hash: Option<SecretHash>,
    pub status: KeyStatus,
    pub tier: i64,
}

/// Whether a key is meant to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    Active,
    /// Any other word, or none.
    Inactive,
}

impl KeyStatus {
    /// The word for a key in use, as every store holds it.
    pub const ACTIVE: &'static str = "active";

    /// Only the word `active`, byte for byte, is active.
    #[must_use]
    pub fn from_stored(status: &str) -> Self {
        if status == Self::ACTIVE { Self::Active } else { Self::Inactive }
    }
}

/// A key of an organization as the store holds it. That it was found proves that it is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrganizationKey {
    pub holder: Holder,
}

/// Who holds an organization's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Organization(String),
    /// A parent with a numeric id: it has no name that a token could state.
    Numbered,
}

/// An integration to be created.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    pub id: IntegrationId,
    pub description: Description,
    pub created_at: Timestamp,
}

/// A key of an integration to be created, active from the start.
#[derive(Debug, Clone)]
pub struct NewIntegrationKey {
    pub integration_id: IntegrationId,
    pub key_id: KeyId,
    pub secret_hash: SecretHash,
    pub description: Description,
    pub tier: i64,
    pub created_at: Timestamp,
}

impl NewIntegrationKey {
    /// The record of a key that was just generated.
    #[must_use]
    pub fn of(
        key: &IntegrationApiKey,
        description: Description,
        tier: i64,
        created_at: Timestamp,
    ) -> Self {
        Self {
            integration_id: key.integration_id().clone(),
            key_id: key.key_id().clone(),
            secret_hash: key.secret_hash(),
            description,
            tier,
            created_at,
        }
    }
}

/// An organization to be created.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    pub name: OrganizationName,
    pub email: String,
    /// Always stored as a floating-point number: the Go reader panics on an integer.
    pub probability_multiplier: f64,
    pub created_at: Timestamp,
}

/// A key of an organization to be created.
#[derive(Debug, Clone)]
pub struct NewOrganizationKey {
    pub organization: OrganizationName,
    pub key: OrganizationApiKey,
    pub created_at: Timestamp,
}

/// A text of at most 1,500 bytes: the Go tools index descriptions, and no longer one can be indexed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    pub const MAX_BYTES: usize = 1500;

    /// `None` when the text is too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() <= Self::MAX_BYTES).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The store could not be asked, or did not answer: nothing is known about the key.
///
/// The text is for the operator; the caller is told to try again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Unavailable {
    pub kind: UnavailableKind,
    /// The backend's own code and words, free of secrets.
    pub detail: String,
}

/// Kinds of not finding out, as the operator has to act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnavailableKind {
    #[error("the key store cannot be reached")]
    Unreachable,
    #[error("the key store did not answer in time")]
    TooSlow,
    #[error("the key store refused the question")]
    Refused,
    #[error("there are no credentials for the key store")]
    Credentials,
    #[error("the key store failed")]
    Failed,
}

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    #[error("integration {0} exists already")]
    IntegrationExists(IntegrationId),
    #[error("integration {0} has a key {1} already")]
    IntegrationKeyExists(IntegrationId, KeyId),
    #[error("there is no integration {0}")]
    NoSuchIntegration(IntegrationId),
    #[error("organization {0} exists already")]
    OrganizationExists(OrganizationName),
    #[error("organization {0} holds this key already")]
    OrganizationKeyExists(OrganizationName),
    #[error("there is no organization {0}")]
    NoSuchOrganization(OrganizationName),
    /// Nothing was written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The commit was sent and its outcome could not be learned, not even by reading back.
    #[error("it is not known whether the change was made; look before trying again ({0})")]
    Unknown(Unavailable),
}
