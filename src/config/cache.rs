//! How long answers of the key store are remembered, and how many.

use std::time::Duration;

use clap::Args;

use super::duration::duration;
use super::limits::within;
use super::{ConfigError, go_style};
use crate::key_store::cached::CacheLimits;

/// 480 MiB: more than any instance has to spare.
const MAX_CAPACITY: i64 = 1_000_000;

/// The flags of the cache. Zero turns a part off, and a capacity of zero all of it.
#[derive(Debug, Clone, Args)]
pub struct CacheFlags {
    /// How long an answer of the key store is served without asking it again; 0s: never
    #[arg(long, env = "CACHE_FRESH", default_value = "10s", value_parser = duration)]
    pub cache_fresh: Duration,
    /// How long it is served while the key store is asked again; older, that is asked first, and
    /// with 0s whenever the answer is not fresh
    #[arg(long, env = "CACHE_MAX_AGE", default_value = "30s", value_parser = duration)]
    pub cache_max_age: Duration,
    /// How long, in all, a key is let in while the key store does not answer; 0s: not at all
    #[arg(long, env = "CACHE_STALE_IF_ERROR", default_value = "10m", value_parser = duration)]
    pub cache_stale_if_error: Duration,
    /// How many keys are remembered; 0 remembers nothing
    #[arg(long, env = "CACHE_CAPACITY", default_value = "100000", value_parser = go_style::integer)]
    pub cache_capacity: i64,
}

impl CacheFlags {
    /// Half of the exchanges that there may be at once may wait for the store.
    ///
    /// # Errors
    /// When a limit contradicts a longer one that is not turned off, or the memory would be too large.
    pub(super) fn resolve(&self, max_in_flight: usize) -> Result<CacheLimits, ConfigError> {
        let limits = CacheLimits {
            fresh: self.cache_fresh,
            max_age: self.cache_max_age,
            stale_if_error: self.cache_stale_if_error,
            capacity: within("-cache-capacity", self.cache_capacity, 0..=MAX_CAPACITY)?,
            callers: max_in_flight.div_ceil(2),
        };
        let CacheLimits { fresh, max_age, stale_if_error, .. } = limits;
        if !max_age.is_zero() && fresh > max_age {
            return Err(ConfigError::new(format!(
                "-cache-fresh: {fresh:?} is longer than -cache-max-age, {max_age:?}; lower the first \
                 or raise the second"
            )));
        }
        if !stale_if_error.is_zero() && max_age > stale_if_error {
            return Err(ConfigError::new(format!(
                "-cache-max-age: {max_age:?} is longer than -cache-stale-if-error, \
                 {stale_if_error:?}; lower the first or raise the second"
            )));
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: CacheFlags,
    }

    fn resolve(words: &[&str]) -> Result<CacheLimits, String> {
        let line = Line::try_parse_from([&["-"], words].concat()).expect("the flags are right");
        line.flags.resolve(2048).map_err(|error| error.to_string())
    }

    #[test]
    fn the_flags_default_to_what_the_revocation_receipt_assumes() {
        assert_eq!(resolve(&[]), Ok(CacheLimits::DEFAULT));
    }

    #[test]
    fn a_limit_may_equal_a_longer_one_or_be_zero() {
        for words in [
            ["--cache-fresh=30s", "--cache-max-age=30s"],
            ["--cache-max-age=10m", "--cache-stale-if-error=10m"],
            ["--cache-fresh=10s", "--cache-max-age=0s"],
            ["--cache-max-age=30s", "--cache-stale-if-error=0s"],
            ["--cache-fresh=0s", "--cache-capacity=0"],
            ["--cache-fresh=0s", "--cache-capacity=1_000_000"],
        ] {
            assert!(resolve(&words).is_ok(), "{words:?}");
        }
    }

    #[test]
    fn limits_that_contradict_each_other_are_refused_with_what_to_do() {
        for (words, why) in [
            (
                "--cache-fresh=31s",
                "-cache-fresh: 31s is longer than -cache-max-age, 30s; lower the first or raise \
                 the second",
            ),
            (
                "--cache-max-age=601s",
                "-cache-max-age: 601s is longer than -cache-stale-if-error, 600s; lower the first \
                 or raise the second",
            ),
            (
                "--cache-capacity=1000001",
                "-cache-capacity: it has to be between 0 and 1000000, not 1000001",
            ),
            ("--cache-capacity=-1", "-cache-capacity: it has to be between 0 and 1000000, not -1"),
        ] {
            assert_eq!(resolve(&[words]), Err(why.to_owned()));
        }
    }
}
