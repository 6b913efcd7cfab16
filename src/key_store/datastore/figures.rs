//! What operators want to know of the way to Datastore, in plain figures. Who shows them, and in
//! which form, is not known here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;
use crate::histogram::Durations;
use crate::key_store::UnavailableKind;
use crate::key_store::outcomes::TimesByOutcome;

/// The upper bounds of a histogram's buckets: a lookup takes tens of milliseconds, and an attempt of
/// the exchange ends after 800.
const BOUNDS: [Duration; 9] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(800),
    Duration::from_secs(3),
];

/// How the way to Datastore is, and how it has been since the start.
#[derive(Debug, Clone)]
pub struct DatastoreHealth {
    /// Calls that were sent, by what became of them; first attempts, retries and commits.
    pub attempts: Vec<(&'static str, Durations)>,
    pub retries: u64,
    /// Retries that might have helped and that the budget did not allow.
    pub retries_forgone: u64,
    /// Retries that the budget would allow at this moment.
    pub retry_budget: u64,
    pub connections: u64,
    pub failed_connections: u64,
    pub credentials_built: u64,
    pub failed_credentials: u64,
    /// Our clock less the store's, in seconds; `None` before the first answer that tells.
    pub clock_skew: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Figures {
    attempts: TimesByOutcome,
    pub(super) retries: AtomicU64,
    pub(super) retries_forgone: AtomicU64,
    connections: AtomicU64,
    failed_connections: AtomicU64,
    credentials_built: AtomicU64,
    failed_credentials: AtomicU64,
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            attempts: TimesByOutcome::new(&BOUNDS),
            retries: AtomicU64::default(),
            retries_forgone: AtomicU64::default(),
            connections: AtomicU64::default(),
            failed_connections: AtomicU64::default(),
            credentials_built: AtomicU64::default(),
            failed_credentials: AtomicU64::default(),
        }
    }
}

impl Figures {
    pub(super) fn record<T>(&self, outcome: &Result<T, Failure>, took: Duration) {
        self.attempts.observe(outcome.as_ref().err().map(|failure| failure.unavailable.kind), took);
    }

    pub(super) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed_connection(&self) {
        self.failed_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_credentials(&self) {
        self.credentials_built.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed_credentials(&self) {
        self.failed_credentials.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn health(&self, retry_budget: u64, clock_skew: Option<f64>) -> DatastoreHealth {
        // No attempt is refused for want of room; that is said of reads.
        let can_be = |(outcome, _): &(&str, _)| *outcome != UnavailableKind::Overloaded.as_str();
        DatastoreHealth {
            attempts: self.attempts.durations().filter(can_be).collect(),
            retries: self.retries.load(Ordering::Relaxed),
            retries_forgone: self.retries_forgone.load(Ordering::Relaxed),
            retry_budget,
            connections: self.connections.load(Ordering::Relaxed),
            failed_connections: self.failed_connections.load(Ordering::Relaxed),
            credentials_built: self.credentials_built.load(Ordering::Relaxed),
            failed_credentials: self.failed_credentials.load(Ordering::Relaxed),
            clock_skew,
        }
    }
}
