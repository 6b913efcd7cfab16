//! How often an instance that fails to sign tries again.
//!
//! A front end sends it no traffic, so whoever asks for its health has to make it try; however often
//! that is.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two trials: no front end looks more often, and a trial of the largest key takes a tenth
/// of it.
const PAUSE: Duration = Duration::from_secs(1);

/// When it was tried last.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last_trial: Mutex<Option<Instant>>,
}

impl Readiness {
    /// Whether it is time for another trial; who is told so makes it.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        let mut last = self.last_trial.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if may {
            *last = Some(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_ask_it_is_tried_once_a_second() {
        let (readiness, start) = (Readiness::default(), Instant::now());
        for (millis, may) in [(0, true), (0, false), (999, false), (1000, true), (1999, false)] {
            let now = start + Duration::from_millis(millis);
            assert_eq!(readiness.may_try(now), may, "{millis} ms");
        }
    }
}
