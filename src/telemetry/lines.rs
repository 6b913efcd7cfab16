//! Carries log lines to where they are read, on a thread of its own.
//!
//! A reader that is slow, or gone, must not hold up a request: what does not fit into the queue is
//! counted and dropped. Nothing here knows what a line says.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written, of some hundred bytes each: a second of refusing a request a
/// millisecond, in well under a megabyte.
const QUEUE: usize = 1024;

/// Takes lines, and never waits.
pub(super) struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

/// Dropped, waits until the lines so far are written.
#[must_use]
pub struct Written {
    queue: SyncSender<Message>,
    within: Duration,
}

enum Message {
    Line(Vec<u8>),
    /// Answered when all that was taken before it is written.
    Mark(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes. The end of the process waits for it `within` at most.
    pub(super) fn to(
        out: impl Write + Send + 'static,
        within: Duration,
    ) -> io::Result<(Self, Written)> {
        let (queue, messages) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&messages, &counter, out))?;
        Ok((Self { queue: queue.clone(), dropped }, Written { queue, within }))
    }
}

fn write_all(messages: &Receiver<Message>, dropped: &AtomicU64, mut out: impl Write) {
    while let Ok(message) = messages.recv() {
        match message {
            // Nobody may be reading any more; the service goes on without.
            Message::Line(line) => drop(out.write_all(&line)),
            Message::Mark(reached) => drop(reached.send(())),
        }
        let lines = dropped.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines were dropped: they were not read fast enough");
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Lines {
    /// Takes one line: the subscriber writes each of them in one go.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Message::Line(line.to_vec())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let (mark, reached) = sync_channel(1);
        // A full queue means that nobody reads: nothing is gained by waiting.
        if self.queue.try_send(Message::Mark(mark)).is_ok() {
            let _ = reached.recv_timeout(self.within);
        }
    }
}
