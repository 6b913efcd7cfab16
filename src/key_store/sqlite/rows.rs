//! What the tables hold, row by row, as the rest of the program sees it.
//!
//! A row has no version of its own: it is told from any other state of itself by what it says, as
//! a digest. Whoever writes compares within the transaction.

use std::ops::Range;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};

use crate::api_key::SecretHash;
use crate::key_store::{
    Cursor, Defect, Facts, FactsState, IntegrationKeyFactsRow, IntegrationKeyRow, IntegrationRow,
    Locator, OrganizationKeyFactsRow, OrganizationKeyRow, OrganizationRow, PAGE_ROWS, Page,
    Revocation, StoredFacts, Version,
};

/// The columns of facts that both families have; [`facts`] reads them behind a hash.
macro_rules! facts_of {
    ($hash:literal) => {
        concat!(
            $hash,
            ", f.not_before, f.expires_at, f.revoked_at, f.revoked_reason, f.replaced_by,
             f.replaces, f.created_by, f.changed_by, f.changed_at, f.note"
        )
    };
}
/// How many columns facts have, their hash included.
const FACTS: u8 = 11;

const INTEGRATIONS: &str = "SELECT id, description, created_at FROM integrations";

const INTEGRATION_KEYS: &str = concat!(
    "SELECT k.integration_id, k.key_id, k.secret_hash, k.status, k.tier, k.description,
            k.created_at, ",
    facts_of!("f.secret_hash"),
    " FROM integration_keys AS k
     LEFT JOIN integration_key_facts AS f USING (integration_id, key_id)"
);

const ORGANIZATIONS: &str =
    "SELECT name, email, probability_multiplier, created_at FROM organizations";

const ORGANIZATION_KEYS: &str = concat!(
    "SELECT k.organization, k.key_hash, k.created_at, ",
    facts_of!("f.key_hash"),
    " FROM organization_keys AS k LEFT JOIN organization_key_facts AS f USING (key_hash)"
);

const INTEGRATION_KEY_FACTS: &str = concat!(
    "SELECT f.integration_id, f.key_id, ",
    facts_of!("f.secret_hash"),
    " FROM integration_key_facts AS f"
);

const ORGANIZATION_KEY_FACTS: &str =
    concat!("SELECT ", facts_of!("f.key_hash"), " FROM organization_key_facts AS f");

pub(super) fn read_integration(
    database: &Connection,
    id: &str,
) -> rusqlite::Result<Option<IntegrationRow>> {
    one(database, &format!("{INTEGRATIONS} WHERE id = ?1"), params![id], integration)
}

pub(super) fn read_integration_key(
    database: &Connection,
    integration_id: &str,
    key_id: &str,
) -> rusqlite::Result<Option<IntegrationKeyRow>> {
    let sql = format!("{INTEGRATION_KEYS} WHERE k.integration_id = ?1 AND k.key_id = ?2");
    one(database, &sql, params![integration_id, key_id], integration_key)
}

pub(super) fn read_organization(
    database: &Connection,
    name: &str,
) -> rusqlite::Result<Option<OrganizationRow>> {
    one(database, &format!("{ORGANIZATIONS} WHERE name = ?1"), params![name], organization)
}

/// A key of an organization by its hash: of several holders the first, or the one that is named.
pub(super) fn read_organization_key(
    database: &Connection,
    hash: &SecretHash,
    holder: Option<&str>,
) -> rusqlite::Result<Option<OrganizationKeyRow>> {
    let sql = format!(
        "{ORGANIZATION_KEYS} WHERE k.key_hash = ?1 AND k.organization = ifnull(?2, k.organization)
         ORDER BY k.organization LIMIT 1"
    );
    one(database, &sql, params![hash.as_bytes(), holder], organization_key)
}

