//! How the signing threads do, in plain figures; what shows them is elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::histogram::{Durations, Histogram};

/// The upper bounds of a histogram's buckets: from an Ed25519 signature to the longest wait.
const BOUNDS: [Duration; 15] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2500),
];

/// The signatures of one algorithm.
#[derive(Debug)]
pub(super) struct Signatures {
    pub(super) waits: Histogram,
    pub(super) times: Histogram,
}

impl Default for Signatures {
    fn default() -> Self {
        Self { waits: Histogram::new(&BOUNDS), times: Histogram::new(&BOUNDS) }
    }
}

/// The signatures since the start, by the `alg` of their key.
#[derive(Debug, Default)]
pub(super) struct ByAlgorithm(BTreeMap<&'static str, Signatures>);

impl ByAlgorithm {
    pub(super) fn of(&mut self, algorithm: &'static str) -> &Signatures {
        self.0.entry(algorithm).or_default()
    }

    pub(super) fn times(&self) -> Vec<SignatureTimes> {
        let times = |(algorithm, signatures): (&&'static str, &Signatures)| SignatureTimes {
            algorithm,
            waits: signatures.waits.durations(),
            times: signatures.times.durations(),
        };
        self.0.iter().map(times).collect()
    }
}

/// The signatures of one algorithm since the start.
#[derive(Debug, Clone)]
pub struct SignatureTimes {
    pub algorithm: &'static str,
    /// How long they waited for a thread.
    pub waits: Durations,
    /// How long a thread was busy with them.
    pub times: Durations,
}

/// What goes on at this moment, and has gone on since the start.
#[derive(Debug, Clone)]
pub struct SigningFigures {
    /// How many wait for their signature to begin.
    pub waiting: usize,
    /// Whether they form a standing queue.
    pub is_standing: bool,
    /// Whether the last signature failed: the instance is not ready then.
    pub is_failing: bool,
    pub signatures: Vec<SignatureTimes>,
}
