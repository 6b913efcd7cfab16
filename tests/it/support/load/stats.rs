//! What came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Latencies, in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stats {
    pub count: usize,
    pub a_second: f64,
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    /// The requests by the status of their answer; 0 stands for none.
    pub by_status: BTreeMap<u16, Stats>,
    /// The probes by path and status.
    pub probes: BTreeMap<String, BTreeMap<u16, Stats>>,
    /// How many cores the process kept busy that was to be watched.
    pub busy: f64,
}

impl Report {
    /// The requests with this status.
    pub fn of(&self, status: u16) -> Stats {
        self.by_status.get(&status).cloned().unwrap_or_default()
    }
}

/// Collects latencies by status.
#[derive(Debug, Default)]
pub(super) struct Latencies(BTreeMap<u16, Vec<Duration>>);

impl Latencies {
    pub(super) fn record(&mut self, status: u16, took: Duration) {
        self.0.entry(status).or_default().push(took);
    }

    pub(super) fn into_stats(self, measured: Duration) -> BTreeMap<u16, Stats> {
        self.0.into_iter().map(|(status, took)| (status, stats(took, measured))).collect()
    }
}

#[allow(clippy::cast_precision_loss, reason = "nobody counts that far")]
fn stats(mut took: Vec<Duration>, measured: Duration) -> Stats {
    took.sort_unstable();
    let millis = |at: usize| took.get(at).map_or(0.0, |took| took.as_secs_f64() * 1000.0);
    let last = took.len() - 1;
    Stats {
        count: took.len(),
        a_second: took.len() as f64 / measured.as_secs_f64(),
        p50: millis(last / 2),
        p99: millis(last - took.len() / 100),
        max: millis(last),
    }
}