pub(super) fn read_integration_key_facts(
    database: &Connection,
    integration_id: &str,
    key_id: &str,
) -> rusqlite::Result<FactsState> {
    let sql = format!("{INTEGRATION_KEY_FACTS} WHERE f.integration_id = ?1 AND f.key_id = ?2");
    let found = one(database, &sql, params![integration_id, key_id], |row| facts(row, 2))?;
    Ok(found.unwrap_or_default())
}

pub(super) fn read_organization_key_facts(
    database: &Connection,
    hash: &SecretHash,
) -> rusqlite::Result<FactsState> {
    let sql = format!("{ORGANIZATION_KEY_FACTS} WHERE f.key_hash = ?1");
    let found = one(database, &sql, params![hash.as_bytes()], |row| facts(row, 0))?;
    Ok(found.unwrap_or_default())
}

pub(super) fn list_integrations(
    database: &Connection,
    after: &Place,
) -> rusqlite::Result<Page<IntegrationRow>> {
    let sql = format!("{INTEGRATIONS} WHERE id > ?1 ORDER BY id LIMIT ?2");
    page(database, &sql, params![after.first, limit()], integration, |row| Place {
        first: row.id.clone(),
        second: Vec::new(),
    })
}

pub(super) fn list_integration_keys(
    database: &Connection,
    of: Option<&str>,
    after: &Place,
) -> rusqlite::Result<Page<IntegrationKeyRow>> {
    let of_one = if of.is_some() { "AND k.integration_id = ?4" } else { "AND ?4 IS NULL" };
    let sql = format!(
        "{INTEGRATION_KEYS} WHERE (k.integration_id, k.key_id) > (?1, CAST(?2 AS TEXT)) {of_one}
         ORDER BY k.integration_id, k.key_id LIMIT ?3"
    );
    let parameters = params![after.first, after.second, limit(), of];
    page(database, &sql, parameters, integration_key, |row| Place {
        first: row.integration_id.clone(),
        second: row.key_id.clone().into_bytes(),
    })
}

pub(super) fn list_integration_key_facts(
    database: &Connection,
    after: &Place,
) -> rusqlite::Result<Page<IntegrationKeyFactsRow>> {
    let sql = format!(
        "{INTEGRATION_KEY_FACTS} WHERE (f.integration_id, f.key_id) > (?1, CAST(?2 AS TEXT))
         ORDER BY f.integration_id, f.key_id LIMIT ?3"
    );
    let parameters = params![after.first, after.second, limit()];
    page(database, &sql, parameters, integration_key_facts, |row| Place {
        first: row.integration_id.clone(),
        second: row.key_id.clone().into_bytes(),
    })
}

pub(super) fn list_organizations(
    database: &Connection,
    after: &Place,
) -> rusqlite::Result<Page<OrganizationRow>> {
    let sql = format!("{ORGANIZATIONS} WHERE name > ?1 ORDER BY name LIMIT ?2");
    page(database, &sql, params![after.first, limit()], organization, |row| Place {
        first: row.name.clone(),
        second: Vec::new(),
    })
}

/// Keys of all organizations, of one, or of all that hold one credential.
pub(super) fn list_organization_keys(
    database: &Connection,
    of: Option<&str>,
    hash: Option<&SecretHash>,
    after: &Place,
) -> rusqlite::Result<Page<OrganizationKeyRow>> {
    let of_one = if of.is_some() { "AND k.organization = ?4" } else { "AND ?4 IS NULL" };
    let of_hash = if hash.is_some() { "AND k.key_hash = ?5" } else { "AND ?5 IS NULL" };
    let sql = format!(
        "{ORGANIZATION_KEYS} WHERE (k.organization, k.key_hash) > (?1, ?2) {of_one} {of_hash}
         ORDER BY k.organization, k.key_hash LIMIT ?3"
    );
    let hash = hash.map(SecretHash::as_bytes);
    let parameters = params![after.first, after.second, limit(), of, hash];
    page(database, &sql, parameters, organization_key, |row| Place {
        first: row.organization.clone(),
        second: row.key_hash.as_bytes().to_vec(),
    })
}

