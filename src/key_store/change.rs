//! A change of records: what operators decided, as writes that are made together or not at all.
//!
//! Every write says what has to stand in its place before it: nothing, or the very version that was
//! read. So of two operators at once one succeeds and the other is told, and nothing is mixed.
//! Stores make changes and know no reasons for them; the rules are in [`crate::key_life`].

use std::fmt;

use super::Version;
use super::facts::Facts;
use super::records::{
    IntegrationKeyRow, IntegrationRow, NewIntegration, NewIntegrationKey, NewOrganization,
    NewOrganizationKey, OrganizationKeyRow, OrganizationRow,
};
use crate::api_key::SecretHash;

/// Writes that are made in one commit.
#[derive(Debug, Clone, Default)]
pub struct Change {
    writes: Vec<Write>,
}

impl Change {
    /// The most writes in a change. Datastore takes 500 mutations in a commit; the largest change
    /// that a rule makes revokes a key under every organization that holds it.
    pub const MAX_WRITES: usize = 500;

    #[must_use]
    pub fn new(writes: Vec<Write>) -> Self {
        Self { writes }
    }

    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }
}

impl From<Write> for Change {
    fn from(write: Write) -> Self {
        Self { writes: vec![write] }
    }
}

/// One write. An insertion needs an empty place; a row replaces or removes the version it was
/// read in.
#[derive(Debug, Clone)]
pub enum Write {
    InsertIntegration(NewIntegration),
    InsertIntegrationKey(NewIntegrationKey),
    InsertOrganization(NewOrganization),
    InsertOrganizationKey(NewOrganizationKey),
    ReplaceIntegration(IntegrationRow),
    ReplaceIntegrationKey(IntegrationKeyRow),
    ReplaceOrganization(OrganizationRow),
    /// Writes the same again, indexed.
    ReplaceOrganizationKey(OrganizationKeyRow),
    RemoveOrganizationKey(OrganizationKeyRow),
    PutIntegrationKeyFacts {
        integration_id: String,
        key_id: String,
        facts: Facts,
        /// `None`: there must be none.
        instead_of: Option<Version>,
    },
    PutOrganizationKeyFacts {
        key_hash: SecretHash,
        facts: Facts,
        /// `None`: there must be none.
        instead_of: Option<Version>,
    },
}

/// What a record is called before an operator. Never holds an organization's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordName {
    Integration(String),
    IntegrationKey(String, String),
    Organization(String),
    OrganizationKey(String, SecretHash),
    IntegrationKeyFacts(String, String),
    OrganizationKeyFacts(SecretHash),
}

impl Write {
    /// Whether this creates something that operators have a name for.
    pub(super) fn is_insert(&self) -> bool {
        matches!(
            self,
            Self::InsertIntegration(_)
                | Self::InsertIntegrationKey(_)
                | Self::InsertOrganization(_)
                | Self::InsertOrganizationKey(_)
        )
    }

    /// What is written.
    #[must_use]
    pub fn name(&self) -> RecordName {
        match self {
            Self::InsertIntegration(new) => RecordName::Integration(new.id.as_str().to_owned()),
            Self::InsertIntegrationKey(new) => RecordName::IntegrationKey(
                new.integration_id.as_str().to_owned(),
                new.key_id.as_str().to_owned(),
            ),
            Self::InsertOrganization(new) => RecordName::Organization(new.name.as_str().to_owned()),
            Self::InsertOrganizationKey(new) => {
                RecordName::OrganizationKey(new.organization.as_str().to_owned(), new.key.hash())
            }
            Self::ReplaceIntegration(row) => RecordName::Integration(row.id.clone()),
            Self::ReplaceIntegrationKey(row) => {
                RecordName::IntegrationKey(row.integration_id.clone(), row.key_id.clone())
            }
            Self::ReplaceOrganization(row) => RecordName::Organization(row.name.clone()),
            Self::ReplaceOrganizationKey(row) | Self::RemoveOrganizationKey(row) => {
                RecordName::OrganizationKey(row.organization.clone(), row.key_hash)
            }
            Self::PutIntegrationKeyFacts { integration_id, key_id, .. } => {
                RecordName::IntegrationKeyFacts(integration_id.clone(), key_id.clone())
            }
            Self::PutOrganizationKeyFacts { key_hash, .. } => {
                RecordName::OrganizationKeyFacts(*key_hash)
            }
        }
    }
}

impl fmt::Display for RecordName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integration(id) => write!(f, "integration {id}"),
            Self::IntegrationKey(id, key_id) => write!(f, "key {key_id} of integration {id}"),
            Self::Organization(name) => write!(f, "organization {name}"),
            Self::OrganizationKey(name, hash) => {
                write!(f, "key {} of organization {name}", hash.fingerprint())
            }
            Self::IntegrationKeyFacts(id, key_id) => {
                write!(f, "the facts of key {key_id} of integration {id}")
            }
            Self::OrganizationKeyFacts(hash) => {
                write!(f, "the facts of organization key {}", hash.fingerprint())
            }
        }
    }
}
