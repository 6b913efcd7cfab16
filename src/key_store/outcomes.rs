//! How long asking a store took, by what came of it, in plain figures.

use std::time::Duration;

use super::UnavailableKind;
use crate::histogram::{Durations, Histogram};

/// One for each kind of failure, and one for the answers.
const OUTCOMES: usize = 1 + UnavailableKind::ALL.len();

/// Times since the start, by outcome.
#[derive(Debug)]
pub(super) struct TimesByOutcome([Histogram; OUTCOMES]);

impl TimesByOutcome {
    /// With these upper bounds of the buckets.
    pub(super) fn new(bounds: &'static [Duration]) -> Self {
        Self(std::array::from_fn(|_| Histogram::new(bounds)))
    }

    /// Counts one end: an answer, unless there is a kind of failure.
    pub(super) fn observe(&self, failure: Option<UnavailableKind>, took: Duration) {
        let is_it = |kind: &UnavailableKind| Some(*kind) == failure;
        let place = UnavailableKind::ALL.iter().position(is_it).map_or(0, |kind| 1 + kind);
        self.0[place].observe(took);
    }

    /// All of them: `answered`, and each kind of failure as [`UnavailableKind::as_str`] says it.
    pub(super) fn durations(&self) -> impl Iterator<Item = (&'static str, Durations)> {
        let failures = UnavailableKind::ALL.into_iter().map(UnavailableKind::as_str);
        std::iter::once("answered").chain(failures).zip(self.0.iter().map(Histogram::durations))
    }

    /// How many there have been in all.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|of| of.durations().count).sum()
    }
}
