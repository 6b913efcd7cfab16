//! How far the doctor is, for a person who waits at a terminal.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use crate::commands::complain;

/// Often enough to be seen to move.
const EVERY: Duration = Duration::from_millis(100);
/// The way from one end of the bar to the other and back.
const LENGTH: usize = 20;

/// A bar that moves: how much there is to read is not known before it was read.
pub(super) struct Progress {
    is_shown: bool,
    last: Instant,
    step: usize,
}

impl Progress {
    pub(super) fn start() -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), last: Instant::now(), step: 0 }
    }

    /// So many records were read by now.
    pub(super) fn at(&mut self, records: usize) {
        if !self.is_shown || self.last.elapsed() < EVERY {
            return;
        }
        (self.last, self.step) = (Instant::now(), self.step + 1);
        let at = self.step % (2 * LENGTH);
        let at = at.min(2 * LENGTH - at);
        let (before, after) = (" ".repeat(at), " ".repeat(LENGTH - at));
        complain(&format!("\r[{before}=={after}] {records} records"));
    }

    /// Leaves the line as it was.
    pub(super) fn end(&self) {
        if self.is_shown && self.step > 0 {
            complain("\r\u{1b}[K");
        }
    }
}
