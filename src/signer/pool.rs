//! Threads that sign, fed by a bounded queue: a signature holds a core, and the cores that carry
//! the rest of the service must not be held.
//!
//! What nobody waits for any more is not signed, and neither is what has waited too long. A cheap
//! signature is made where it is asked for: to hand it over and be woken would cost as much as the
//! signature. Claims and keys are passed through; what they mean is not known here.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Builder, available_parallelism};
use std::time::{Duration, Instant};

use rustix::process::nice;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::congestion::Congestion;
use super::figures::{ByAlgorithm, SigningFigures};
use super::{SignError, Signature, SigningKey, Token};
use crate::claims::Claims;

/// The most that a thread takes out of the queue in one go.
const BATCH: usize = 16;

/// What is signed may be held until the next is signed as well, for this part of the time that it
/// has waited. Each handing over wakes the runtime, which takes the core from the thread: where
/// many wait, several signatures share that; where few wait, nobody is held.
const HOLD: u32 = 4;

/// How long the runtime rests, before it looks for new requests, while a queue stands. Each request
/// that comes alone takes the core from a thread that signs and gives it back, which costs several
/// times what a refusal needs; several that come together share that.
const LULL: Duration = Duration::from_millis(1);

/// How much less a signature is worth than the rest of the service, in steps of `nice(2)`: where
/// both want all of a core, a third of what the rest gets. Refusals and the key set come on time
/// then; what they leave of the core goes to signatures all the same.
const NICENESS: i32 = 5;

/// How long a trial may take: as long as whoever asks about health is willing to wait.
const TRIAL_WITHIN: Duration = Duration::from_secs(1);

/// How much may be signed at once, and how long it may wait.
#[derive(Debug, Clone, Copy)]
pub struct SigningLimits {
    /// Threads that sign; `None` is one for each core that the process may use.
    pub threads: Option<NonZeroUsize>,
    /// How many may wait.
    pub queue: usize,
    /// How long one may wait.
    pub max_wait: Duration,
}

impl Default for SigningLimits {
    fn default() -> Self {
        Self { threads: None, queue: 2048, max_wait: Duration::from_secs(2) }
    }
}

/// Gives the key that signs at this moment.
pub(super) type KeyOfTheMoment = Box<dyn Fn() -> Arc<SigningKey> + Send + Sync>;

/// The threads and their queue. Dropped, it lets what waits go; nobody waits for its threads.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    key: KeyOfTheMoment,
    limits: SigningLimits,
    threads: usize,
    started: Instant,
    queue: Mutex<Queue>,
    work: Condvar,
    /// In the queue, or taken out of it and not begun.
    waiting: AtomicUsize,
    /// Where callers wait: that of the first.
    runtime: OnceLock<Handle>,
    history: Mutex<History>,
    is_failing: AtomicBool,
}

struct Queue {
    jobs: VecDeque<Job>,
    /// Threads that have nothing to do.
    sleeping: usize,
    is_open: bool,
}

#[derive(Default)]
struct History {
    congestion: Congestion,
    signatures: ByAlgorithm,
}

struct Job {
    work: Work,
    since: Instant,
}

enum Work {
    Sign(Claims, oneshot::Sender<Signed>),
    Try(oneshot::Sender<Result<(), SignError>>),
}

type Signed = Result<(Token, Signature), SignError>;

/// A signature that is to be handed over.
struct Done {
    reply: oneshot::Sender<Signed>,
    outcome: Signed,
    /// Until when it may be held.
    until: Instant,
}

impl Done {
    fn send(self) {
        // The caller may have left meanwhile.
        let _ = self.reply.send(self.outcome);
    }
}

/// Signatures that are handed over when this is dropped, so that a task which holds them need not
/// run for that: its runtime may have ended.
struct Together(Vec<Done>);

