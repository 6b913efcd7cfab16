//! SQLite: a key store in one file, for development, tests and small installations. With the rooms
//! below it is the only one that knows `rusqlite`.
//!
//! The schema holds what the readers need and refuses what they would stumble over: types are
//! strict, and a key without its holder cannot be stored. Keys of organizations are kept only as
//! hashes, so the file opens nothing. Whatever SQLite cannot answer (locked, corrupt, gone) is
//! unavailable, never absent.

mod admin;
mod database;
mod rows;
mod schema;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey, OrganizationName};
use crate::key_store::attempts::AttemptLog;
use crate::key_store::{
    Answer, Cursor, Holder, IntegrationKey, IntegrationKeyFactsRow, IntegrationKeyRow,
    IntegrationRow, KeyRecords, KeyStore, OrganizationKey, OrganizationKeyFactsRow,
    OrganizationKeyRow, OrganizationKeysOf, OrganizationRow, Page, READ_DEADLINE, Reading, Recency,
    Unavailable,
};
use database::Database;
use rows::Place;
use worker::{Interrupted, Workers};

/// Threads that read. One would do for the load; the second keeps answering while the first waits
/// for a lock.
const READERS: usize = 2;
/// Questions that wait for a reader: a tenth of a second's work.
const READ_QUEUE: usize = 2048;
/// Changes that wait for the one writer: operators make them by hand.
const WRITE_QUEUE: usize = 64;

/// How long a reader waits for a lock, which is less than its caller does.
const READ_LOCK_WAIT: Duration = Duration::from_secs(2);
/// How long the writer waits for another process to end its change.
const WRITE_LOCK_WAIT: Duration = Duration::from_secs(5);
/// Why a file cannot be the key store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path:?} cannot be created: {source}")]
    Create { path: PathBuf, source: std::io::Error },
    #[error("{path:?} cannot be opened as an SQLite database: {source}")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{0:?} is a database of something else; it was left as it is")]
    NotOurs(PathBuf),
    #[error(
        "{path:?} was made by a newer version of this program \
         (schema {found}, known here up to {known})"
    )]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("a thread for {path:?} cannot be started: {source}")]
    Thread { path: PathBuf, source: std::io::Error },
}

/// The records in one database file.
#[derive(Debug)]
pub struct SqliteStore {
    readers: Workers,
    writer: Workers,
}

impl SqliteStore {
    /// Opens the file, and makes it (readable by its owner alone) when there is none.
    ///
    /// Blocks for as long as the disk takes, or another process that is making the same file.
    ///
    /// # Errors
    /// When there cannot be a file, or the one that is there is not a key store that this version
    /// understands.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        schema::prepare(path, WRITE_LOCK_WAIT)?;
        let spawn = |name, threads, queue, lock_wait| {
            let open = || Database::new(path.to_owned(), lock_wait);
            Workers::spawn(name, threads, queue, open)
                .map_err(|source| OpenError::Thread { path: path.to_owned(), source })
        };
        Ok(Self {
            readers: spawn("sqlite-reader", READERS, READ_QUEUE, READ_LOCK_WAIT)?,
            writer: spawn("sqlite-writer", 1, WRITE_QUEUE, WRITE_LOCK_WAIT)?,
        })
    }

    /// One question of the exchange, which is not asked again.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> (AttemptLog, Result<T, Unavailable>) {
        let log = AttemptLog::default();
        let attempt = log.begin("select");
        let found = self.read(question).await;
        log.end(attempt, found.as_ref().err().map(|why| why.kind));
        (log, found)
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let ask = move |database: &mut Database, deadline| {
            question(database.connection(deadline)?).map_err(|error| database.failed(&error))
        };
        match self.readers.run(READ_DEADLINE, ask).await {
            Ok(answer) => answer,
            Err(Interrupted::NotBegun(why) | Interrupted::Begun(why)) => Err(why),
        }
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let (id, key) = (integration_id.clone(), key_id.clone());
        let found = self
            .ask(move |database| rows::read_integration_key(database, id.as_str(), key.as_str()));
        let (log, found) = found.await;
        log.tell(found.and_then(|row| {
            let Some(row) = row else { return Ok(Answer::Absent) };
            Ok(Answer::Found(IntegrationKey {
                secret_hash: row.secret_hash(),
                status: row.key_status(),
                tier: row.tier,
                validity: row.validity()?,
            }))
        }))
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        let hash = key.hash();
        let found = self.ask(move |database| {
            Ok(match rows::read_organization_key(database, &hash, None)? {
                Some(row) => (Some(row.organization), row.facts),
                None => (None, rows::read_organization_key_facts(database, &hash)?),
            })
        });
        let (log, found) = found.await;
        log.tell(found.and_then(|(holder, facts)| {
            Ok(match (holder, facts.validity()?) {
                (Some(name), validity) => Answer::Found(OrganizationKey {
                    holder: Holder::Organization(name.into()),
                    validity: validity.unwrap_or_default(),
                }),
                (None, Some(validity)) => Answer::Gone(validity),
                (None, None) => Answer::Absent,
            })
        }))
    }
}

#[async_trait]
impl KeyRecords for SqliteStore {
    async fn read_integration(
        &self,
        id: &IntegrationId,
    ) -> Result<Option<IntegrationRow>, Unavailable> {
        let id = id.clone();
        self.read(move |database| rows::read_integration(database, id.as_str())).await
    }

    async fn read_integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Option<IntegrationKeyRow>, Unavailable> {
        let (id, key) = (integration_id.clone(), key_id.clone());
        self.read(move |database| rows::read_integration_key(database, id.as_str(), key.as_str()))
            .await
    }

    async fn read_organization(
        &self,
        name: &OrganizationName,
    ) -> Result<Option<OrganizationRow>, Unavailable> {
        let name = name.clone();
        self.read(move |database| rows::read_organization(database, name.as_str())).await
    }

    async fn list_integrations(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationRow>, Unavailable> {
        let after = Place::after(after);
        self.read(move |database| rows::list_integrations(database, &after)).await
    }

    async fn list_integration_keys(
        &self,
        of: Option<&IntegrationId>,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationKeyRow>, Unavailable> {
        let (of, after) = (of.cloned(), Place::after(after));
        self.read(move |database| {
            let of = of.as_ref().map(IntegrationId::as_str);
            rows::list_integration_keys(database, of, &after)
        })
        .await
    }

    async fn list_integration_key_facts(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<IntegrationKeyFactsRow>, Unavailable> {
        let after = Place::after(after);
        self.read(move |database| rows::list_integration_key_facts(database, &after)).await
    }

    async fn list_organizations(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationRow>, Unavailable> {
        let after = Place::after(after);
        self.read(move |database| rows::list_organizations(database, &after)).await
    }

    async fn list_organization_keys(
        &self,
        of: OrganizationKeysOf<'_>,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationKeyRow>, Unavailable> {
        let (holder, hash) = match of {
            OrganizationKeysOf::Everybody => (None, None),
            OrganizationKeysOf::Organization(name) => (Some(name.clone()), None),
            OrganizationKeysOf::Credential(row) => (None, Some(row.key_hash)),
        };
        let after = Place::after(after);
        self.read(move |database| {
            let holder = holder.as_ref().map(OrganizationName::as_str);
            rows::list_organization_keys(database, holder, hash.as_ref(), &after)
        })
        .await
    }

    async fn list_organization_key_facts(
        &self,
        after: Option<&Cursor>,
    ) -> Result<Page<OrganizationKeyFactsRow>, Unavailable> {
        let after = Place::after(after);
        self.read(move |database| rows::list_organization_key_facts(database, &after)).await
    }
}
