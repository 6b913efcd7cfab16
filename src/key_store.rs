//! Where API keys are kept: what a store must be able to say and to do.
//!
//! The one rule that everything else rests on: *there is no such key* and *I could not find out*
//! are different types, from here to the wire. Only the first may be told to a caller as "invalid".
//! The exchange reads through [`KeyStore`]; operators look through [`KeyRecords`] and write through
//! [`KeyAdmin`]. What the records say is in the rooms below, and so are the storage engines and the
//! cache that the exchange has around one; nothing of those shows here.

mod attempts;
pub mod cached;
mod change;
pub mod datastore;
mod facts;
mod outcomes;
mod records;
pub mod sqlite;
mod unavailable;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::attempts::{Attempt, AttemptOutcome, Attempts};
pub use self::change::{Change, RecordName, Write};
pub use self::facts::{Facts, Revocation, Validity, Verdict};
pub use self::records::{
    Defect, Description, FactsState, IntegrationKeyFactsRow, IntegrationKeyRow, IntegrationRow,
    Locator, NewIntegration, NewIntegrationKey, NewOrganization, NewOrganizationKey,
    OrganizationKeyFactsRow, OrganizationKeyRow, OrganizationRow, StoredFacts,
};
pub use self::unavailable::{Unavailable, UnavailableKind};
use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey, OrganizationName, SecretHash};

/// One question as its caller sees it, the same with every store: waiting, connection, attempts
/// and pauses. One known client gives up after ten seconds, and our answer has to reach it before.
pub const READ_DEADLINE: Duration = Duration::from_secs(4);
/// One attempt at a question. A store answers in tens of milliseconds; one that has not by now is
/// better asked again, and who knows an older answer waits no longer.
pub const READ_ATTEMPT: Duration = Duration::from_millis(800);
/// One change as its caller sees it, the same with every store, reading back included.
pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// The most rows of a page: the largest rows there can be fit into a message of 4 MiB.
pub const PAGE_ROWS: usize = 500;

/// Reads what a token is decided by.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Looks up one key of an integration. The integration itself is not looked at.
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        recency: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable>;

    /// Finds the organization that holds a key; of several, the one whose name sorts first.
    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        recency: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable>;
}

/// How new a reading has to be. A store that remembers nothing gives none but the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recency {
    /// It may be remembered, as its source then says.
    Remembered,
    /// The store said so within the last second.
    Current,
}

/// What is known of a key, and what that rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<T> {
    pub answer: Answer<T>,
    pub source: Source,
    pub attempts: Attempts,
}

impl<T> From<Answer<T>> for Reading<T> {
    /// What the store says now.
    fn from(answer: Answer<T>) -> Self {
        Self { answer, source: Source::Store, attempts: Attempts::default() }
    }
}

/// What a reading rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The store was asked: for this caller, or for one who came a moment before.
    Store,
    /// Memory, so new that nobody asks the store.
    Fresh,
    /// Memory, while the store is asked again.
    Refreshing,
    /// Memory that would be too old if the store did not fail as it does. It may let a key in; it
    /// may never refuse one.
    Stale(UnavailableKind),
    /// Memory of a moment ago: there was no such key.
    Absence,
}

impl Source {
    /// The source in a word, for counting: one of a few.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Fresh => "fresh",
            Self::Refreshing => "refreshing",
            Self::Stale(_) => "stale",
            Self::Absence => "absence",
        }
    }
}

/// Shows operators what stands in the store, page by page and in the order of names.
#[async_trait]
pub trait KeyRecords: KeyStore {
    async fn read_integration(
        &self,
        id: &IntegrationId,
    ) -> Result<Option<IntegrationRow>, Unavailable>;

    async fn read_integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Option<IntegrationKeyRow>, Unavailable>;

    async fn read_organization(
        &self,
        name: &OrganizationName,
    ) -> Result<Option<OrganizationRow>, Unavailable>;

