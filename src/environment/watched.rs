//! A clock that notices when the wall clock is set.
//!
//! No timer: it compares the two clocks of a [`Moment`] whenever somebody asks for the time. A
//! machine whose boot clock stood still while it was stopped looks the same, and is told alike.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::{Clock, Moment};

/// By how much the wall clock has to leave the machine's own for a jump: more than verifiers allow
/// for, as a rule, and more than any clock drifts between two looks.
const JUMP: Duration = Duration::from_mins(5);

/// Drift and rounding below this are not worth a write to memory that all cores share.
const NOTED: Duration = Duration::from_secs(1);

/// A clock, and what was seen of it. Each jump is logged and counted once, whoever sees it.
#[derive(Debug)]
pub struct WatchedClock<C> {
    clock: C,
    /// How far the wall clock is ahead of the machine's own, in milliseconds, when last noted.
    lead: AtomicI64,
    jumps: AtomicU64,
}

impl<C: Clock> WatchedClock<C> {
    #[must_use]
    pub fn new(clock: C) -> Self {
        let lead = lead(clock.moment());
        Self { clock, lead: AtomicI64::new(lead), jumps: AtomicU64::new(0) }
    }

    /// How often the wall clock jumped by more than five minutes, as far as somebody looked.
    #[must_use]
    pub fn jumps(&self) -> u64 {
        self.jumps.load(Ordering::Relaxed)
    }

    fn note(&self, seen: i64, now: i64) {
        let distance = Duration::from_millis(seen.abs_diff(now));
        if distance < NOTED {
            return;
        }
        let is_first = self.lead.compare_exchange(seen, now, Ordering::AcqRel, Ordering::Relaxed);
        if is_first.is_ok() && distance > JUMP {
            self.jumps.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                direction = if now > seen { "forward" } else { "back" },
                seconds = distance.as_secs(),
                "the wall clock jumped: it was set, or the machine was stopped; tokens are dated \
                 by it, and verifiers refuse those that its error makes too early or too late"
            );
        }
    }
}

impl<C: Clock> Clock for WatchedClock<C> {
    fn moment(&self) -> Moment {
        // Read before the clock: what was noted is then never newer than what is compared with it.
        let seen = self.lead.load(Ordering::Acquire);
        let moment = self.clock.moment();
        self.note(seen, lead(moment));
        moment
    }
}

fn lead(moment: Moment) -> i64 {
    let milliseconds = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    milliseconds(moment.since_epoch).saturating_sub(milliseconds(moment.since_boot))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Shows one moment after the other, and stays at the last.
    struct Scripted(Mutex<Vec<Moment>>);

    impl Clock for Scripted {
        fn moment(&self) -> Moment {
            let mut left = self.0.lock().unwrap();
            if left.len() > 1 { left.remove(0) } else { left[0] }
        }
    }

    /// From pairs of seconds: since boot, since the epoch.
    fn jumps(moments: &[(u64, u64)]) -> u64 {
        let moments = moments.iter().map(|&(since_boot, since_epoch)| Moment {
            since_boot: Duration::from_secs(since_boot),
            since_epoch: Duration::from_secs(since_epoch),
        });
        let clock = WatchedClock::new(Scripted(Mutex::new(moments.collect())));
        for _ in 0..9 {
            clock.moment();
        }
        clock.jumps()
    }

    #[test]
    fn a_jump_is_more_than_five_minutes_in_either_direction_and_counts_once() {
        for (moments, expected) in [
            (&[(10, 1_000_000), (11, 1_000_001)][..], 0),
            // A long pause between two looks, in which both clocks went on.
            (&[(10, 1_000_000), (100_010, 1_100_000)], 0),
            (&[(10, 1_000_000), (11, 1_000_301)], 0),
            (&[(10, 1_000_000), (11, 1_000_302)], 1),
            (&[(1000, 1_000_000), (1001, 999_701)], 0),
            (&[(1000, 1_000_000), (1001, 999_700)], 1),
            // There and back.
            (&[(10, 1_000_000), (11, 1_086_401), (12, 1_000_002)], 2),
            // The machine was stopped for an hour, and its clock with it.
            (&[(10, 1_000_000), (10, 1_003_600)], 1),
            // Small steps are no jump, however many.
            (&[(10, 1_000_000), (11, 1_000_200), (12, 1_000_400), (13, 1_000_600)], 0),
        ] {
            assert_eq!(jumps(moments), expected, "{moments:?}");
        }
    }

    #[test]
    fn threads_that_look_at_once_count_a_jump_once() {
        struct Settable(AtomicU64);
        impl Clock for Settable {
            fn moment(&self) -> Moment {
                let since_epoch = Duration::from_secs(self.0.load(Ordering::SeqCst));
                Moment { since_boot: Duration::ZERO, since_epoch }
            }
        }
        let clock = WatchedClock::new(Settable(AtomicU64::new(1_000_000)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        clock.moment();
                    }
                });
            }
            clock.clock.0.store(2_000_000, Ordering::SeqCst);
        });
        clock.moment();
        assert_eq!(clock.jumps(), 1);
    }
}
