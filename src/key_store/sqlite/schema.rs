//! The tables, how they come about, and which files are taken for a key store.
//!
//! Every change of the tables is one more migration; a migration that was released is not edited.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::OpenError;
use super::database::is_busy;

/// `TkEx`: says in the file's header (`PRAGMA application_id`) that it is ours.
const APPLICATION_ID: i64 = 0x546B_4578;

/// Between two looks at a file that another process is making.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// From no tables to the newest; `PRAGMA user_version` counts the ones that a file has seen.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE integrations (
        id          TEXT    NOT NULL PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 64),
        description TEXT    NOT NULL,
        created_at  INTEGER NOT NULL -- microseconds since 1970, UTC; so everywhere
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE integration_keys (
        integration_id TEXT    NOT NULL REFERENCES integrations (id),
        key_id         TEXT    NOT NULL CHECK (octet_length(key_id) BETWEEN 4 AND 64),
        secret_hash    TEXT    NOT NULL, -- SHA-256 in lower-case hex; anything else fits no secret
        status         TEXT    NOT NULL, -- only 'active' validates
        tier           INTEGER NOT NULL,
        description    TEXT    NOT NULL,
        created_at     INTEGER NOT NULL,
        PRIMARY KEY (integration_id, key_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE organizations (
        name                   TEXT    NOT NULL PRIMARY KEY
                                       CHECK (octet_length(name) BETWEEN 1 AND 1500),
        email                  TEXT    NOT NULL,
        probability_multiplier REAL    NOT NULL,
        created_at             INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE organization_keys (
        key_hash     BLOB    NOT NULL CHECK (octet_length(key_hash) = 32), -- SHA-256
        organization TEXT    NOT NULL REFERENCES organizations (name),
        created_at   INTEGER NOT NULL,
        PRIMARY KEY (key_hash, organization)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX organization_keys_of ON organization_keys (organization);
",
    "
    CREATE TABLE integration_key_facts (
        integration_id TEXT    NOT NULL,
        key_id         TEXT    NOT NULL,
        secret_hash    TEXT    NOT NULL, -- the one that the facts speak of, in lower-case hex
        not_before     INTEGER,
        expires_at     INTEGER,
        revoked_at     INTEGER,
        revoked_reason TEXT,
        replaced_by    TEXT,             -- a key id
        replaces       TEXT,             -- a key id
        created_by     TEXT,
        changed_by     TEXT,
        changed_at     INTEGER,
        note           TEXT,
        PRIMARY KEY (integration_id, key_id),
        FOREIGN KEY (integration_id, key_id) REFERENCES integration_keys (integration_id, key_id)
    ) STRICT, WITHOUT ROWID;

    -- Of a credential, whoever holds it; they stay when nobody does any more.
    CREATE TABLE organization_key_facts (
        key_hash       BLOB    NOT NULL PRIMARY KEY CHECK (octet_length(key_hash) = 32),
        not_before     INTEGER,
        expires_at     INTEGER,
        revoked_at     INTEGER,
        revoked_reason TEXT,
        replaced_by    TEXT,             -- a hash in hex
        replaces       TEXT,             -- a hash in hex
        created_by     TEXT,
        changed_by     TEXT,
        changed_at     INTEGER,
        note           TEXT
    ) STRICT, WITHOUT ROWID;
",
];

/// Makes the file a key store of the newest schema, unless it is something else.
///
/// Any number of processes may do this to one file at once.
pub(super) fn prepare(path: &Path, lock_wait: Duration) -> Result<(), OpenError> {
    create(path).map_err(|source| OpenError::Create { path: path.to_owned(), source })?;
    let deadline = Instant::now() + lock_wait;
    loop {
        match migrate(path, lock_wait) {
            Ok(state) => return state.accept(path),
            // Changing to WAL does not wait for locks by itself.
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(source) => return Err(OpenError::Database { path: path.to_owned(), source }),
        }
    }
}

/// What every connection is told before its first use.
pub(super) fn configure(connection: &Connection, lock_wait: Duration) -> rusqlite::Result<()> {
    connection.busy_timeout(lock_wait)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A commit that was reported survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Read what the file says, not what it said: pages are never kept between transactions.
    connection.pragma_update(None, "cache_size", 0)
}

/// What a file turned out to be.
enum State {
    Current,
    Foreign,
    Newer(i64),
}

impl State {
    fn accept(self, path: &Path) -> Result<(), OpenError> {
        match self {
            Self::Current => Ok(()),
            Self::Foreign => Err(OpenError::NotOurs(path.to_owned())),
            Self::Newer(found) => {
                Err(OpenError::Newer { path: path.to_owned(), found, known: newest() })
            }
        }
    }
}

fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Makes the file before SQLite does, which would let everybody read it. The files beside it get
/// its permissions.
fn create(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn migrate(path: &Path, lock_wait: Duration) -> rusqlite::Result<State> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    configure(&connection, lock_wait)?;
    // A foreign file is found out before anything in it is changed. One transaction, because what
    // is read in it is changed by others.
    let seen = match state(&*connection.transaction()?)? {
        Ok(seen) => seen,
        Err(refused) => return Ok(refused),
    };
    // Readers go on while somebody writes.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    if seen == MIGRATIONS.len() {
        return Ok(State::Current);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let seen = match state(&transaction)? {
        Ok(seen) => seen,
        Err(refused) => return Ok(refused),
    };
    for migration in &MIGRATIONS[seen..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest())?;
    transaction.commit()?;
    Ok(State::Current)
}

/// How many migrations the file has seen, or why it is none of ours.
fn state(connection: &Connection) -> rusqlite::Result<Result<usize, State>> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_empty = (application, version, tables) == (0, 0, 0);
    if application != APPLICATION_ID && !is_empty {
        return Ok(Err(State::Foreign));
    }
    match usize::try_from(version) {
        Ok(seen) if seen <= MIGRATIONS.len() => Ok(Ok(seen)),
        _ => Ok(Err(State::Newer(version))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_commit_survives_a_power_cut_and_a_key_cannot_lose_its_holder() {
        let connection = Connection::open_in_memory().unwrap();
        configure(&connection, Duration::ZERO).unwrap();
        let number = |pragma| {
            connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap()
        };
        // SQLite, section PRAGMA synchronous: 2 is FULL.
        assert_eq!((number("synchronous"), number("foreign_keys")), (2, 1));
    }
}
