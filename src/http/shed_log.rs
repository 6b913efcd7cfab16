//! One line a second of the log about requests that were turned away, however many they are.
//!
//! A line for each would cost more than the refusal itself, and would push everything else out of
//! the log's queue just when somebody has to read it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use crate::exchange::Overload;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(1);

/// Counts until the next line. Clones count together.
#[derive(Clone, Default)]
pub(super) struct ShedLog(Arc<Counts>);

#[derive(Default)]
struct Counts {
    of: [AtomicU64; Overload::ALL.len()],
    is_line_due: AtomicBool,
}

impl ShedLog {
    pub(super) fn count(&self, why: Overload) {
        // In one order with those of `write_line`, or a count could wait for a line without being in
        // it.
        self.0.of[why as usize].fetch_add(1, Ordering::SeqCst);
        // Looked at first: writing what other cores write too costs more.
        if !self.0.is_line_due.load(Ordering::SeqCst)
            && !self.0.is_line_due.swap(true, Ordering::SeqCst)
        {
            tokio::spawn(write_line(Arc::clone(&self.0)));
        }
    }
}

async fn write_line(counts: Arc<Counts>) {
    sleep(EVERY).await;
    // First: what is counted from here on is in this line or makes another one due.
    counts.is_line_due.store(false, Ordering::SeqCst);
    let [shed, too_many, queue_wait, crowded] =
        counts.of.each_ref().map(|of| of.swap(0, Ordering::SeqCst));
    if shed + too_many + queue_wait + crowded > 0 {
        tracing::warn!(
            shed,
            too_many,
            queue_wait,
            crowded,
            "more is asked for than can be done in time"
        );
    }
}
