//! How often something took how long, in plain figures. Who shows them, and in which form, is not
//! known here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations by upper bounds. Counting takes no lock.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [Duration],
    /// One for each bound, and one for what took longer.
    counts: Box<[AtomicU64]>,
    micros: AtomicU64,
}

/// What a histogram has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durations {
    /// An upper bound, and how many took no longer.
    pub buckets: Vec<(Duration, u64)>,
    pub count: u64,
    pub sum: Duration,
}

impl Histogram {
    /// Of these upper bounds, the shortest first.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::default()).collect();
        Self { bounds, counts, micros: AtomicU64::default() }
    }

    /// Counts one duration.
    pub fn observe(&self, took: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < took);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What has been counted so far.
    #[must_use]
    pub fn durations(&self) -> Durations {
        let mut count = 0;
        let mut up_to = |counter: &AtomicU64| {
            count += counter.load(Ordering::Relaxed);
            count
        };
        let buckets = self.bounds.iter().zip(&self.counts);
        let buckets = buckets.map(|(bound, counter)| (*bound, up_to(counter))).collect();
        let count = self.counts.last().map_or(0, up_to);
        Durations {
            buckets,
            count,
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_just_as_long_as_a_bound_is_within_it() {
        const BOUNDS: [Duration; 3] =
            [Duration::from_micros(50), Duration::from_millis(5), Duration::from_secs(1)];
        let histogram = Histogram::new(&BOUNDS);
        for micros in [1, 50, 51, 5_000, 5_001, 60_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let Durations { buckets, count, sum } = histogram.durations();
        assert_eq!(buckets, [(BOUNDS[0], 2), (BOUNDS[1], 4), (BOUNDS[2], 5)]);
        assert_eq!((count, sum), (6, Duration::from_micros(60_010_103)));
    }
}
