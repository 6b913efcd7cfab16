//! Moments for the clocks that tests make up, such clocks, and one of a real process.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use token_exchange::environment::{Clock, Moment, UnixSeconds};
use tokio::time::Instant;

use super::service::Launch;
use super::skip::require;

/// A moment of a machine that was started with the Unix epoch.
pub fn moment_at(seconds: UnixSeconds) -> Moment {
    let seconds = Duration::from_secs(seconds);
    Moment { since_boot: seconds, since_epoch: seconds }
}

/// A clock that follows the timers of the runtime it is made in, which a test may have stopped, and
/// may be ahead of them.
#[derive(Debug)]
pub struct RuntimeClock {
    started: Instant,
    ahead: Mutex<Ahead>,
}

#[derive(Debug, Default)]
struct Ahead {
    by_machine: Duration,
    by_wall: Duration,
}

impl RuntimeClock {
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

impl Clock for RuntimeClock {
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

/// A clock that stands still until it is set.
pub struct TestClock(Mutex<Moment>);

impl TestClock {
    pub fn at(seconds: UnixSeconds) -> Self {
        Self(Mutex::new(moment_at(seconds)))
    }

    /// Time goes by.
    pub fn advance(&self, seconds: u64) {
        let mut moment = self.0.lock().unwrap();
        moment.since_boot += Duration::from_secs(seconds);
        moment.since_epoch += Duration::from_secs(seconds);
    }

    /// Somebody sets the wall clock, forward or back; no time goes by.
    pub fn jump(&self, seconds: i64) {
        let mut moment = self.0.lock().unwrap();
        let now = moment.since_epoch.as_secs().checked_add_signed(seconds).unwrap();
        moment.since_epoch = Duration::from_secs(now);
    }
}

impl Clock for TestClock {
    fn moment(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

/// The wall clock of a real process, in the hands of a test; its other clocks are the machine's.
/// (libfaketime in its environment reads by how much it is wrong from a file, at every look.)
pub struct WallClock {
    library: PathBuf,
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl WallClock {
    /// `None` when the test has to be skipped.
    pub fn right() -> Option<Self> {
        let library = require("libfaketime", find_library())?;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offset");
        let clock = Self { library, file, _folder: folder };
        clock.set(0);
        Some(clock)
    }

    pub fn rules(&self, launch: Launch) -> Launch {
        launch
            .env("LD_PRELOAD", self.library.to_str().unwrap())
            .env("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap())
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_DONT_RESET", "1")
    }

    /// Sets it, so many seconds from the right time.
    pub fn set(&self, seconds: i64) {
        // Renamed into place: the process may read at any time, and must not find half a number.
        let beside = self.file.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&beside, &self.file).unwrap();
    }
}

/// Debian's place for it, of any architecture.
fn find_library() -> Result<PathBuf, String> {
    let folders = std::fs::read_dir("/usr/lib").map_err(|error| error.to_string())?;
    folders
        .filter_map(|entry| Some(entry.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .chain([PathBuf::from("/usr/lib/faketime/libfaketimeMT.so.1")])
        .find(|path| path.exists())
        .ok_or_else(|| "there is no faketime/libfaketimeMT.so.1 below /usr/lib".to_owned())
}
