//! Whether those who wait for a signature form a standing queue: a rule, with the times passed in.
//!
//! A burst is a queue that goes away by itself, and a full house of patient callers is one that
//! stays short: neither is harmed by waiting. A queue in which even the luckiest waits long is one
//! that only makes everybody late. The shortest wait of a while tells them apart (`CoDel`: RFC 8289,
//! section 3.2); no length of a queue does.
//!
//! No clock, no lock and no thread may enter.

use std::time::Duration;

/// The longest wait that is nobody's harm. 64 callers that ask as fast as they are answered hold
/// 50 ms of RS256 for ever.
const TARGET: Duration = Duration::from_millis(100);

/// Over how long the shortest wait is taken: a burst is over by then, or is none.
const WINDOW: Duration = Duration::from_millis(100);

/// A standing queue is over when the shortest wait is less. Refusing newcomers holds the wait at
/// about the target; to end there would let all of them in again every other window.
const RELIEF: Duration = Duration::from_millis(50);

/// The weight of the past in the mean of a signature's time, in signatures: long enough to level a
/// thread that was interrupted, short enough to follow a rotation to another algorithm.
const MEMORY: u32 = 16;

/// What is known of the waiting. Times count from any fixed moment.
#[derive(Debug, Default)]
pub(super) struct Congestion {
    is_standing: bool,
    window_ends: Duration,
    shortest: Option<Duration>,
    mean: Option<Duration>,
}

impl Congestion {
    /// A turn has come, after a wait.
    pub(super) fn turn(&mut self, now: Duration, waited: Duration) {
        if now >= self.window_ends {
            if let Some(shortest) = self.shortest.take() {
                self.is_standing = shortest > if self.is_standing { RELIEF } else { TARGET };
            }
            self.window_ends = now + WINDOW;
        }
        self.shortest = Some(self.shortest.map_or(waited, |shortest| shortest.min(waited)));
    }

    /// Nobody waits. Who came now would not have to.
    pub(super) fn emptied(&mut self) {
        self.is_standing = false;
        self.shortest = Some(Duration::ZERO);
    }

    /// A signature was made, and a thread was busy with it for so long.
    pub(super) fn signed(&mut self, took: Duration) {
        self.mean = Some(self.mean.map_or(took, |mean| (mean * (MEMORY - 1) + took) / MEMORY));
    }

    pub(super) fn is_standing(&self) -> bool {
        self.is_standing
    }

    /// Whether one who comes now had better come again later.
    pub(super) fn turns_away(&self, waiting: usize, threads: usize) -> bool {
        self.is_standing && self.expected_wait(waiting, threads) > TARGET
    }

    fn expected_wait(&self, waiting: usize, threads: usize) -> Duration {
        let ahead = u32::try_from(waiting / threads.max(1)).unwrap_or(u32::MAX);
        self.mean.unwrap_or_default().saturating_mul(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Turns, each with its time and its wait in milliseconds; then whether the queue stands.
    #[test]
    fn a_queue_stands_when_even_the_shortest_wait_of_a_window_was_long() {
        let burst = &[(0, 0), (50, 300), (99, 400), (100, 450), (150, 80), (201, 500)][..];
        let patient = &[(0, 50), (99, 51), (100, 50), (200, 100), (300, 99), (400, 100)][..];
        let overload = &[(0, 101), (50, 300), (100, 102)][..];
        let unfinished = &[(0, 101), (50, 300), (99, 102)][..];
        let relieved = &[(0, 101), (100, 49), (200, 300)][..];
        let held_at_the_target = &[(0, 101), (100, 90), (200, 51), (300, 120)][..];
        for (name, turns, stands) in [
            ("a burst", burst, false),
            ("patient callers", patient, false),
            ("an overload", overload, true),
            ("a window that is not over", unfinished, false),
            ("an overload that is over", relieved, false),
            ("an overload of which many are refused", held_at_the_target, true),
        ] {
            let mut congestion = Congestion::default();
            for (now, waited) in turns {
                congestion.turn(ms(*now), ms(*waited));
            }
            assert_eq!(congestion.is_standing(), stands, "{name}");
        }
    }

    #[test]
    fn an_empty_queue_stands_no_longer_and_its_window_was_short() {
        let mut congestion = Congestion::default();
        congestion.turn(ms(0), ms(200));
        congestion.turn(ms(100), ms(200));
        assert!(congestion.is_standing());
        congestion.emptied();
        assert!(!congestion.is_standing());
        // The machine was stopped for an hour: those who waited meanwhile are no standing queue.
        congestion.turn(ms(3_600_000), ms(3_599_000));
        congestion.turn(ms(3_600_050), ms(1));
        congestion.turn(ms(3_600_200), ms(1));
        assert!(!congestion.is_standing());
    }

    #[test]
    fn only_from_a_standing_queue_and_only_for_a_long_wait_is_anybody_turned_away() {
        let mut congestion = Congestion::default();
        congestion.signed(ms(10));
        assert!(!congestion.turns_away(1_000_000, 1), "a burst is absorbed");
        congestion.turn(ms(0), ms(101));
        congestion.turn(ms(100), ms(101));
        for (waiting, threads, is_turned_away) in
            [(0, 1, false), (10, 1, false), (11, 1, true), (11, 2, false), (22, 2, true)]
        {
            let outcome = congestion.turns_away(waiting, threads);
            assert_eq!(outcome, is_turned_away, "{waiting} before {threads}");
        }
    }

    #[test]
    fn the_mean_follows_what_signatures_take_now() {
        let mut congestion = Congestion::default();
        congestion.signed(ms(1));
        congestion.signed(ms(17));
        assert_eq!(congestion.expected_wait(1, 1), ms(2));
        for _ in 0..200 {
            congestion.signed(ms(8));
        }
        assert!(congestion.expected_wait(1, 1).abs_diff(ms(8)) < Duration::from_micros(10));
    }
}
