//! What the core takes from the machine it runs on: the time and randomness.
//!
//! Both are passed in, never reached for, so that a test can give its own.

mod watched;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

pub use self::watched::WatchedClock;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// This moment, to tell the age of something by.
    fn moment(&self) -> Moment;

    /// Seconds since the Unix epoch, by the wall clock: what a token is dated by.
    fn now(&self) -> UnixSeconds {
        self.moment().since_epoch.as_secs()
    }
}

/// A moment by two clocks. One of them may stand still while the machine is stopped, and the other
/// may be set; an age counted by the larger of the two is never too young.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the machine was started (`CLOCK_BOOTTIME`), by a clock that nobody sets.
    pub since_boot: Duration,
    /// Since the Unix epoch, by the wall clock.
    pub since_epoch: Duration,
}

impl Moment {
    /// The time from `earlier` to this moment. A wall clock that was set forward makes it too long,
    /// which costs a question; one that was set back changes nothing.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let by_machine = self.since_boot.saturating_sub(earlier.since_boot);
        let by_wall = self.since_epoch.saturating_sub(earlier.since_epoch);
        by_machine.max(by_wall)
    }
}

/// Whole seconds since 1970-01-01T00:00:00Z: the `NumericDate` of a JWT (RFC 7519, section 2).
pub type UnixSeconds = u64;

/// A moment for people to read, in UTC (RFC 3339). As a number where no calendar has it.
#[must_use]
pub fn rfc3339(at: UnixSeconds) -> String {
    let time = i64::try_from(at).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| at.to_string(), |time| time.to_string())
}

/// Gives randomness fit for secrets.
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()>;
}

/// The clock and the random source of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    fn moment(&self) -> Moment {
        Moment {
            // The machine was not started in the future.
            since_boot: Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default(),
            // A clock set before 1970 is read as 1970: such tokens are refused everywhere.
            since_epoch: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(bytes).map_err(std::io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(since_boot: u64, since_epoch: u64) -> Moment {
        Moment {
            since_boot: Duration::from_secs(since_boot),
            since_epoch: Duration::from_secs(since_epoch),
        }
    }

    #[test]
    fn an_age_counts_on_while_either_clock_does() {
        let then = moment(100, 1_000);
        for (now, age) in [
            (moment(107, 1_007), 7),
            // The machine was stopped, and its own clock with it.
            (moment(100, 1_060), 60),
            // The wall clock was set back, and forward.
            (moment(107, 10), 7),
            (moment(107, 90_000), 89_000),
            (then, 0),
        ] {
            assert_eq!(now.since(then), Duration::from_secs(age), "{now:?}");
        }
    }

    #[test]
    fn a_moment_is_written_for_people_where_a_calendar_has_it() {
        assert_eq!(rfc3339(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(rfc3339(u64::MAX), "18446744073709551615");
    }

    #[test]
    fn the_randomness_of_the_system_fills_the_buffer_anew_each_time() {
        let [mut one, mut other] = [[0; 32]; 2];
        System.fill(&mut one).unwrap();
        System.fill(&mut other).unwrap();
        assert!(one != [0; 32] && other != [0; 32] && one != other);
    }

    #[test]
    fn the_moments_of_the_system_follow_each_other() {
        let then = System.moment();
        let now = System.moment();
        assert!(now.since_boot >= then.since_boot && then.since_boot > Duration::ZERO);
        assert!(now.since(then) < Duration::from_mins(1));
        assert!(then.since_epoch.as_secs().abs_diff(System.now()) <= 1);
    }
}
