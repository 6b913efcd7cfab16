//! What goes on at one port, in plain figures.

use std::sync::atomic::{AtomicU64, Ordering};

/// The connections of a port since the start.
#[derive(Debug, Default)]
pub struct PortFigures {
    opened: AtomicU64,
    closed: AtomicU64,
    evicted: AtomicU64,
    too_late: AtomicU64,
}

impl PortFigures {
    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        // Closed first: of one that closes in between, both or only the opening is seen.
        let closed = self.closed.load(Ordering::Acquire);
        self.opened.load(Ordering::Acquire).saturating_sub(closed)
    }

    /// Connections that had to make room for another.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Requests that were not ready at the deadline of the drain.
    #[must_use]
    pub fn too_late(&self) -> u64 {
        self.too_late.load(Ordering::Relaxed)
    }

    pub(super) fn count_opened(&self) {
        self.opened.fetch_add(1, Ordering::Release);
    }

    pub(super) fn count_closed(&self) {
        self.closed.fetch_add(1, Ordering::Release);
    }

    pub(super) fn count_evicted(&self) {
        self.evicted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_too_late(&self) {
        self.too_late.fetch_add(1, Ordering::Relaxed);
    }
}
