//! Carries log lines to where they are read, on a thread of its own.
//!
//! A reader that is slow, or gone, must not hold up a request: what does not fit into the queue is
//! counted and dropped. Whoever must know that a line was written waits for it, within a bound.
//! Nothing here knows what a line says.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait to be written: what a core signs in half a second with RSA, and in 40 ms with
/// `EdDSA`, in two megabytes.
const QUEUE: usize = 2048;

/// Places beyond those, for warnings and errors alone: whoever makes the service write many lines
/// about its callers pushes out nothing that an operator has to act on.
const RESERVED: usize = 256;

/// The least that a batch has to hold, in bytes, for no more lines to be added: what a pipe takes in
/// one go.
const BATCH: usize = 64 * 1024;

/// How long the writer rests after a batch that nobody waits for and that had room for more. To wake
/// it for each line would cost each exchange two switches of its core; the queue holds many times
/// what comes meanwhile.
const REST: Duration = Duration::from_millis(5);

/// How long whoever must know that a line was written waits for it. A reader that is slower than
/// this is none: its callers have ten seconds for everything.
const WRITTEN_WITHIN: Duration = Duration::from_secs(1);

/// A line that is put into words when it is written.
pub(super) trait Deferred: Send {
    /// Adds the line, with its end.
    fn write_to(&self, lines: &mut Vec<u8>);

    /// Whoever waited for it has gone, and what it says has not come true.
    fn withdraw(&mut self);
}

/// Takes lines, and never waits. Clones feed the same queue.
#[derive(Clone)]
pub(super) struct Lines {
    queue: Sender<Message>,
    figures: Arc<LineFigures>,
}

/// Dropped, waits until the lines so far are written.
#[must_use]
pub struct Written {
    lines: Lines,
    within: Duration,
}

/// The lines since the start.
#[derive(Debug, Default)]
pub struct LineFigures {
    waiting: AtomicUsize,
    dropped: [AtomicU64; 2],
}

/// What a line belongs to.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Audit,
    Log,
}

