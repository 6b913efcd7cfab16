//! What the core takes from the machine it runs on: the time and randomness.
//!
//! Both are passed in, never reached for, so that a test can give its own.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Seconds since the Unix epoch, by the wall clock.
    fn now(&self) -> UnixSeconds;
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
    fn now(&self) -> UnixSeconds {
        // A clock set before 1970 is read as 1970: such tokens are refused everywhere.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

impl Random for System {
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        getrandom::fill(bytes).map_err(std::io::Error::from)
    }
}
