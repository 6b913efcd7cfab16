//! Records as operators see them: what is to be created, and what stands in a store, raw.
//!
//! A store may hold what no reader accepts. A row shows it as it stands, with the defects that only
//! the engine can see; what to make of it is decided elsewhere.

use std::fmt;

use jiff::Timestamp;
use secrecy::SecretString;

use super::facts::{Facts, Validity};
use super::{KeyStatus, Unavailable, UnavailableKind, Version};
use crate::api_key::{
    ImportLine, IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey, OrganizationName,
    SecretHash,
};

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
        Self::imported(&key.import_line(), description, tier, created_at)
    }

    /// The record of a key that its recipient generated.
    #[must_use]
    pub fn imported(
        line: &ImportLine,
        description: Description,
        tier: i64,
        created_at: Timestamp,
    ) -> Self {
        Self {
            integration_id: line.integration_id().clone(),
            key_id: line.key_id().clone(),
            secret_hash: line.secret_hash(),
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

/// An integration as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationRow {
    pub id: String,
    pub description: String,
    pub created_at: Option<Timestamp>,
    pub defects: Vec<Defect>,
    pub version: Version,
}

/// A key of an integration as it stands, with its facts.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationKeyRow {
    /// Empty when the record has no parent.
    pub integration_id: String,
    pub key_id: String,
    pub key_hash: String,
    pub status: String,
    pub tier: i64,
    pub description: String,
    pub created_at: Option<Timestamp>,
    pub defects: Vec<Defect>,
    pub version: Version,
    /// Whatever secret they speak of; see [`Self::facts_in_force`].
    pub facts: FactsState,
}

impl IntegrationKeyRow {
    /// The stored hash, if it is one that a secret can have.
    #[must_use]
    pub fn secret_hash(&self) -> Option<SecretHash> {
        SecretHash::from_hex(&self.key_hash)
    }

    /// Only the word `active` is active, here as in the Go service.
    #[must_use]
    pub fn key_status(&self) -> KeyStatus {
        KeyStatus::from_stored(&self.status)
    }

    /// When the key may be used, by the facts about the secret that the record holds now.
    ///
    /// # Errors
    /// When there are facts that cannot be read.
    pub(super) fn validity(&self) -> Result<Validity, Unavailable> {
        self.facts.validity()?;
        Ok(self.facts_in_force().map(Facts::validity).unwrap_or_default())
    }

    /// The facts that speak of the secret that the record holds now.
    #[must_use]
    pub fn facts_in_force(&self) -> Option<&Facts> {
        self.facts
            .readable()
            .map(|stored| &stored.facts)
            .filter(|facts| facts.are_about(self.secret_hash()))
    }
}

/// An organization as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganizationRow {
    /// The name of the record, which tokens state.
    pub name: String,
    pub email: String,
    pub probability_multiplier: Option<f64>,
    pub created_at: Option<Timestamp>,
    pub defects: Vec<Defect>,
    pub version: Version,
}

/// A key of an organization as it stands, with the facts of the credential. The key itself does
/// not show.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganizationKeyRow {
    /// Empty when the record has no parent; a number when its parent has one for a name.
    pub organization: String,
    /// Of the API key: what it is called wherever the key itself must not stand.
    pub key_hash: SecretHash,
    pub created_at: Option<Timestamp>,
    pub defects: Vec<Defect>,
    pub locator: Locator,
    pub version: Version,
    pub facts: FactsState,
}

/// Facts of an integration's key, found by themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct IntegrationKeyFactsRow {
    pub integration_id: String,
    pub key_id: String,
    pub facts: FactsState,
}

/// Facts of an organization's key, found by themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct OrganizationKeyFactsRow {
    /// SHA-256 of the API key in hex, unless somebody else wrote it.
    pub key_hash: String,
    pub facts: FactsState,
}

/// What a store holds of the facts of a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum FactsState {
    #[default]
    None,
    Readable(Box<StoredFacts>),
    /// There is something, and it must not be taken for nothing.
    Unreadable {
        defect: Defect,
        version: Version,
    },
}

impl FactsState {
    #[must_use]
    pub fn readable(&self) -> Option<&StoredFacts> {
        match self {
            Self::Readable(stored) => Some(stored),
            Self::None | Self::Unreadable { .. } => None,
        }
    }

    /// When the key may be used, by these facts; `None` without any.
    ///
    /// # Errors
    /// When there are facts that cannot be read.
    pub(super) fn validity(&self) -> Result<Option<Validity>, Unavailable> {
        match self {
            Self::None => Ok(None),
            Self::Readable(stored) => Ok(Some(stored.facts.validity())),
            Self::Unreadable { defect, .. } => Err(Unavailable::new(
                UnavailableKind::Failed,
                format!("the facts of the key cannot be read: {defect}"),
            )),
        }
    }

    /// The version to be replaced by the next facts; `None` when there are none to replace.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::None => None,
            Self::Readable(stored) => Some(stored.version),
            Self::Unreadable { version, .. } => Some(*version),
        }
    }
}

/// Facts, and the version in which they were read.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredFacts {
    pub facts: Facts,
    pub version: Version,
}

/// What is wrong with a record in a way that only its engine can see.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Defect {
    #[error("property {0:?} has a type that no reader accepts")]
    PropertyType(&'static str),
    /// The name is cut to [`Self::MAX_NAME_BYTES`].
    #[error("there is a property {0:?} that no reader knows")]
    UnknownProperty(String),
    #[error("property {0:?} is not indexed")]
    NotIndexed(&'static str),
    #[error("property {0:?} is missing")]
    Missing(&'static str),
    /// The Go reader does not merely fail, it panics.
    #[error("\"probability_multiplier\" is an integer")]
    IntegerMultiplier,
    #[error("the record has a number for a name")]
    NumericName,
    #[error("the record has no parent")]
    NoParent,
    #[error("the parent has a number for a name")]
    NumericParent,
    #[error("the parent is of another kind")]
    ForeignParent,
    /// `name` of an organization, `key` of its key.
    #[error("property {0:?} is empty")]
    Empty(&'static str),
    #[error("property {0:?} differs from the name of the record")]
    DiffersFromName(&'static str),
}

impl Defect {
    /// The longest name of an unknown property that is repeated, in bytes: it goes into a table.
    pub const MAX_NAME_BYTES: usize = 60;

    /// Complains about a property by its name, if that is not too long for it.
    pub(super) fn unknown_property(name: &str) -> Self {
        let end = name.floor_char_boundary(Self::MAX_NAME_BYTES);
        Self::UnknownProperty(name[..end].to_owned())
    }

    /// Whether the Go client cannot load the record at all, so that it opens nothing anywhere.
    #[must_use]
    pub fn fails_readers(&self) -> bool {
        matches!(self, Self::PropertyType(_) | Self::UnknownProperty(_) | Self::IntegerMultiplier)
    }
}

/// Where a store finds a record whose name is a secret. Only the store that gave it reads it.
#[derive(Clone)]
pub struct Locator(pub(super) SecretString);

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locator(..)")
    }
}

impl PartialEq for Locator {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret as _;
        self.0.expose_secret() == other.0.expose_secret()
    }
}
