//! Threads that own what blocks, fed by a bounded queue.
//!
//! Nothing here knows SQLite but the name of what a thread owns.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::database::Database;
use crate::key_store::{Unavailable, UnavailableKind};

type Job = Box<dyn FnOnce(&mut Database) + Send>;

/// Threads that take jobs from one queue. They end when this is dropped and the queue is empty.
#[derive(Debug)]
pub(super) struct Workers {
    queue: SyncSender<Job>,
}

/// Why there is no result, and whether the job may have done something.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// The job was not begun and never will be.
    NotBegun(Unavailable),
    /// The job was begun, and nobody waited for its end.
    Begun(Unavailable),
}

impl Workers {
    pub(super) fn spawn(
        name: &str,
        threads: usize,
        queue: usize,
        open: impl Fn() -> Database,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Job>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let (receiver, mut database) = (Arc::clone(&receiver), open());
            std::thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(job) = next(&receiver) {
                    // A defect costs one answer, and not the thread.
                    if catch_unwind(AssertUnwindSafe(|| job(&mut database))).is_err() {
                        database.close();
                    }
                }
            })?;
        }
        Ok(Self { queue: sender })
    }

    /// Runs a job on one of the threads, or takes it back when its time is over before it began.
    /// The job is told when that is.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        within: Duration,
        job: impl FnOnce(&mut Database, Instant) -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        let deadline = Instant::now() + within;
        let (reply, answer) = oneshot::channel();
        let claim = Arc::new(Claim::default());
        // A caller that is gone before the job began must not leave work behind either.
        let waiting = TakeBack(Arc::clone(&claim));
        let job: Job = Box::new(move |database| {
            if claim.take() {
                // Nobody may be waiting any more, which is no failure.
                let _ = reply.send(job(database, deadline));
            }
        });
        self.queue.try_send(job).map_err(|error| {
            Interrupted::NotBegun(match error {
                TrySendError::Full(_) => too_slow("too many are waiting for the database"),
                TrySendError::Disconnected(_) => failed(),
            })
        })?;
        match timeout(within, answer).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_died)) => Err(Interrupted::Begun(failed())),
            Err(_elapsed) => {
                let why = too_slow("the database did not answer within the deadline");
                Err(if waiting.0.take() {
                    Interrupted::NotBegun(why)
                } else {
                    Interrupted::Begun(why)
                })
            }
        }
    }
}

/// Who a job belongs to: the first to take it, its thread or the caller who gives up.
#[derive(Debug, Default)]
struct Claim(AtomicBool);

impl Claim {
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

struct TakeBack(Arc<Claim>);

impl Drop for TakeBack {
    fn drop(&mut self) {
        self.0.take();
    }
}

fn next(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn too_slow(detail: &str) -> Unavailable {
    Unavailable::new(UnavailableKind::TooSlow, detail)
}

fn failed() -> Unavailable {
    Unavailable::new(UnavailableKind::Failed, "the thread of the database has ended")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_job_that_was_not_begun_in_time_is_never_done() {
        let open = || Database::new("never opened".into(), Duration::ZERO);
        let workers = Arc::new(Workers::spawn("test", 1, 3, open).unwrap());
        let (begun, has_begun) = channel();
        let (release, released) = channel::<()>();
        let busy = Arc::clone(&workers);
        let first = tokio::spawn(async move {
            let job = move |_: &mut Database, _| {
                begun.send(()).unwrap();
                released.recv().unwrap();
            };
            busy.run(PATIENCE, job).await
        });
        has_begun.recv_timeout(PATIENCE).unwrap();

        let (did, done) = channel();
        let late = move |_: &mut Database, _| did.send(()).unwrap();
        let outcome = workers.run(Duration::from_millis(20), late).await;
        assert!(matches!(outcome, Err(Interrupted::NotBegun(_))), "{outcome:?}");

        release.send(()).unwrap();
        assert!(first.await.unwrap().is_ok());
        // Behind the late one in the queue: when this is done, that was passed over.
        workers.run(PATIENCE, |_: &mut Database, _| ()).await.unwrap();
        assert!(done.try_recv().is_err(), "it was said that it would not be done");
    }
}