impl Drop for Together {
    fn drop(&mut self) {
        self.0.drain(..).for_each(Done::send);
    }
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(limits: SigningLimits, key: KeyOfTheMoment) -> io::Result<Self> {
        let threads = limits.threads.or_else(|| available_parallelism().ok());
        let threads = threads.map_or(1, usize::from);
        let mut history = History::default();
        // On the metrics page from the start.
        history.signatures.of(key().algorithm().name());
        let shared = Arc::new(Shared {
            key,
            limits,
            threads,
            started: Instant::now(),
            queue: Mutex::new(Queue { jobs: VecDeque::new(), sleeping: 0, is_open: true }),
            work: Condvar::new(),
            waiting: AtomicUsize::new(0),
            runtime: OnceLock::new(),
            history: Mutex::new(history),
            is_failing: AtomicBool::new(false),
        });
        let pool = Self { shared: Arc::clone(&shared) };
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            Builder::new().name(format!("signing-{number}")).spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Signs on one of the threads. A caller that leaves is not signed for.
    ///
    /// # Errors
    /// When too many wait, when there is no signature in time, and when there is none at all.
    pub(super) async fn sign(&self, claims: Claims) -> Signed {
        let (reply, signed) = oneshot::channel();
        self.shared.runtime.get_or_init(Handle::current);
        self.shared.enqueue(Work::Sign(claims, reply))?;
        match timeout(self.shared.limits.max_wait, signed).await {
            Ok(outcome) => outcome.map_err(|_| SignError::Ended)?,
            Err(_) => Err(SignError::Busy),
        }
    }

    /// Signs on the thread that asks, with a key whose signatures are cheap.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn sign_here(
        &self,
        key: impl FnOnce() -> Arc<SigningKey>,
        claims: &Claims,
    ) -> Signed {
        let now = Instant::now();
        self.shared.sign(key, claims, now, now)
    }

    /// Makes a signature for nobody and verifies it, before whatever waits.
    ///
    /// # Errors
    /// When there is none, or not within a second.
    pub(super) async fn try_out(&self) -> Result<(), SignError> {
        let (reply, tried) = oneshot::channel();
        self.shared.enqueue(Work::Try(reply))?;
        match timeout(TRIAL_WITHIN, tried).await {
            Ok(outcome) => outcome.map_err(|_| SignError::Ended)?,
            Err(_) => Err(SignError::Busy),
        }
    }

    /// Whether the last signature failed.
    pub(super) fn is_failing(&self) -> bool {
        self.shared.is_failing()
    }

    /// Whether a newcomer would wait too long, behind a queue that does not go away by itself.
    pub(super) fn turns_away(&self) -> bool {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        waiting > 0 && self.shared.history().congestion.turns_away(waiting, self.shared.threads)
    }

    /// How long the runtime had better rest before it looks for new requests.
    pub(super) fn lull(&self) -> Duration {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        let stands = waiting > 0 && self.shared.history().congestion.is_standing();
        if stands { LULL } else { Duration::ZERO }
    }

