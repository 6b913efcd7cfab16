//! What to do about a question, by ages alone. Pure: no clock, no store, no lock.

use std::time::Duration;

use super::places::Side;
use super::{CacheLimits, Source, UnavailableKind};
use crate::key_store::READ_ATTEMPT;

/// How long it is remembered that there is no such key, or none that could be used: a new key works
/// everywhere that soon, and a caller who tries again at once asks nobody.
const ABSENCE: Duration = Duration::from_secs(2);
/// What the store said so lately is current, and a store that failed so lately is not asked again:
/// wrong secrets cost one read a second and key, and so does a store that is away.
const MOMENT: Duration = Duration::from_secs(1);

/// The limits, as they are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    fresh: Duration,
    max_age: Duration,
    stale_if_error: Duration,
    absence: Duration,
}

/// What is seen of a key at some moment: `E` is what is remembered, `F` a read under way.
#[derive(Debug)]
pub(super) struct Sight<E, F> {
    pub(super) memory: Remembered<E>,
    /// How long ago a read of it failed, if none has succeeded since.
    pub(super) failed: Option<(Duration, UnavailableKind)>,
    /// The youngest read under way, and its age.
    pub(super) flight: Option<(F, Duration)>,
}

/// What is remembered, and its age.
#[derive(Debug)]
pub(super) enum Remembered<E> {
    Nothing,
    Key(E, Duration),
    Absence(E, Duration),
}

/// What to do about a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<E, F> {
    /// Say what is remembered.
    Serve(E, Source),
    /// Say what is remembered, and begin a read for those who come later.
    ServeAndBegin(E),
    /// Wait for the read under way.
    Join(F, Patience),
    /// Begin a read, and wait for it.
    Begin(Side, Patience),
    /// Say that it cannot be found out.
    Refuse(UnavailableKind),
}

/// How long a caller waits for a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it is one attempt old: then there is what is remembered.
    Attempt,
    /// Until it ends.
    Whole,
}

impl Rules {
    /// Each limit holds for itself: the shorter of two that contradict each other wins in health,
    /// and what may be served in health may be served without.
    pub(super) fn of(limits: CacheLimits) -> Self {
        let CacheLimits { fresh, max_age, stale_if_error, .. } = limits;
        Self {
            fresh: fresh.min(max_age),
            max_age,
            stale_if_error: stale_if_error.max(max_age),
            absence: ABSENCE.min(max_age),
        }
    }

    /// What to do about a question to which a remembered answer will do.
    pub(super) fn remembered<E, F>(&self, sight: Sight<E, F>) -> Step<E, F> {
        let trouble = sight.trouble();
        let is_joinable = sight.is_joinable();
        match sight.memory {
            Remembered::Absence(entry, age) if age < self.absence => {
                Step::Serve(entry, Source::Absence)
            }
            Remembered::Key(entry, age) if age < self.fresh => Step::Serve(entry, Source::Fresh),
            Remembered::Key(entry, age) if age < self.max_age => {
                if trouble.is_some() || is_joinable {
                    Step::Serve(entry, Source::Refreshing)
                } else {
                    Step::ServeAndBegin(entry)
                }
            }
            Remembered::Key(entry, age) if age < self.stale_if_error => match trouble {
                Some(kind) => Step::Serve(entry, Source::Stale(kind)),
                None => read(sight.flight, Side::Known, Patience::Attempt),
            },
            Remembered::Key(..) => read(sight.flight, Side::Known, Patience::Whole),
            Remembered::Absence(..) | Remembered::Nothing => {
                read(sight.flight, Side::Cold, Patience::Whole)
            }
        }
    }

    /// What to do about a question to which only a current answer will do.
    pub(super) fn current<E, F>(&self, sight: Sight<E, F>) -> Step<E, F> {
        let trouble = sight.trouble();
        match sight.memory {
            Remembered::Absence(entry, age) if age < self.absence.min(MOMENT) => {
                Step::Serve(entry, Source::Absence)
            }
            Remembered::Key(entry, age) if age < self.max_age.min(MOMENT) => {
                Step::Serve(entry, Source::Fresh)
            }
            Remembered::Key(..) => match trouble {
                Some(kind) => Step::Refuse(kind),
                None => read(sight.flight, Side::Known, Patience::Whole),
            },
            Remembered::Absence(..) | Remembered::Nothing => {
                read(sight.flight, Side::Cold, Patience::Whole)
            }
        }
    }

