//! The flags that say how much the service takes on at once.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;

use super::duration::duration;
use super::{ConfigError, go_style};
use crate::signer::SigningLimits;

/// Shorter, and no burst would be absorbed; longer, and callers that wait ten seconds for
/// everything would have left.
const QUEUE_WAITS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(8);

/// More connections than one address has ports for come from no front end.
const MOST_AT_ONCE: i64 = 65_535;

/// More threads than any machine has cores would only wait for each other.
const MOST_THREADS: i64 = 1024;

/// How much there may be at once.
#[derive(Debug, Clone, Args)]
pub struct LimitsFlags {
    /// How long an exchange may wait for its signature before it is refused
    #[arg(long, env = "MAX_QUEUE_WAIT", default_value = "2s", value_parser = duration)]
    pub max_queue_wait: Duration,
    /// Exchanges at once; more are refused at once
    #[arg(long, env = "MAX_IN_FLIGHT", default_value = "2048", value_parser = go_style::integer)]
    pub max_in_flight: i64,
    /// Open connections at once; where there are more, the one idle longest makes room
    #[arg(long, env = "MAX_CONNECTIONS", default_value = "2048", value_parser = go_style::integer)]
    pub max_connections: i64,
    /// Threads that sign with RSA, P-384 and P-521; 0 is one for each core that the process may use
    #[arg(long, env = "SIGNING_THREADS", default_value = "0", value_parser = go_style::integer)]
    pub signing_threads: i64,
}

/// The same, checked.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    pub signing: SigningLimits,
    pub max_in_flight: usize,
    pub max_connections: usize,
}

impl LimitsFlags {
    /// # Errors
    /// When a value cannot work.
    pub fn resolve(&self) -> Result<LimitsConfig, ConfigError> {
        if !QUEUE_WAITS.contains(&self.max_queue_wait) {
            return Err(ConfigError::new(
                "-max-queue-wait: it has to be between 100ms and 8s; shorter, and a burst would be \
                 refused; longer, and callers would have left",
            ));
        }
        let max_in_flight = within("-max-in-flight", self.max_in_flight, 1..=MOST_AT_ONCE)?;
        let threads = within("-signing-threads", self.signing_threads, 0..=MOST_THREADS)?;
        Ok(LimitsConfig {
            signing: SigningLimits {
                threads: NonZeroUsize::new(threads),
                // An exchange has one signature, so more never wait.
                queue: max_in_flight,
                max_wait: self.max_queue_wait,
            },
            max_in_flight,
            max_connections: within("-max-connections", self.max_connections, 1..=MOST_AT_ONCE)?,
        })
    }
}

/// The value of a flag that has to lie in a range.
///
/// # Errors
/// When it does not.
pub(super) fn within(
    flag: &str,
    value: i64,
    range: RangeInclusive<i64>,
) -> Result<usize, ConfigError> {
    let refused = || {
        let (least, most) = (range.start(), range.end());
        ConfigError::new(format!("{flag}: it has to be between {least} and {most}, not {value}"))
    };
    let value = Some(value).filter(|value| range.contains(value));
    value.and_then(|value| usize::try_from(value).ok()).ok_or_else(refused)
}
