//! What the cache counts. Read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Reading, Source, Unavailable};
use crate::histogram::Durations;
use crate::key_store::outcomes::TimesByOutcome;

/// The upper bounds of a histogram's buckets: from a file on this machine to the deadline of a
/// read, which is 4 s, and its grace.
const BOUNDS: [Duration; 11] = [
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(800),
    Duration::from_secs(2),
    Duration::from_millis(4100),
];

/// Counters since the start, and the reads under way.
#[derive(Debug)]
pub struct Figures {
    store: AtomicU64,
    fresh: AtomicU64,
    refreshing: AtomicU64,
    stale: AtomicU64,
    absence: AtomicU64,
    unavailable: AtomicU64,
    reads_begun: AtomicU64,
    reads: TimesByOutcome,
    joined: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            store: AtomicU64::default(),
            fresh: AtomicU64::default(),
            refreshing: AtomicU64::default(),
            stale: AtomicU64::default(),
            absence: AtomicU64::default(),
            unavailable: AtomicU64::default(),
            reads_begun: AtomicU64::default(),
            reads: TimesByOutcome::new(&BOUNDS),
            joined: AtomicU64::default(),
        }
    }
}

impl Figures {
    /// Answers by what they rest on, as [`Source::name`] says it, and `unavailable` for those that
    /// there were none for.
    #[must_use]
    pub fn answers(&self) -> [(&'static str, u64); 6] {
        [
            ("store", read(&self.store)),
            ("fresh", read(&self.fresh)),
            ("refreshing", read(&self.refreshing)),
            ("stale", read(&self.stale)),
            ("absence", read(&self.absence)),
            ("unavailable", read(&self.unavailable)),
        ]
    }

    /// Reads of the store that have ended: `answered`, or the kind of the failure, as
    /// [`UnavailableKind`](crate::key_store::UnavailableKind) says it in a word; those without a
    /// place in time are `overloaded`.
    pub fn reads(&self) -> impl Iterator<Item = (&'static str, Durations)> {
        self.reads.durations()
    }

    /// Reads of the store under way.
    #[must_use]
    pub fn reads_in_flight(&self) -> u64 {
        // The later one first: what ends in between must not make it negative.
        let ended = self.reads.count();
        read(&self.reads_begun).saturating_sub(ended)
    }

    /// Callers that waited for the read of another.
    #[must_use]
    pub fn joined_reads(&self) -> u64 {
        read(&self.joined)
    }

    pub(super) fn count_answer<T>(&self, answer: &Result<Reading<T>, Unavailable>) {
        let counter = match answer.as_ref().map(|reading| reading.source) {
            Ok(Source::Store) => &self.store,
            Ok(Source::Fresh) => &self.fresh,
            Ok(Source::Refreshing) => &self.refreshing,
            Ok(Source::Stale(_)) => &self.stale,
            Ok(Source::Absence) => &self.absence,
            Err(_) => &self.unavailable,
        };
        count(counter);
    }

    pub(super) fn count_begun(&self) {
        count(&self.reads_begun);
    }

    pub(super) fn count_ended<T>(&self, outcome: &Result<T, Unavailable>, took: Duration) {
        self.reads.observe(outcome.as_ref().err().map(|why| why.kind), took);
    }

    pub(super) fn count_joined(&self) {
        count(&self.joined);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