pub(super) fn list_organization_key_facts(
    database: &Connection,
    after: &Place,
) -> rusqlite::Result<Page<OrganizationKeyFactsRow>> {
    let sql =
        format!("{ORGANIZATION_KEY_FACTS} WHERE f.key_hash > ?1 ORDER BY f.key_hash LIMIT ?2");
    page(database, &sql, params![after.second, limit()], organization_key_facts, |row| Place {
        first: String::new(),
        second: hex::decode(&row.key_hash).unwrap_or_default(),
    })
}

/// The name of the last row of a page. No name is empty, so the empty place is before all of them.
#[derive(Default)]
pub(super) struct Place {
    first: String,
    second: Vec<u8>,
}

impl Place {
    pub(super) fn after(cursor: Option<&Cursor>) -> Self {
        let Some(Cursor(bytes)) = cursor else { return Self::default() };
        // No name holds the byte that cannot occur in UTF-8.
        let (first, second) = match bytes.iter().position(|byte| *byte == Self::BETWEEN) {
            Some(at) => (&bytes[..at], &bytes[at + 1..]),
            None => (&bytes[..], &[][..]),
        };
        Self { first: String::from_utf8_lossy(first).into_owned(), second: second.to_vec() }
    }

    fn cursor(self) -> Cursor {
        let mut bytes = self.first.into_bytes();
        bytes.push(Self::BETWEEN);
        bytes.extend(self.second);
        Cursor(bytes)
    }

    const BETWEEN: u8 = 0xFF;
}

/// The holder and the hash that a locator names. Neither is a secret here.
pub(super) fn locate(locator: &Locator) -> Option<(&str, SecretHash)> {
    let (hash, holder) = locator.0.expose_secret().split_once(' ')?;
    Some((holder, SecretHash::from_hex(hash)?))
}

fn limit() -> i64 {
    i64::try_from(PAGE_ROWS).unwrap_or(i64::MAX)
}

fn one<T>(
    database: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    database.prepare_cached(sql)?.query_row(parameters, read).optional()
}

fn page<T>(
    database: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    place: impl Fn(&T) -> Place,
) -> rusqlite::Result<Page<T>> {
    let mut statement = database.prepare_cached(sql)?;
    let rows: Vec<T> = statement.query_map(parameters, read)?.collect::<rusqlite::Result<_>>()?;
    let is_full = rows.len() == PAGE_ROWS;
    let next = rows.last().filter(|_| is_full).map(|last| place(last).cursor());
    Ok(Page { rows, next })
}

fn integration(row: &Row<'_>) -> rusqlite::Result<IntegrationRow> {
    Ok(IntegrationRow {
        id: row.get(0)?,
        description: row.get(1)?,
        created_at: time(row, 2)?,
        defects: Vec::new(),
        version: version(row, 0..3)?,
    })
}

fn integration_key(row: &Row<'_>) -> rusqlite::Result<IntegrationKeyRow> {
    Ok(IntegrationKeyRow {
        integration_id: row.get(0)?,
        key_id: row.get(1)?,
        key_hash: row.get(2)?,
        status: row.get(3)?,
        tier: row.get(4)?,
        description: row.get(5)?,
        created_at: time(row, 6)?,
        defects: Vec::new(),
        version: version(row, 0..7)?,
        facts: facts(row, 7)?,
    })
}

fn organization(row: &Row<'_>) -> rusqlite::Result<OrganizationRow> {
    Ok(OrganizationRow {
        name: row.get(0)?,
        email: row.get(1)?,
        probability_multiplier: row.get(2)?,
        created_at: time(row, 3)?,
        defects: Vec::new(),
        version: version(row, 0..4)?,
    })
}

fn organization_key(row: &Row<'_>) -> rusqlite::Result<OrganizationKeyRow> {
    let organization: String = row.get(0)?;
    let key_hash = SecretHash::from_bytes(row.get(1)?);
    let locator = format!("{} {organization}", key_hash.to_hex());
    Ok(OrganizationKeyRow {
        organization,
        key_hash,
        created_at: time(row, 2)?,
        defects: Vec::new(),
        locator: Locator(locator.into()),
        version: version(row, 0..3)?,
        facts: facts(row, 3)?,
    })
}

