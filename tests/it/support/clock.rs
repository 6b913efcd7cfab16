//! Moments for the clocks that tests make up.

use std::time::Duration;

use token_exchange::environment::{Moment, UnixSeconds};

/// A moment of a machine that was started with the Unix epoch.
pub fn moment_at(seconds: UnixSeconds) -> Moment {
    let seconds = Duration::from_secs(seconds);
    Moment { since_boot: seconds, since_epoch: seconds }
}
