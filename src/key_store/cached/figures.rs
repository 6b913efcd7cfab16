//! What the cache counts. Read by whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reading, Source, Unavailable};

/// Counters since the start, and the reads under way.
#[derive(Debug, Default)]
pub struct Figures {
    store: AtomicU64,
    fresh: AtomicU64,
    refreshing: AtomicU64,
    stale: AtomicU64,
    absence: AtomicU64,
    unavailable: AtomicU64,
    reads: AtomicU64,
    reads_ended: AtomicU64,
    failed: AtomicU64,
    joined: AtomicU64,
    crowded: AtomicU64,
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

    /// Reads of the store that were begun.
    #[must_use]
    pub fn reads(&self) -> u64 {
        read(&self.reads)
    }

    /// Reads of the store that came to nothing.
    #[must_use]
    pub fn failed_reads(&self) -> u64 {
        read(&self.failed)
    }

    /// Reads of the store under way.
    #[must_use]
    pub fn reads_in_flight(&self) -> u64 {
        // The later one first: what ends in between must not make it negative.
        let ended = read(&self.reads_ended);
        read(&self.reads).saturating_sub(ended)
    }

    /// Callers that waited for the read of another.
    #[must_use]
    pub fn joined_reads(&self) -> u64 {
        read(&self.joined)
    }

    /// Reads that found no place in time; they are among the failed ones.
    #[must_use]
    pub fn crowded_reads(&self) -> u64 {
        read(&self.crowded)
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
        count(&self.reads);
    }

    pub(super) fn count_ended(&self, failed: bool) {
        count(&self.reads_ended);
        if failed {
            count(&self.failed);
        }
    }

    pub(super) fn count_joined(&self) {
        count(&self.joined);
    }

    pub(super) fn count_crowded(&self) {
        count(&self.crowded);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
