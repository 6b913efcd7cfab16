//! SQLite: a key store in one file, for development, tests and small installations. With the rooms
//! below it is the only one that knows `rusqlite`.
//!
//! The schema holds what the readers need and refuses what they would stumble over: types are
//! strict, and a key without its holder cannot be stored. Keys of organizations are kept only as
//! hashes, so the file opens nothing. Whatever SQLite cannot answer (locked, corrupt, gone) is
//! unavailable, never absent.

mod database;
mod schema;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey, SecretHash};
use crate::key_store::{
    Answer, Holder, IntegrationKey, KeyAdmin, KeyStatus, KeyStore, NewIntegration,
    NewIntegrationKey, NewOrganization, NewOrganizationKey, OrganizationKey, Unavailable,
    UnavailableKind, WriteError,
};
use database::{Database, unavailable};
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
/// One question as its caller sees it, the queue included; the same as with any other store.
const READ_DEADLINE: Duration = Duration::from_secs(4);
/// One change as its caller sees it, the queue included.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

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

    /// Runs a change in a transaction of its own, which is committed only if it succeeds.
    async fn write(
        &self,
        change: impl FnOnce(&Connection) -> Result<(), ChangeError> + Send + 'static,
    ) -> Result<(), WriteError> {
        let make = move |database: &mut Database, deadline| {
            let result = transact(database.connection(deadline)?, change);
            result.map_err(|error| match error {
                ChangeError::Refused(refusal) => *refusal,
                ChangeError::Sqlite(error) => database.failed(&error).into(),
                ChangeError::Commit(error) => match unavailable(&error) {
                    busy if busy.kind == UnavailableKind::TooSlow => busy.into(),
                    broken => WriteError::Unknown(broken),
                },
            })
        };
        match self.writer.run(WRITE_DEADLINE, make).await {
            Ok(outcome) => outcome,
            Err(Interrupted::NotBegun(why)) => Err(why.into()),
            Err(Interrupted::Begun(why)) => Err(WriteError::Unknown(why)),
        }
    }
}

/// Why a transaction was not committed, or may not have been.
enum ChangeError {
    Refused(Box<WriteError>),
    Sqlite(rusqlite::Error),
    Commit(rusqlite::Error),
}

impl From<rusqlite::Error> for ChangeError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<WriteError> for ChangeError {
    fn from(refusal: WriteError) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

fn transact(
    connection: &mut Connection,
    change: impl FnOnce(&Connection) -> Result<(), ChangeError>,
) -> Result<(), ChangeError> {
    // Immediate: the lock is waited for at the start, where nothing has been read yet.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    change(&transaction)?;
    transaction.commit().map_err(ChangeError::Commit)
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Answer<IntegrationKey>, Unavailable> {
        let (integration_id, key_id) = (integration_id.clone(), key_id.clone());
        let found = self.read(move |database| {
            database
                .prepare_cached(
                    "SELECT secret_hash, status, tier FROM integration_keys
                     WHERE integration_id = ?1 AND key_id = ?2",
                )?
                .query_row(params![integration_id.as_str(), key_id.as_str()], |row| {
                    Ok(IntegrationKey {
                        secret_hash: SecretHash::from_hex(row.get_ref(0)?.as_str()?),
                        status: KeyStatus::from_stored(row.get_ref(1)?.as_str()?),
                        tier: row.get(2)?,
                    })
                })
                .optional()
        });
        Ok(found.await?.map_or(Answer::Absent, Answer::Found))
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
    ) -> Result<Answer<OrganizationKey>, Unavailable> {
        let hash = key.hash();
        let found = self.read(move |database| {
            database
                .prepare_cached(
                    "SELECT organization FROM organization_keys
                     WHERE key_hash = ?1 ORDER BY organization LIMIT 1",
                )?
                .query_row([hash.as_bytes()], |row| row.get(0))
                .optional()
        });
        let holder = found.await?.map(Holder::Organization);
        Ok(holder.map_or(Answer::Absent, |holder| Answer::Found(OrganizationKey { holder })))
    }
}

#[async_trait]
impl KeyAdmin for SqliteStore {
    async fn create_integration(
        &self,
        integration: &NewIntegration,
        key: &NewIntegrationKey,
    ) -> Result<(), WriteError> {
        let (integration, key) = (integration.clone(), key.clone());
        self.write(move |database| {
            let inserted = database
                .prepare_cached(
                    "INSERT INTO integrations (id, description, created_at)
                     VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    integration.id.as_str(),
                    integration.description.as_str(),
                    integration.created_at.as_microsecond(),
                ])?;
            if inserted == 0 {
                return Err(WriteError::IntegrationExists(integration.id).into());
            }
            insert_integration_key(database, &key)
        })
        .await
    }

    async fn create_integration_key(&self, key: &NewIntegrationKey) -> Result<(), WriteError> {
        let key = key.clone();
        self.write(move |database| {
            let mut integration =
                database.prepare_cached("SELECT 1 FROM integrations WHERE id = ?1")?;
            if !integration.exists([key.integration_id.as_str()])? {
                return Err(WriteError::NoSuchIntegration(key.integration_id).into());
            }
            insert_integration_key(database, &key)
        })
        .await
    }

    async fn create_organization(&self, organization: &NewOrganization) -> Result<(), WriteError> {
        let organization = organization.clone();
        self.write(move |database| {
            let inserted = database
                .prepare_cached(
                    "INSERT INTO organizations (name, email, probability_multiplier, created_at)
                     VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    organization.name.as_str(),
                    organization.email,
                    organization.probability_multiplier,
                    organization.created_at.as_microsecond(),
                ])?;
            if inserted == 0 {
                return Err(WriteError::OrganizationExists(organization.name).into());
            }
            Ok(())
        })
        .await
    }

    async fn create_organization_key(&self, key: &NewOrganizationKey) -> Result<(), WriteError> {
        let (organization, hash) = (key.organization.clone(), key.key.hash());
        let created_at = key.created_at.as_microsecond();
        self.write(move |database| {
            let mut holder =
                database.prepare_cached("SELECT 1 FROM organizations WHERE name = ?1")?;
            if !holder.exists([organization.as_str()])? {
                return Err(WriteError::NoSuchOrganization(organization).into());
            }
            let inserted = database
                .prepare_cached(
                    "INSERT INTO organization_keys (key_hash, organization, created_at)
                     VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                )?
                .execute(params![hash.as_bytes(), organization.as_str(), created_at])?;
            if inserted == 0 {
                return Err(WriteError::OrganizationKeyExists(organization).into());
            }
            Ok(())
        })
        .await
    }
}

fn insert_integration_key(
    database: &Connection,
    key: &NewIntegrationKey,
) -> Result<(), ChangeError> {
    let inserted = database
        .prepare_cached(
            "INSERT INTO integration_keys
                 (integration_id, key_id, secret_hash, status, tier, description, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            key.integration_id.as_str(),
            key.key_id.as_str(),
            key.secret_hash.to_hex(),
            KeyStatus::ACTIVE,
            key.tier,
            key.description.as_str(),
            key.created_at.as_microsecond(),
        ])?;
    if inserted == 0 {
        let refusal =
            WriteError::IntegrationKeyExists(key.integration_id.clone(), key.key_id.clone());
        return Err(refusal.into());
    }
    Ok(())
}