    pub(super) fn figures(&self) -> SigningFigures {
        let history = self.shared.history();
        SigningFigures {
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            is_standing: history.congestion.is_standing(),
            is_failing: self.is_failing(),
            signatures: history.signatures.times(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        queue.is_open = false;
        queue.jobs.clear();
        drop(queue);
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn enqueue(&self, work: Work) -> Result<(), SignError> {
        let job = Job { work, since: Instant::now() };
        let mut queue = self.queue();
        if queue.jobs.len() >= self.limits.queue {
            return Err(SignError::Busy);
        }
        match job.work {
            Work::Sign(..) => queue.jobs.push_back(job),
            // Health does not wait for its turn.
            Work::Try(_) => queue.jobs.push_front(job),
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Each of those before it has woken a thread, or found all of them awake.
        let is_awaited = queue.jobs.len() <= queue.sleeping;
        drop(queue);
        if is_awaited {
            self.work.notify_one();
        }
        Ok(())
    }

    /// What one thread does, until the pool is dropped.
    fn work(&self) {
        // Of this thread alone, on Linux. Where it is refused all threads are equal.
        let _ = nice(NICENESS);
        let mut jobs = VecDeque::with_capacity(BATCH);
        let mut done = Vec::with_capacity(BATCH);
        while self.take(&mut jobs) {
            let mut now = Instant::now();
            for job in jobs.drain(..) {
                let begun = now;
                now = self.turn(job, begun, &mut done);
                // The next one may take as long.
                let next = now + now.saturating_duration_since(begun);
                if done.iter().any(|done| done.until < next) {
                    self.hand_over(&mut done);
                }
            }
            self.hand_over(&mut done);
        }
    }

    /// Waits for jobs and takes a share of them. `false` when there will be no more.
    fn take(&self, jobs: &mut VecDeque<Job>) -> bool {
        let mut queue = self.queue();
        if queue.jobs.is_empty() && queue.is_open {
            self.history().congestion.emptied();
            queue.sleeping += 1;
            while queue.jobs.is_empty() && queue.is_open {
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.sleeping -= 1;
        }
        let share = queue.jobs.len().div_ceil(self.threads).min(BATCH);
        jobs.extend(queue.jobs.drain(..share));
        queue.is_open
    }

    /// Does one job, whose turn came at `now`; the time afterwards.
    fn turn(&self, job: Job, now: Instant, done: &mut Vec<Done>) -> Instant {
        let waited = now.saturating_duration_since(job.since);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.history().congestion.turn(now.saturating_duration_since(self.started), waited);
        match job.work {
            Work::Sign(_, reply) if reply.is_closed() => now,
            Work::Sign(_, reply) if waited >= self.limits.max_wait => {
                let _ = reply.send(Err(SignError::Busy));
                now
            }
            Work::Sign(claims, reply) => {
                let outcome = self.sign(&self.key, &claims, job.since, now);
                // The end of this job is the beginning of the next: what interrupts a thread, or is
                // woken by it, counts too.
                let ended = outcome.as_ref().map_or_else(|_| Instant::now(), |(_, by)| by.ended);
                self.history().congestion.signed(ended.saturating_duration_since(now));
                // No longer than its caller waits.
                let until = (ended + waited / HOLD).min(job.since + self.limits.max_wait);
                done.push(Done { reply, outcome, until });
                ended
            }
            Work::Try(reply) => {
                let tried =
                    self.with_the_key(&self.key, |key| key.try_out().map_err(|_| SignError::Key));
                let _ = reply.send(tried);
                Instant::now()
            }
        }
    }

    /// Gives all of them to who waits, and the core to whom that wakes.
    ///
    /// Woken from here, the runtime would take the core for the first of them, rest again, and be
    /// woken for the second. So a task of its own wakes them all: there it is a place in a queue.
    fn hand_over(&self, done: &mut Vec<Done>) {
        match (self.runtime.get(), done.len()) {
            (_, 0) => return,
            (Some(runtime), 2..) => {
                let together = Together(mem::replace(done, Vec::with_capacity(BATCH)));
                runtime.spawn(async { drop(together) });
            }
            _ => done.drain(..).for_each(Done::send),
        }
        thread::yield_now();
    }

    /// Makes one signature, which has waited since `queued`.
    fn sign(
        &self,
        key: impl FnOnce() -> Arc<SigningKey>,
        claims: &Claims,
        queued: Instant,
        begun: Instant,
    ) -> Signed {
        let (token, kid, algorithm) = self.with_the_key(key, |key| {
            let token = super::token(key, claims).ok_or(SignError::Key)?;
            Ok((token, key.shared_kid(), key.algorithm().name()))
        })?;
        let signature = Signature { kid, algorithm, queued, begun, ended: Instant::now() };
        let mut history = self.history();
        let signatures = history.signatures.of(algorithm);
        signatures.waits.observe(signature.waited());
        signatures.times.observe(signature.took());
        drop(history);
        Ok((token, signature))
    }

    fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// A panic ends what it happened in, and not the thread.
    fn with_the_key<T>(
        &self,
        key: impl FnOnce() -> Arc<SigningKey>,
        job: impl FnOnce(&SigningKey) -> Result<T, SignError>,
    ) -> Result<T, SignError> {
        let outcome = catch_unwind(AssertUnwindSafe(|| job(&key())));
        let outcome = outcome.unwrap_or(Err(SignError::Ended));
        let is_failing = outcome.is_err();
        // Read first: what all cores write is what none of them has at hand.
        if self.is_failing() != is_failing
            && self.is_failing.swap(is_failing, Ordering::Relaxed) != is_failing
        {
            if is_failing {
                tracing::error!("signing fails: this instance is not ready until it works again");
            } else {
                tracing::info!("signing works again");
            }
        }
        outcome
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // The same.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