    async fn list_integrations(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationRow>, Unavailable>;

    /// Keys of one integration, or of all of them, orphans included.
    async fn list_integration_keys(
        &self,
        of: Option<&IntegrationId>,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationKeyRow>, Unavailable>;

    async fn list_integration_key_facts(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationKeyFactsRow>, Unavailable>;

    async fn list_organizations(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationRow>, Unavailable>;

    async fn list_organization_keys(
        &self,
        of: OrganizationKeysOf<'_>,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationKeyRow>, Unavailable>;

    async fn list_organization_key_facts(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationKeyFactsRow>, Unavailable>;
}

/// Which keys of organizations are listed.
#[derive(Debug, Clone, Copy)]
pub enum OrganizationKeysOf<'a> {
    Everybody,
    Organization(&'a OrganizationName),
    /// All records of one API key: of every organization that holds it.
    Credential(&'a OrganizationKeyRow),
}

/// Some rows, and where to go on.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// May be empty although more follow.
    pub rows: Vec<T>,
    /// `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page of something else.
    fn map<U>(self, of: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(of).collect(), next: self.next }
    }
}

/// Where a list goes on. Only the store that gave it reads it.
#[derive(Clone)]
pub struct Cursor(Vec<u8>);

impl fmt::Debug for Cursor {
    // It may name an organization's key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor(..)")
    }
}

/// Tells what a record says now from what it said before. Only the store that gave it reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(i64);

/// Writes what operators decide.
#[async_trait]
pub trait KeyAdmin: KeyRecords {
    /// Makes all writes of a change in one atomic commit, or none. What became of the commit is
    /// known when this returns, but for [`WriteError::Unknown`]. A change without writes is made.
    ///
    /// # Errors
    /// [`WriteError::Exists`] and [`WriteError::Conflict`] name the first write whose place was not
    /// as it has to be.
    async fn commit(&self, change: &Change) -> Result<(), WriteError>;

    /// Creates an integration together with its first key, or neither.
    async fn create_integration(
        &self,
        integration: &NewIntegration,
        key: &NewIntegrationKey,
    ) -> Result<(), WriteError> {
        let change = Change::new(vec![
            Write::InsertIntegration(integration.clone()),
            Write::InsertIntegrationKey(key.clone()),
        ]);
        self.commit(&change).await
    }

    /// Gives a key to an integration that exists; the integration stays untouched.
    async fn create_integration_key(&self, key: &NewIntegrationKey) -> Result<(), WriteError> {
        if self.read_integration(&key.integration_id).await?.is_none() {
            return Err(WriteError::NoSuchIntegration(key.integration_id.clone()));
        }
        let change = Write::InsertIntegrationKey(key.clone()).into();
        self.commit(&change).await
    }

    /// Creates an organization without keys.
    async fn create_organization(&self, organization: &NewOrganization) -> Result<(), WriteError> {
        let change = Write::InsertOrganization(organization.clone()).into();
        self.commit(&change).await
    }

    /// Gives a key to an organization that exists.
    async fn create_organization_key(&self, key: &NewOrganizationKey) -> Result<(), WriteError> {
        if self.read_organization(&key.organization).await?.is_none() {
            return Err(WriteError::NoSuchOrganization(key.organization.clone()));
        }
        let change = Write::InsertOrganizationKey(key.clone()).into();
        self.commit(&change).await
    }
}

/// What a store says of a key when it has been reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    Found(T),
    /// The store was asked, and there is no such record.
    Absent,
    /// There is no record any more, but facts of the key are left: of an organization's key that
    /// was revoked.
    Gone(Validity),
    /// There is a record that no reader of this store accepts (contract, section Datastore).
    Unusable(UnusableRecord),
}

impl<T> Answer<T> {
    /// The record, if there is one that can be used.
    #[must_use]
    pub fn record(&self) -> Option<&T> {
        match self {
            Self::Found(record) => Some(record),
            Self::Absent | Self::Gone(_) | Self::Unusable(_) => None,
        }
    }
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
    /// By the facts about this very secret.
    pub validity: Validity,
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
    /// The word for a key that was revoked, or whose end was made known to the Go service.
    pub const REVOKED: &'static str = "revoked";

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
    pub validity: Validity,
}

/// Who holds an organization's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    Organization(Arc<str>),
    /// A parent with a numeric id: it has no name that a token could state.
    Numbered,
}

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// What the change was decided on is not what stands there.
    #[error("{0} was changed by somebody else meanwhile; nothing was written: look and try again")]
    Conflict(RecordName),
    /// What is to be created stands there already.
    #[error("{0} exists already")]
    Exists(RecordName),
    #[error("there is no integration {0}")]
    NoSuchIntegration(IntegrationId),
    #[error("there is no organization {0}")]
    NoSuchOrganization(OrganizationName),
    #[error("the change has {0} writes, and {max} is the most", max = Change::MAX_WRITES)]
    TooLarge(usize),
    /// Nothing was written.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The commit was sent and its outcome could not be learned, not even by reading back.
    #[error("it is not known whether the change was made; look before trying again ({0})")]
    Unknown(Unavailable),
}

impl WriteError {
    /// That the place of a write is not as it has to be.
    fn in_the_way_of(write: &Write) -> Self {
        if write.is_insert() { Self::Exists(write.name()) } else { Self::Conflict(write.name()) }
    }
}
