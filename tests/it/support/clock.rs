//! Moments for the clocks that tests make up.

use std::sync::Mutex;
use std::time::Duration;

use token_exchange::environment::{Clock, Moment, UnixSeconds};
use tokio::time::Instant;

/// A moment of a machine that was started with the Unix epoch.
pub fn moment_at(seconds: UnixSeconds) -> Moment {
    let seconds = Duration::from_secs(seconds);
    Moment { since_boot: seconds, since_epoch: seconds }
}

/// A clock that follows the timers of the runtime it is made in, which a test may have stopped, and
/// may be ahead of them.
#[derive(Debug)]
pub struct TestClock {
    started: Instant,
    ahead: Mutex<Ahead>,
}

#[derive(Debug, Default)]
struct Ahead {
    by_machine: Duration,
    by_wall: Duration,
}

impl TestClock {
    pub fn start() -> Self {
        Self { started: Instant::now(), ahead: Mutex::default() }
    }

    /// The machine is stopped for a while: no timer notices.
    pub fn stop_the_machine(&self, how_long: Duration) {
        let mut ahead = self.ahead.lock().unwrap();
        ahead.by_machine += how_long;
        ahead.by_wall += how_long;
    }

    /// Somebody sets the wall clock forward.
    pub fn set_forward(&self, by: Duration) {
        self.ahead.lock().unwrap().by_wall += by;
    }

    /// Somebody sets it back, to no earlier than it was started with.
    pub fn set_back(&self, by: Duration) {
        let mut ahead = self.ahead.lock().unwrap();
        ahead.by_wall = ahead.by_wall.checked_sub(by).expect("it was set forward before");
    }
}

impl Clock for TestClock {
    fn moment(&self) -> Moment {
        /// A machine that was started a day ago, in 2026.
        const STARTED: Moment = Moment {
            since_boot: Duration::from_hours(24),
            since_epoch: Duration::from_secs(1_795_000_000),
        };
        let (ahead, passed) = (self.ahead.lock().unwrap(), self.started.elapsed());
        Moment {
            since_boot: STARTED.since_boot + passed + ahead.by_machine,
            since_epoch: STARTED.since_epoch + passed + ahead.by_wall,
        }
    }
}
