//! Changes of the tables: one immediate transaction each, in which every write first looks whether
//! its place is as it has to be.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::SqliteStore;
use super::database::{Database, unavailable};
use super::rows;
use super::worker::Interrupted;
use crate::api_key::SecretHash;
use crate::key_store::{
    Change, Facts, KeyAdmin, KeyStatus, UnavailableKind, WRITE_DEADLINE, Write, WriteError,
};

#[async_trait]
impl KeyAdmin for SqliteStore {
    async fn commit(&self, change: &Change) -> Result<(), WriteError> {
        if change.writes().is_empty() {
            return Ok(());
        }
        if change.writes().len() > Change::MAX_WRITES {
            return Err(WriteError::TooLarge(change.writes().len()));
        }
        let change = change.clone();
        let make = move |database: &mut Database, deadline| {
            let result = transact(database.connection(deadline)?, &change);
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

fn transact(connection: &mut Connection, change: &Change) -> Result<(), ChangeError> {
    // Immediate: the lock is waited for at the start, where nothing has been read yet.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for write in change.writes() {
        if !make(&transaction, write)? {
            return Err(ChangeError::Refused(Box::new(WriteError::in_the_way_of(write))));
        }
    }
    transaction.commit().map_err(ChangeError::Commit)
}

/// Makes one write, or says that its place is not as it has to be.
fn make(database: &Connection, write: &Write) -> rusqlite::Result<bool> {
    let written = match write {
        Write::InsertIntegration(new) => database
            .prepare_cached(
                "INSERT INTO integrations (id, description, created_at)
                 VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                new.id.as_str(),
                new.description.as_str(),
                new.created_at.as_microsecond(),
            ])?,
        Write::InsertIntegrationKey(new) => database
            .prepare_cached(
                "INSERT INTO integration_keys
                     (integration_id, key_id, secret_hash, status, tier, description, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                new.integration_id.as_str(),
                new.key_id.as_str(),
                new.secret_hash.to_hex(),
                KeyStatus::ACTIVE,
                new.tier,
                new.description.as_str(),
                new.created_at.as_microsecond(),
            ])?,
        Write::InsertOrganization(new) => database
            .prepare_cached(
                "INSERT INTO organizations (name, email, probability_multiplier, created_at)
                 VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                new.name.as_str(),
                new.email,
                new.probability_multiplier,
                new.created_at.as_microsecond(),
            ])?,
        Write::InsertOrganizationKey(new) => database
            .prepare_cached(
                "INSERT INTO organization_keys (key_hash, organization, created_at)
                 VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                new.key.hash().as_bytes(),
                new.organization.as_str(),
                new.created_at.as_microsecond(),
            ])?,
        Write::ReplaceIntegration(row) => {
            let stands = rows::read_integration(database, &row.id)?;
            if stands.map(|stands| stands.version) != Some(row.version) {
                return Ok(false);
            }
            database
                .prepare_cached(
                    "UPDATE integrations SET description = ?2, created_at = ?3 WHERE id = ?1",
                )?
                .execute(params![row.id, row.description, micros(row.created_at)])?
        }
        Write::ReplaceIntegrationKey(row) => {
            let stands = rows::read_integration_key(database, &row.integration_id, &row.key_id)?;
            if stands.map(|stands| stands.version) != Some(row.version) {
                return Ok(false);
            }
            database
                .prepare_cached(
                    "UPDATE integration_keys
                     SET secret_hash = ?3, status = ?4, tier = ?5, description = ?6, created_at = ?7
                     WHERE integration_id = ?1 AND key_id = ?2",
                )?
                .execute(params![
                    row.integration_id,
                    row.key_id,
                    row.key_hash,
                    row.status,
                    row.tier,
                    row.description,
                    micros(row.created_at),
                ])?
        }
        Write::ReplaceOrganization(row) => {
            let stands = rows::read_organization(database, &row.name)?;
            if stands.map(|stands| stands.version) != Some(row.version) {
                return Ok(false);
            }
            database
                .prepare_cached(
                    "UPDATE organizations
                     SET email = ?2, probability_multiplier = ?3, created_at = ?4 WHERE name = ?1",
                )?
                .execute(params![
                    row.name,
                    row.email,
                    row.probability_multiplier,
                    micros(row.created_at),
                ])?
        }
        Write::ReplaceOrganizationKey(row) | Write::RemoveOrganizationKey(row) => {
            let Some((holder, hash)) = rows::locate(&row.locator) else { return Ok(false) };
            let stands = rows::read_organization_key(database, &hash, Some(holder))?;
            if stands.map(|stands| stands.version) != Some(row.version) {
                return Ok(false);
            }
            if matches!(write, Write::ReplaceOrganizationKey(_)) {
                // Every row is indexed here, so the same again is the same.
                return Ok(true);
            }
            database
                .prepare_cached(
                    "DELETE FROM organization_keys WHERE key_hash = ?1 AND organization = ?2",
                )?
                .execute(params![hash.as_bytes(), holder])?
        }
        Write::PutIntegrationKeyFacts { integration_id, key_id, facts, instead_of } => {
            let stands = rows::read_integration_key_facts(database, integration_id, key_id)?;
            if stands.version() != *instead_of {
                return Ok(false);
            }
            let hash = facts.key_hash.map(SecretHash::to_hex);
            put_facts(
                database,
                "REPLACE INTO integration_key_facts
                     (integration_id, key_id, secret_hash, not_before, expires_at, revoked_at,
                      revoked_reason, replaced_by, replaces, created_by, changed_by, changed_at,
                      note)
                 VALUES (?11, ?12, ?13, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                facts,
                params![integration_id, key_id, hash],
            )?
        }
        Write::PutOrganizationKeyFacts { key_hash, facts, instead_of } => {
            let stands = rows::read_organization_key_facts(database, key_hash)?;
            if stands.version() != *instead_of {
                return Ok(false);
            }
            put_facts(
                database,
                "REPLACE INTO organization_key_facts
                     (key_hash, not_before, expires_at, revoked_at, revoked_reason, replaced_by,
                      replaces, created_by, changed_by, changed_at, note)
                 VALUES (?11, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                facts,
                params![key_hash.as_bytes()],
            )?
        }
    };
    Ok(written == 1)
}

fn put_facts(
    database: &Connection,
    sql: &str,
    facts: &Facts,
    name: &[&dyn rusqlite::ToSql],
) -> rusqlite::Result<usize> {
    let Facts { revoked, .. } = facts;
    let parameters = params![
        micros(facts.not_before),
        micros(facts.expires_at),
        micros(revoked.as_ref().map(|revocation| revocation.at)),
        revoked.as_ref().map(|revocation| revocation.reason.as_str()),
        facts.replaced_by,
        facts.replaces,
        facts.created_by,
        facts.changed_by,
        micros(facts.changed_at),
        facts.note,
    ];
    database.prepare_cached(sql)?.execute(&[parameters, name].concat()[..])
}

fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_microsecond)
}