    /// Whether a key of this age may be let in when a read of it has come to nothing.
    pub(super) fn outlasts_a_failure(&self, age: Duration) -> bool {
        age < self.stale_if_error
    }
}

impl<E, F> Sight<E, F> {
    fn is_joinable(&self) -> bool {
        self.flight.as_ref().is_some_and(|(_, age)| *age < READ_ATTEMPT)
    }

    /// Why nobody should wait for another read yet: one failed a moment ago, or began to hang.
    fn trouble(&self) -> Option<UnavailableKind> {
        let hanging = READ_ATTEMPT..READ_ATTEMPT + MOMENT;
        match (&self.failed, &self.flight) {
            (Some((age, kind)), _) if *age < MOMENT => Some(*kind),
            (_, Some((_, age))) if hanging.contains(age) => Some(UnavailableKind::TooSlow),
            _ => None,
        }
    }
}

/// One question at a time; but who comes late does not wait for one that hangs.
fn read<E, F>(flight: Option<(F, Duration)>, side: Side, patience: Patience) -> Step<E, F> {
    match flight {
        Some((flight, age)) if age < READ_ATTEMPT => Step::Join(flight, patience),
        _ => Step::Begin(side, patience),
    }
}

#[cfg(test)]
mod tests {
    use Patience::{Attempt, Whole};
    use Source::{Absence, Fresh, Refreshing, Stale};
    use UnavailableKind::{Failed, TooSlow};

    use super::*;

    type Sees = Sight<(), ()>;

    const NOTHING: Sees = Sight { memory: Remembered::Nothing, failed: None, flight: None };

    fn key(milliseconds: u64) -> Sees {
        Sight { memory: Remembered::Key((), Duration::from_millis(milliseconds)), ..NOTHING }
    }

    fn absence(milliseconds: u64) -> Sees {
        Sight { memory: Remembered::Absence((), Duration::from_millis(milliseconds)), ..NOTHING }
    }

    impl Sees {
        fn failed(self, milliseconds_ago: u64) -> Self {
            Self { failed: Some((Duration::from_millis(milliseconds_ago), Failed)), ..self }
        }

        fn flight(self, milliseconds_old: u64) -> Self {
            Self { flight: Some(((), Duration::from_millis(milliseconds_old))), ..self }
        }
    }

    fn rules(fresh: u64, max_age: u64, stale_if_error: u64) -> Rules {
        let [fresh, max_age, stale_if_error] =
            [fresh, max_age, stale_if_error].map(Duration::from_secs);
        Rules::of(CacheLimits {
            fresh,
            max_age,
            stale_if_error,
            capacity: 1,
            ..CacheLimits::DEFAULT
        })
    }

    const SERVE_ABSENCE: Step<(), ()> = Step::Serve((), Absence);
    const COLD: Step<(), ()> = Step::Begin(Side::Cold, Whole);
    const KNOWN: Step<(), ()> = Step::Begin(Side::Known, Whole);

    #[test]
    fn an_age_decides_at_its_boundary() {
        let rules = rules(10, 30, 600);
        for (sees, step) in [
            (NOTHING, COLD),
            (key(0), Step::Serve((), Fresh)),
            (key(9_999), Step::Serve((), Fresh)),
            (key(10_000), Step::ServeAndBegin(())),
            (key(29_999), Step::ServeAndBegin(())),
            (key(30_000), Step::Begin(Side::Known, Attempt)),
            (key(599_999), Step::Begin(Side::Known, Attempt)),
            (key(600_000), KNOWN),
            (absence(0), SERVE_ABSENCE),
            (absence(1_999), SERVE_ABSENCE),
            (absence(2_000), COLD),
        ] {
            let seen = format!("{sees:?}");
            assert_eq!(rules.remembered(sees), step, "{seen}");
        }
    }

