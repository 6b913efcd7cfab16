//! When a question is asked again: the pauses of one caller, and the budget of all.
//!
//! The budget is for the store: one that dies under its load must not be given a multiple of it.
//! (tower's `TpsBudget` has the same rule, but allows ten seconds' worth at once.)

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::ExponentialBuilder;
use tokio::time::Instant;

/// Attempts at one question, the first included.
const ATTEMPTS: usize = 3;
/// Pauses between attempts grow from the shorter to the longer, up to doubled by jitter: three
/// attempts of the longest length and their pauses stay within a caller's deadline of four seconds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Retries in any second, however few questions there are.
const RESERVE: usize = 10;
const RESERVE_PERIOD: Duration = Duration::from_secs(1);
/// Beyond them, each so many questions allow one retry: 20 %.
const QUESTIONS_PER_RETRY: u64 = 5;
/// Retries that quiet times save up for the first moment of an outage.
const MAX_SAVED: u64 = 10;

/// The pauses between the attempts at one request.
pub(super) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
}

/// How many retries the process may make: a fifth of its questions, and ten a second.
#[derive(Debug)]
pub(super) struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Questions that no retry was made for.
    saved: u64,
    /// When retries were taken from the reserve; the oldest first.
    taken: VecDeque<Instant>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { saved: 0, taken: VecDeque::with_capacity(RESERVE) }))
    }

    /// A question is asked.
    pub(super) fn deposit(&self) {
        let mut state = self.state();
        state.saved = (state.saved + 1).min(MAX_SAVED * QUESTIONS_PER_RETRY);
    }

    /// Whether one may be asked again. It has to be, then, and now.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        let mut state = self.state_at(now);
        if state.taken.len() < RESERVE {
            state.taken.push_back(now);
            return true;
        }
        let has_saved = state.saved >= QUESTIONS_PER_RETRY;
        if has_saved {
            state.saved -= QUESTIONS_PER_RETRY;
        }
        has_saved
    }

    /// The retries that could be made at this moment.
    pub(super) fn left(&self, now: Instant) -> u64 {
        let state = self.state_at(now);
        (RESERVE - state.taken.len()) as u64 + state.saved / QUESTIONS_PER_RETRY
    }

    fn state_at(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while state.taken.front().is_some_and(|taken| now - *taken >= RESERVE_PERIOD) {
            state.taken.pop_front();
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use backon::BackoffBuilder as _;

    use super::*;

    #[test]
    fn three_attempts_have_two_pauses_that_grow_and_are_doubled_at_most() {
        for _ in 0..100 {
            let pauses: Vec<_> = pauses().build().map(|pause| pause.as_millis()).collect();
            let [first, second] = pauses[..] else { panic!("{pauses:?}") };
            assert!((50..=100).contains(&first), "{first}");
            assert!((100..=200).contains(&second), "{second}");
        }
    }

    fn withdrawn(budget: &Budget, now: Instant, wanted: usize) -> usize {
        (0..wanted).filter(|_| budget.withdraw(now)).count()
    }

    #[test]
    fn ten_a_second_are_free_and_each_five_questions_pay_for_one_more() {
        let (budget, begun) = (Budget::new(), Instant::now());
        assert_eq!(withdrawn(&budget, begun, 1000), 10);
        (0..15).for_each(|_| budget.deposit());
        assert_eq!(budget.left(begun), 3);
        assert_eq!(withdrawn(&budget, begun, 1000), 3);
        assert_eq!(withdrawn(&budget, begun + Duration::from_millis(999), 1000), 0);
        assert_eq!(withdrawn(&budget, begun + Duration::from_secs(1), 1000), 10);
    }

    #[test]
    fn quiet_times_save_up_no_more_than_ten() {
        let budget = Budget::new();
        (0..1_000_000).for_each(|_| budget.deposit());
        let later = Instant::now() + Duration::from_hours(1);
        assert_eq!(budget.left(later), 20);
        assert_eq!(withdrawn(&budget, later, 1000), 20);
    }

    #[test]
    fn no_second_however_it_is_cut_has_more_than_its_share() {
        let (budget, begun) = (Budget::new(), Instant::now());
        let mut taken = Vec::new();
        for millisecond in 0..5_000_u32 {
            let now = begun + Duration::from_millis(millisecond.into());
            taken.extend((0..3).filter(|_| budget.withdraw(now)).map(|_| millisecond));
        }
        for from in 0..4_000 {
            let second = from..from + 1_000;
            let count = taken.iter().filter(|at| second.contains(*at)).count();
            assert!(count <= RESERVE, "{count} in {second:?}");
        }
        assert_eq!(taken.len(), 50);
    }
}
