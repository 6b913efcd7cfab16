//! The graceful end: a switch that is thrown once, and the schedule that runs from then on.
//!
//! What happens when is told in [`Schedule`]; who throws the switch (a signal handler) is not
//! known here.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When each part of a drain happens. All but the pauses count from its start.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// A pause without a request after which a kept-alive connection is closed.
    pub quiet_connection: Duration,
    /// A pause without a new connection after which the port is closed to new ones.
    pub quiet_port: Duration,
    /// The port is closed to new connections at this time, however many still come.
    pub port_open: Duration,
    /// A pause without a new connection after which those whose handshake was under way when the
    /// port was closed to new ones are taken to have arrived.
    pub last_arrival: Duration,
    /// A request that is not answered by now is answered with a refusal.
    pub deadline: Duration,
    /// Whatever is left now is dropped.
    pub end: Duration,
}

impl Schedule {
    /// What the service runs with: over well before the platform ends it 10 s after its signal.
    pub const PRODUCTION: Self = Self {
        // Longer than a request is under way, also between continents.
        quiet_connection: Duration::from_millis(300),
        quiet_port: Duration::from_millis(300),
        // Front ends learn within a few seconds that an instance is going.
        port_open: Duration::from_secs(5),
        // Between the front end and us a handshake takes less than a millisecond.
        last_arrival: Duration::from_millis(20),
        // Two seconds for the last requests of an open port, which take less than one.
        deadline: Duration::from_secs(7),
        // Time for the refusals to leave; the log has what is left of eight seconds.
        end: Duration::from_millis(7300),
    };
}

/// The switch, shared by every port: its clones are one and the same.
#[derive(Debug, Clone)]
pub struct Drain {
    schedule: Schedule,
    // The time apart from the token: reading it takes no lock, and every request reads it.
    start: Arc<OnceLock<Instant>>,
    started: CancellationToken,
}

impl Drain {
    /// A drain that has not started.
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, start: Arc::default(), started: CancellationToken::new() }
    }

    /// Starts the drain. A second call changes nothing.
    pub fn start(&self) {
        self.start.get_or_init(Instant::now);
        self.started.cancel();
    }

    /// Waits until the drain has started.
    pub async fn started(&self) {
        self.started.cancelled().await;
    }

    /// Whether the drain has started.
    pub fn has_started(&self) -> bool {
        self.start.get().is_some()
    }

    /// The times of the drain's parts, once it has started.
    pub(super) fn times(&self) -> Option<Times> {
        let start = *self.start.get()?;
        Some(Times { start, schedule: self.schedule })
    }
}

/// The schedule of a drain that has started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    start: Instant,
    pub(super) schedule: Schedule,
}

impl Times {
    /// When a connection that has been idle since then has been quiet for long enough.
    pub(super) fn quiet_after(&self, idle_since: Instant) -> Instant {
        idle_since.max(self.start) + self.schedule.quiet_connection
    }

    pub(super) fn port_closes(&self) -> Instant {
        self.start + self.schedule.port_open
    }

    pub(super) fn deadline(&self) -> Instant {
        self.start + self.schedule.deadline
    }

    pub(super) fn end(&self) -> Instant {
        self.start + self.schedule.end
    }
}