enum Message {
    Line(Vec<u8>),
    Record(Box<dyn Deferred>, Option<oneshot::Sender<()>>),
    /// Answered when all that was taken before it is written.
    Mark(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes. The end of the process waits for it `within` at most.
    pub(super) fn to(
        out: impl Write + Send + 'static,
        within: Duration,
    ) -> io::Result<(Self, Written)> {
        let (queue, messages) = channel();
        let lines = Self { queue, figures: Arc::default() };
        let writer = Writer {
            messages,
            figures: Arc::clone(&lines.figures),
            out,
            rest: || std::thread::sleep(REST),
            batch: Vec::new(),
            taken: Vec::new(),
            breaks_off: false,
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok((lines.clone(), Written { lines, within }))
    }

    /// Has a record written if there is room.
    pub(super) fn keep(&self, record: Box<dyn Deferred>) {
        self.put(Kind::Audit, QUEUE, Message::Record(record, None));
    }

    /// Has a record written, and tells whether it was, in time. If not, it is withdrawn: should it
    /// have come out all the same, it comes out again, saying so.
    pub(super) async fn keep_surely(&self, record: Box<dyn Deferred>) -> bool {
        let (reply, mut written) = oneshot::channel();
        if !self.put(Kind::Audit, QUEUE, Message::Record(record, Some(reply))) {
            return false;
        }
        if let Ok(written) = timeout(WRITTEN_WITHIN, &mut written).await {
            return written.is_ok();
        }
        // From here on nobody is told; it may have been written at the last moment.
        written.close();
        written.try_recv().is_ok()
    }

    fn put(&self, kind: Kind, places: usize, message: Message) -> bool {
        let is_taken = self.figures.waiting.fetch_add(1, Ordering::Relaxed) < places
            && self.queue.send(message).is_ok();
        if !is_taken {
            self.figures.waiting.fetch_sub(1, Ordering::Relaxed);
            self.figures.count_dropped(kind);
        }
        is_taken
    }
}

impl LineFigures {
    /// Lines that found no room, or that were not taken where they are written to, by what they
    /// belong to.
    #[must_use]
    pub fn dropped(&self) -> [(&'static str, u64); 2] {
        let [audit, log] = self.dropped.each_ref().map(|count| count.load(Ordering::Relaxed));
        [("audit", audit), ("log", log)]
    }

    fn count_dropped(&self, kind: Kind) {
        self.dropped[kind as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The thread's own.
struct Writer<W, R> {
    messages: Receiver<Message>,
    figures: Arc<LineFigures>,
    out: W,
    /// Lets more lines come together.
    rest: R,
    /// What is written in one go.
    batch: Vec<u8>,
    taken: Vec<Taken>,
    /// Whether what came out last was a part of a line.
    breaks_off: bool,
}

/// A line of the batch.
struct Taken {
    kind: Kind,
    /// Where it ends in the batch.
    end: usize,
    /// Who waits for it.
    awaited: Option<(Box<dyn Deferred>, oneshot::Sender<()>)>,
}

impl<W: Write, R: FnMut()> Writer<W, R> {
    fn run(mut self) {
        let mut told = 0;
        let mut marks: Vec<SyncSender<()>> = Vec::new();
        while let Ok(first) = self.messages.recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                self.figures.waiting.fetch_sub(1, Ordering::Relaxed);
                self.take(message, &mut marks);
                next = if self.batch.len() < BATCH { self.messages.try_recv().ok() } else { None };
            }
            // More lines wait, perhaps: who rests now is too slow for an instance that is asked much.
            let is_full = self.batch.len() >= BATCH;
            let is_awaited = self.taken.iter().any(|line| line.awaited.is_some());
            let is_written = self.write();
            for reached in marks.drain(..) {
                // The process may have ended its wait.
                let _ = reached.send(());
            }
            let dropped = self.figures.dropped().iter().map(|(_, lines)| lines).sum();
            // Not where nothing can be written: this would be one more line that is dropped.
            if is_written && dropped > told {
                tracing::warn!(
                    lines = dropped - told,
                    "log lines were dropped: they were not read fast enough, or could not be written"
                );
                told = dropped;
            }
            if !is_awaited && !is_full {
                (self.rest)();
            }
        }
    }

    fn take(&mut self, message: Message, marks: &mut Vec<SyncSender<()>>) {
        if self.batch.is_empty() && self.breaks_off {
            self.batch.push(b'\n');
        }
        let (kind, awaited) = match message {
            Message::Line(line) => {
                self.batch.extend_from_slice(&line);
                (Kind::Log, None)
            }
            Message::Record(mut record, reply) => {
                if reply.as_ref().is_some_and(oneshot::Sender::is_closed) {
                    record.withdraw();
                }
                record.write_to(&mut self.batch);
                (Kind::Audit, reply.map(|reply| (record, reply)))
            }
            Message::Mark(reached) => {
                marks.push(reached);
                return;
            }
        };
        self.taken.push(Taken { kind, end: self.batch.len(), awaited });
    }

    /// Writes the batch; whether all of it was taken.
    fn write(&mut self) -> bool {
        let written = self.write_out();
        let is_whole = written == self.batch.len();
        self.batch.clear();
        for Taken { kind, end, awaited } in self.taken.drain(..) {
            if end > written {
                // Whoever waits learns it by the end of the reply.
                self.figures.count_dropped(kind);
            } else if let Some((mut record, reply)) = awaited
                && reply.send(()).is_err()
            {
                record.withdraw();
                record.write_to(&mut self.batch);
            }
        }
        if !self.batch.is_empty() {
            self.write_out();
            self.batch.clear();
        }
        is_whole
    }

    /// Writes as much of the batch as is taken; how many bytes. Nobody may be reading any more; the
    /// service goes on without.
    fn write_out(&mut self) -> usize {
        let mut written = 0;
        while written < self.batch.len() {
            match self.out.write(&self.batch[written..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
                Ok(bytes) => written += bytes,
            }
        }
        if let Some(last) = self.batch[..written].last() {
            self.breaks_off = *last != b'\n';
        }
        written
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { lines: self, places: QUEUE }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> LineWriter<'a> {
        let is_loud = *metadata.level() <= Level::WARN;
        LineWriter { lines: self, places: if is_loud { QUEUE + RESERVED } else { QUEUE } }
    }
}

/// Takes one line: the subscriber writes each of them in one go.
pub(super) struct LineWriter<'a> {
    lines: &'a Lines,
    places: usize,
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.lines.put(Kind::Log, self.places, Message::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// What has become of the lines.
    #[must_use]
    pub fn figures(&self) -> Arc<LineFigures> {
        Arc::clone(&self.lines.figures)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let (mark, reached) = sync_channel(1);
        // A full queue means that nobody reads: nothing is gained by waiting.
        if self.lines.put(Kind::Log, QUEUE, Message::Mark(mark)) {
            let _ = reached.recv_timeout(self.within);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_rests_where_nothing_waits_and_not_after_a_full_batch() {
        let rests_after = |sizes: &[usize]| {
            let (queue, messages) = channel();
            let lines = Lines { queue, figures: Arc::default() };
            for size in sizes {
                assert!(lines.put(Kind::Log, QUEUE, Message::Line(vec![b'\n'; *size])));
            }
            let (mut rests, mut written) = (0, Vec::new());
            let writer = Writer {
                messages,
                figures: Arc::clone(&lines.figures),
                out: &mut written,
                rest: || rests += 1,
                batch: Vec::new(),
                taken: Vec::new(),
                breaks_off: false,
            };
            // The writer ends with the last who could send it a line.
            drop(lines);
            writer.run();
            assert_eq!(written.len(), sizes.iter().sum::<usize>());
            rests
        };
        assert_eq!(rests_after(&[100, 100, 100]), 1, "they go out in one batch");
        assert_eq!(rests_after(&[BATCH, BATCH, BATCH]), 0);
        assert_eq!(rests_after(&[BATCH - 1, BATCH, BATCH, 100]), 1, "the last had room for more");
    }
}
