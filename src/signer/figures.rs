//! How the signing threads do, in plain figures; what shows them is elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

/// The upper bounds of a histogram's buckets: from an Ed25519 signature to the longest wait.
pub const BOUNDS: [Duration; 15] = [
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

/// How often something took how long.
#[derive(Debug, Clone, Default)]
pub struct Histogram {
    /// How many were at most as long as each of the bounds, and longer than the one before.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

/// The signatures of one algorithm.
#[derive(Debug, Clone, Default)]
pub struct Signatures {
    /// How long they waited for a thread.
    pub waits: Histogram,
    /// How long a thread was busy with them.
    pub times: Histogram,
}

/// The signatures since the start, by the `alg` of their key.
pub type ByAlgorithm = BTreeMap<&'static str, Signatures>;

/// What goes on at this moment, and has gone on since the start.
#[derive(Debug, Clone)]
pub struct SigningFigures {
    /// How many wait for their signature to begin.
    pub waiting: usize,
    /// Whether they form a standing queue.
    pub is_standing: bool,
    pub signatures: ByAlgorithm,
}

impl Histogram {
    pub(super) fn observe(&mut self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(took);
    }

    /// How many were at most as long as each of the bounds.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(counts)
    }

    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_long_as_a_bound_counts_below_it() {
        let mut histogram = Histogram::default();
        for micros in [1, 50, 51, 2_500_000, 2_500_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[1], counts[14]), (2, 3, 4));
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), Duration::from_micros(5_000_103));
    }
}
