//! Waiting for what announces itself by no event: look, and look again, until a deadline.

use std::sync::mpsc;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);

/// What `look` finds, as soon as it finds something.
///
/// # Panics
/// When that takes longer than it may.
pub fn eventually<T>(what: &str, within: Duration, look: impl FnMut() -> Option<T>) -> T {
    poll(within, look).unwrap_or_else(|| panic!("{what}: not within {within:?}"))
}

/// What `look` finds, or `None` when it has found nothing in time.
pub fn poll<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + within;
    let (_silent, tick) = mpsc::channel::<()>();
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        let _ = tick.recv_timeout(PAUSE);
    }
}
