//! How far our clock is from the store's, from the time that its answers tell.
//!
//! The store read its time between the sending of the question and the receiving of the answer:
//! only what is outside of that span is skew.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gcloud_sdk::prost_types;

use crate::environment::Moment;

/// Further apart, and integrations' tokens, which live for 20 s, are not yet valid or over at
/// verifiers without leeway.
const TOLERATED: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_mins(1);

/// The skew as the last answer told it.
#[derive(Debug, Default)]
pub(super) struct ClockSkew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seconds: Option<f64>,
    told_at: Option<Moment>,
}

impl ClockSkew {
    /// Takes note of what time it was at the store, in between.
    pub(super) fn observe(
        &self,
        sent: Moment,
        store_time: prost_types::Timestamp,
        received: Moment,
    ) {
        let Some(seconds) = skew(sent, store_time, received) else { return };
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.seconds = Some(seconds);
        let is_told = state.told_at.is_some_and(|told| received.since(told) < TELL_EVERY);
        if seconds.abs() <= TOLERATED.as_secs_f64() || is_told {
            return;
        }
        state.told_at = Some(received);
        drop(state);
        tracing::error!(
            skew_seconds = seconds,
            "the clock of this machine is not the key store's, and tokens are dated by it: verifiers \
             will refuse them; correct the clock (NTP)"
        );
    }

    /// Our clock less the store's, in seconds.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).seconds
    }
}

/// `None` when our clock was set back on the way, or the store's time is none.
fn skew(sent: Moment, store_time: prost_types::Timestamp, received: Moment) -> Option<f64> {
    let store_time = Duration::new(
        u64::try_from(store_time.seconds).ok()?,
        u32::try_from(store_time.nanos).ok()?,
    );
    let (sent, received) = (sent.since_epoch, received.since_epoch);
    if received < sent {
        return None;
    }
    let ahead = sent.saturating_sub(store_time).as_secs_f64();
    let behind = store_time.saturating_sub(received).as_secs_f64();
    Some(ahead - behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment { since_boot: Duration::ZERO, since_epoch: Duration::from_secs(seconds) }
    }

    #[test]
    fn only_what_is_outside_of_question_and_answer_is_skew() {
        for (sent, store, received, skew_seconds) in [
            (100, 100, 100, Some(0.0)),
            (100, 102, 104, Some(0.0)),
            (100, 90, 101, Some(10.0)),
            (100, 111, 101, Some(-10.0)),
            // The machine was stopped on the way; then the clock was set back.
            (100, 101, 4_000, Some(0.0)),
            (100, 101, 50, None),
            (100, -1, 101, None),
        ] {
            let store = prost_types::Timestamp { seconds: store, nanos: 0 };
            assert_eq!(skew(at(sent), store, at(received)), skew_seconds, "{store:?}");
        }
    }
}
