//! One connection to the file, which notices when the file is no longer there.
//!
//! An open connection goes on reading a file that was deleted or replaced under it, and would call
//! absent what is only out of its sight. So the name is looked at before every use (about a
//! microsecond), and the file that has it now is opened.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema;
use crate::key_store::{Unavailable, UnavailableKind};

/// What is left of a deadline for the answer, after waiting for a lock. SQLite counts the pauses
/// that it meant to make; on a busy machine they are longer.
const REPLY_TIME: Duration = Duration::from_secs(1);

/// What tells one file from another of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// The file of a name, opened when it is needed.
#[derive(Debug)]
pub(super) struct Database {
    path: PathBuf,
    lock_wait: Duration,
    open: Option<(Connection, Identity)>,
}

impl Database {
    pub(super) fn new(path: PathBuf, lock_wait: Duration) -> Self {
        Self { path, lock_wait, open: None }
    }

    /// The connection to the file that has the name at this moment. It waits for locks no longer
    /// than its caller waits for it, so that what was not begun is known to be not done.
    pub(super) fn connection(&mut self, deadline: Instant) -> Result<&mut Connection, Unavailable> {
        let identity = self.identity()?;
        let open = match self.open.take() {
            Some((connection, opened)) if opened == identity => (connection, opened),
            _ => (self.connect().map_err(|error| unavailable(&error))?, identity),
        };
        let connection = &mut self.open.insert(open).0;
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(REPLY_TIME);
        connection.busy_timeout(left.min(self.lock_wait)).map_err(|error| unavailable(&error))?;
        Ok(connection)
    }

    /// Closes after a failure that a new connection may not have, and says what it means.
    pub(super) fn failed(&mut self, error: &rusqlite::Error) -> Unavailable {
        if !is_busy(error) {
            self.open = None;
        }
        unavailable(error)
    }

    /// Forgets a connection that was left in the middle of something.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn identity(&self) -> Result<Identity, Unavailable> {
        match fs::metadata(&self.path) {
            Ok(file) => Ok(Identity { device: file.dev(), inode: file.ino() }),
            Err(error) => Err(Unavailable::new(
                UnavailableKind::Unreachable,
                format!("the database file: {error}"),
            )),
        }
    }

    fn connect(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        schema::configure(&connection, self.lock_wait)?;
        Ok(connection)
    }
}

/// What a failure of SQLite means to someone who asked for a key.
pub(super) fn unavailable(error: &rusqlite::Error) -> Unavailable {
    let kind = if is_busy(error) { UnavailableKind::TooSlow } else { UnavailableKind::Failed };
    // The message names tables and columns; values are bound, and SQLite does not repeat them.
    Unavailable::new(kind, format!("SQLite: {error}"))
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
