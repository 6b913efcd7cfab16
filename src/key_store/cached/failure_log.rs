//! A line of the log now and then about reads that fail, however many they are.
//!
//! While keys are let in by what is remembered no caller hears of an outage, so nobody else would
//! tell the operator of it before it is too late.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::Unavailable;
use crate::environment::Moment;

/// Between two lines: keys are let in for minutes, and every key has a read a second.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Counts until the next line.
#[derive(Debug, Default)]
pub(super) struct FailureLog(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    told_at: Option<Moment>,
    failed: u64,
}

impl FailureLog {
    /// A read has failed.
    pub(super) fn count(&self, why: &Unavailable, now: Moment) {
        if let Some(failed) = self.to_tell(now) {
            tracing::warn!(
                failed,
                cause = %why,
                "reads of the key store fail; for a while keys that are remembered are let in all \
                 the same"
            );
        }
    }

    /// How many have failed since the last line, if it is time for another.
    fn to_tell(&self, now: Moment) -> Option<u64> {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.failed += 1;
        if untold.told_at.is_some_and(|told_at| now.since(told_at) < TELL_EVERY) {
            return None;
        }
        untold.told_at = Some(now);
        Some(std::mem::take(&mut untold.failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_at_once_and_those_that_follow_are_told_together() {
        let log = FailureLog::default();
        let lines = [0, 1, 9_999, 10_000, 19_999, 60_000].map(|milliseconds| {
            let since_boot = Duration::from_millis(milliseconds);
            log.to_tell(Moment { since_boot, since_epoch: since_boot })
        });
        assert_eq!(lines, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