fn integration_key_facts(row: &Row<'_>) -> rusqlite::Result<IntegrationKeyFactsRow> {
    Ok(IntegrationKeyFactsRow {
        integration_id: row.get(0)?,
        key_id: row.get(1)?,
        facts: facts(row, 2)?,
    })
}

fn organization_key_facts(row: &Row<'_>) -> rusqlite::Result<OrganizationKeyFactsRow> {
    let hash: [u8; 32] = row.get(0)?;
    Ok(OrganizationKeyFactsRow { key_hash: hex::encode(hash), facts: facts(row, 0)? })
}

/// Reads the columns of facts; a hash that is NULL is a join that found none.
fn facts(row: &Row<'_>, first: usize) -> rusqlite::Result<FactsState> {
    let key_hash = match row.get_ref(first)? {
        ValueRef::Null => return Ok(FactsState::None),
        ValueRef::Text(hex) => std::str::from_utf8(hex).ok().and_then(SecretHash::from_hex),
        // Facts of a credential: what they are about is their name.
        _ => None,
    };
    let speaks_of_a_hash = !matches!(row.get_ref(first)?, ValueRef::Text(_)) || key_hash.is_some();
    let version = version(row, first..first + usize::from(FACTS))?;
    let unreadable =
        |property| Ok(FactsState::Unreadable { defect: Defect::PropertyType(property), version });
    if !speaks_of_a_hash {
        return unreadable("secret_hash");
    }
    for (column, property) in
        [(1, "not_before"), (2, "expires_at"), (3, "revoked_at"), (9, "changed_at")]
    {
        if !is_time(row, first + column)? {
            return unreadable(property);
        }
    }
    let reason: Option<String> = row.get(first + 4)?;
    let facts = Facts {
        key_hash,
        not_before: time(row, first + 1)?,
        expires_at: time(row, first + 2)?,
        revoked: time(row, first + 3)?
            .map(|at| Revocation { at, reason: reason.unwrap_or_default() }),
        replaced_by: row.get(first + 5)?,
        replaces: row.get(first + 6)?,
        created_by: row.get(first + 7)?,
        changed_by: row.get(first + 8)?,
        changed_at: time(row, first + 9)?,
        note: row.get(first + 10)?,
    };
    Ok(FactsState::Readable(Box::new(StoredFacts { facts, version })))
}

/// Microseconds since 1970; `None` as well when that is no time that anybody can write down.
fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    let micros: Option<i64> = row.get(column)?;
    Ok(micros.and_then(|micros| Timestamp::from_microsecond(micros).ok()))
}

/// Whether a column holds a time or nothing, and not a number that is no time.
fn is_time(row: &Row<'_>, column: usize) -> rusqlite::Result<bool> {
    let micros: Option<i64> = row.get(column)?;
    Ok(micros.is_none_or(|micros| Timestamp::from_microsecond(micros).is_ok()))
}

/// A digest of what the columns hold.
fn version(row: &Row<'_>, columns: Range<usize>) -> rusqlite::Result<Version> {
    let mut digest = Sha256::new();
    for column in columns {
        let (kind, bytes) = match row.get_ref(column)? {
            ValueRef::Null => (0_u8, Vec::new()),
            ValueRef::Integer(number) => (1, number.to_be_bytes().to_vec()),
            ValueRef::Real(number) => (2, number.to_be_bytes().to_vec()),
            ValueRef::Text(text) => (3, text.to_vec()),
            ValueRef::Blob(blob) => (4, blob.to_vec()),
        };
        digest.update([kind]);
        digest.update(bytes.len().to_be_bytes());
        digest.update(bytes);
    }
    let digest: [u8; 32] = digest.finalize().into();
    let (first, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    Ok(Version(i64::from_be_bytes(*first)))
}