    #[test]
    fn a_read_is_joined_until_it_is_one_attempt_old_and_hangs_for_a_second_more() {
        let rules = rules(10, 30, 600);
        for (sees, step) in [
            (NOTHING.flight(0), Step::Join((), Whole)),
            (NOTHING.flight(799), Step::Join((), Whole)),
            (NOTHING.flight(800), COLD),
            (absence(2_000).flight(799), Step::Join((), Whole)),
            (key(10_000).flight(799), Step::Serve((), Refreshing)),
            (key(10_000).flight(800), Step::Serve((), Refreshing)),
            (key(10_000).flight(1_799), Step::Serve((), Refreshing)),
            (key(10_000).flight(1_800), Step::ServeAndBegin(())),
            (key(30_000).flight(799), Step::Join((), Attempt)),
            (key(30_000).flight(800), Step::Serve((), Stale(TooSlow))),
            (key(30_000).flight(1_799), Step::Serve((), Stale(TooSlow))),
            (key(30_000).flight(1_800), Step::Begin(Side::Known, Attempt)),
            (key(600_000).flight(799), Step::Join((), Whole)),
            (key(600_000).flight(800), KNOWN),
        ] {
            let seen = format!("{sees:?}");
            assert_eq!(rules.remembered(sees), step, "{seen}");
        }
    }

    #[test]
    fn a_failure_counts_for_a_second() {
        let rules = rules(10, 30, 600);
        for (sees, step) in [
            (key(0).failed(0), Step::Serve((), Fresh)),
            (key(10_000).failed(999), Step::Serve((), Refreshing)),
            (key(10_000).failed(1_000), Step::ServeAndBegin(())),
            (key(30_000).failed(0), Step::Serve((), Stale(Failed))),
            (key(30_000).failed(999), Step::Serve((), Stale(Failed))),
            (key(30_000).failed(1_000), Step::Begin(Side::Known, Attempt)),
            (key(30_000).failed(999).flight(0), Step::Serve((), Stale(Failed))),
            (key(599_999).failed(999), Step::Serve((), Stale(Failed))),
            (key(600_000).failed(999), KNOWN),
        ] {
            let seen = format!("{sees:?}");
            assert_eq!(rules.remembered(sees), step, "{seen}");
        }
    }

    #[test]
    fn a_key_is_let_in_after_a_failed_read_until_it_is_too_old_for_that() {
        let rules = rules(10, 30, 600);
        assert!(rules.outlasts_a_failure(Duration::from_millis(599_999)));
        assert!(!rules.outlasts_a_failure(Duration::from_mins(10)));
    }

    #[test]
    fn current_is_what_the_store_said_within_a_second_and_a_failed_read_is_not_tried_again_in_it() {
        let rules = rules(10, 30, 600);
        for (sees, step) in [
            (key(999), Step::Serve((), Fresh)),
            (key(1_000), KNOWN),
            (key(1_000).flight(799), Step::Join((), Whole)),
            (key(1_000).flight(800), Step::Refuse(TooSlow)),
            (key(1_000).flight(1_800), KNOWN),
            (key(1_000).failed(999), Step::Refuse(Failed)),
            (key(1_000).failed(1_000), KNOWN),
            (key(999).failed(0), Step::Serve((), Fresh)),
            (absence(999), SERVE_ABSENCE),
            (absence(1_000), COLD),
            (NOTHING, COLD),
        ] {
            let seen = format!("{sees:?}");
            assert_eq!(rules.current(sees), step, "{seen}");
        }
    }

    #[test]
    fn zero_turns_a_part_off_and_no_other() {
        // Always from memory, and always read again.
        let eager = rules(0, 30, 600);
        assert_eq!(eager.remembered(key(0)), Step::ServeAndBegin(()));
        assert_eq!(eager.remembered(key(0).flight(0)), Step::Serve((), Refreshing));
        assert_eq!(eager.remembered(absence(0)), SERVE_ABSENCE);
        // Never from memory while the store answers.
        for asking in [rules(0, 0, 600), rules(10, 0, 600)] {
            assert_eq!(asking.remembered(key(0)), Step::Begin(Side::Known, Attempt));
            assert_eq!(asking.remembered(key(0).failed(0)), Step::Serve((), Stale(Failed)));
            assert_eq!(asking.current(key(0)), KNOWN);
            assert_eq!(asking.remembered(absence(0)), COLD);
            assert_eq!(asking.current(absence(0)), COLD);
        }
        // Never longer than in health.
        let strict = rules(10, 30, 0);
        assert_eq!(strict.remembered(key(29_999)), Step::ServeAndBegin(()));
        assert_eq!(strict.remembered(key(30_000).failed(0)), KNOWN);
        assert!(!strict.outlasts_a_failure(Duration::from_secs(30)));
        // Never.
        let off = rules(0, 0, 0);
        assert_eq!(off.remembered(key(0).failed(0)), KNOWN);
        assert!(!off.outlasts_a_failure(Duration::ZERO));
    }
}
