//! How many reads there may be at a time: a bulkhead between those of keys that are not known and
//! those of keys that are.
//!
//! Whoever makes up keys fills the first and holds up no caller with a key that is remembered.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

/// Reads of one side at a time: 2,000 a second of a store that takes 30 ms, over one connection.
const READS: usize = 64;
/// Reads of one side that wait for a place. With those under way they are half as many as there may
/// be exchanges at once, unless it is said otherwise.
const WAITING: usize = 960;
/// How long a read waits for its place: what the store cannot begin by then it cannot finish in
/// time for everybody.
const PLACE_WITHIN: Duration = Duration::from_secs(2);

/// Whose place a read takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Of a key of which nothing is remembered.
    Cold,
    /// Of a key that is remembered.
    Known,
}

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    cold: Queue,
    known: Queue,
    /// For callers of whom nothing older can be served, whether they began the read or joined it.
    callers: Semaphore,
}

/// The places of one side.
#[derive(Debug)]
struct Queue {
    /// For those who read and those who wait.
    door: Semaphore,
    reads: Semaphore,
}

/// A place, given back when dropped.
pub(super) struct Place<'a> {
    _read: SemaphorePermit<'a>,
    _door: SemaphorePermit<'a>,
}

impl Places {
    pub(super) fn new(callers: usize) -> Self {
        let callers = Semaphore::new(callers.min(Semaphore::MAX_PERMITS));
        Self { cold: Queue::default(), known: Queue::default(), callers }
    }

    /// A place to wait in for as long as the store takes; `None` when there is none.
    pub(super) fn wait(&self) -> Option<SemaphorePermit<'_>> {
        self.callers.try_acquire().ok()
    }

    /// Waits for a place; `None` when there is none in time.
    pub(super) async fn enter(&self, side: Side) -> Option<Place<'_>> {
        match side {
            Side::Cold => self.cold.enter().await,
            Side::Known => self.known.enter().await,
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self { door: Semaphore::new(READS + WAITING), reads: Semaphore::new(READS) }
    }
}

impl Queue {
    async fn enter(&self) -> Option<Place<'_>> {
        let door = self.door.try_acquire().ok()?;
        let read = timeout(PLACE_WITHIN, self.reads.acquire()).await.ok()?.ok()?;
        Some(Place { _read: read, _door: door })
    }
}
