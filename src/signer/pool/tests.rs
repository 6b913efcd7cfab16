//! Threads whose key is under the test's control: it comes when it is let go, or never.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::environment::{Clock as _, System};
use crate::signer::{KeyFile, KeyRing};

const PATIENCE: Duration = Duration::from_secs(30);

/// A pool of one thread, which asks for its key and waits until it is let have it.
struct Held {
    pool: Arc<Pool>,
    /// Hears of each time that a key is asked for, by the name of the thread.
    asked: Receiver<String>,
    /// `false` makes the thread panic.
    answer: Sender<bool>,
}

fn held(queue: usize, max_wait: Duration) -> Held {
    let (ask, asked) = channel();
    let (answer, answers) = channel::<bool>();
    let (key, answers) = (golden_key(), Mutex::new(answers));
    let is_started = AtomicBool::new(false);
    let key = move || {
        // The pool itself asks once, for the name of the algorithm.
        if is_started.swap(true, Ordering::Relaxed) {
            ask.send(std::thread::current().name().unwrap_or_default().to_owned()).unwrap();
            assert!(answers.lock().unwrap_or_else(PoisonError::into_inner).recv().unwrap());
        }
        Arc::clone(&key)
    };
    let limits = SigningLimits { threads: NonZeroUsize::new(1), queue, max_wait };
    Held { pool: Arc::new(Pool::start(limits, Box::new(key)).unwrap()), asked, answer }
}

impl Held {
    /// Has a signature begun, which holds the thread until it is let have its key.
    fn occupy(&self) -> tokio::task::JoinHandle<Result<(Token, Signature), SignError>> {
        let signing = self.sign();
        self.asked.recv_timeout(PATIENCE).unwrap();
        signing
    }

    fn sign(&self) -> tokio::task::JoinHandle<Result<(Token, Signature), SignError>> {
        let pool = Arc::clone(&self.pool);
        tokio::spawn(async move { pool.sign(Claims::for_tests()).await })
    }

    async fn until_waiting(&self, count: usize) {
        while self.pool.figures().waiting != count {
            tokio::task::yield_now().await;
        }
    }
}

fn golden_key() -> Arc<SigningKey> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signing-key.jwk");
    let ring = KeyRing::of(KeyFile::at(path).load().unwrap());
    Arc::clone(ring.at(System.now()).signing_key())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signatures_are_made_on_threads_of_the_pool() {
    let held = held(8, PATIENCE);
    let signing = held.sign();
    assert_eq!(held.asked.recv_timeout(PATIENCE).unwrap(), "signing-0");
    held.answer.send(true).unwrap();
    assert!(signing.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_signature_and_the_next_is_made() {
    let held = held(8, PATIENCE);
    held.answer.send(false).unwrap();
    assert_eq!(held.sign().await.unwrap().map(drop), Err(SignError::Ended));
    assert!(held.pool.is_failing());
    held.answer.send(true).unwrap();
    assert!(held.sign().await.unwrap().is_ok());
    assert!(!held.pool.is_failing());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_a_caller_that_has_left_nothing_is_signed() {
    let held = held(8, PATIENCE);
    let first = held.occupy();
    let leaves = held.sign();
    held.until_waiting(1).await;
    leaves.abort();
    assert!(leaves.await.unwrap_err().is_cancelled());
    let last = held.sign();
    held.until_waiting(2).await;
    held.answer.send(true).unwrap();
    held.answer.send(true).unwrap();
    // A key for the one that has left would be missing now.
    assert!(first.await.unwrap().is_ok());
    assert!(last.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_is_refused_in_time_and_never_signed() {
    let max_wait = Duration::from_millis(200);
    let held = held(8, max_wait);
    let first = held.occupy();
    let begun = Instant::now();
    assert_eq!(held.sign().await.unwrap().map(drop), Err(SignError::Busy));
    assert!(begun.elapsed() >= max_wait);
    // The thread hangs still, and nobody waits for it longer than for its turn.
    assert_eq!(first.await.unwrap().map(drop), Err(SignError::Busy));
    held.answer.send(true).unwrap();
    held.until_waiting(0).await;
    held.answer.send(true).unwrap();
    assert!(held.sign().await.unwrap().is_ok());
    assert_eq!(held.asked.try_iter().count(), 1, "only the last asked for a key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_is_refused_at_once() {
    let held = held(1, PATIENCE);
    let first = held.occupy();
    let second = held.sign();
    held.until_waiting(1).await;
    assert_eq!(held.sign().await.unwrap().map(drop), Err(SignError::Busy));
    held.answer.send(true).unwrap();
    held.answer.send(true).unwrap();
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_does_not_wait_behind_exchanges() {
    let held = held(8, PATIENCE);
    let first = held.occupy();
    let waits = held.sign();
    held.until_waiting(1).await;
    let pool = Arc::clone(&held.pool);
    let trial = tokio::spawn(async move { pool.try_out().await });
    held.until_waiting(2).await;
    held.answer.send(true).unwrap();
    held.answer.send(true).unwrap();
    assert_eq!(trial.await.unwrap(), Ok(()));
    assert!(!waits.is_finished(), "the trial took its turn");
    held.answer.send(true).unwrap();
    assert!(first.await.unwrap().is_ok() && waits.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_when_the_pool_ends_is_told_so_and_nobody_waits_for_its_threads() {
    let held = held(8, PATIENCE);
    let _hangs = held.occupy();
    let pool = Arc::clone(&held.pool);
    let (reply, waits) = oneshot::channel();
    pool.shared.enqueue(Work::Sign(Claims::for_tests(), reply)).unwrap();
    // What a pool does when its last owner lets it go.
    drop(Pool { shared: Arc::clone(&pool.shared) });
    assert!(waits.await.is_err());
    held.answer.send(false).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_waited_little_is_not_held_until_others_have_their_signatures() {
    let held = held(8, PATIENCE);
    let first = held.occupy();
    let begun = Instant::now();
    let second = held.sign();
    held.until_waiting(1).await;
    let third = held.sign();
    held.until_waiting(2).await;
    held.answer.send(true).unwrap();
    assert!(first.await.unwrap().is_ok());
    // Both are in the thread's hands. The second takes longer than it has waited.
    held.asked.recv_timeout(PATIENCE).unwrap();
    let waited = begun.elapsed();
    let since = Instant::now();
    while since.elapsed() < waited {
        tokio::task::yield_now().await;
    }
    held.answer.send(true).unwrap();
    assert!(second.await.unwrap().is_ok());
    assert!(!third.is_finished(), "it has no key yet");
    held.answer.send(true).unwrap();
    assert!(third.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_signed_here_waits_for_no_thread_and_fails_as_it_would_on_one() {
    let held = held(8, PATIENCE);
    let first = held.occupy();
    let (_, signature) = held.pool.sign_here(golden_key, &Claims::for_tests()).unwrap();
    assert_eq!(signature.waited(), Duration::ZERO);
    assert!(!first.is_finished());
    let failed = held.pool.sign_here(|| panic!("made up"), &Claims::for_tests());
    assert_eq!(failed.map(drop), Err(SignError::Ended));
    assert!(held.pool.is_failing());
    assert!(held.pool.sign_here(golden_key, &Claims::for_tests()).is_ok());
    assert!(!held.pool.is_failing());
    held.answer.send(true).unwrap();
    assert!(first.await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_waited_long_gets_it_together_with_the_next() {
    let held = held(8, PATIENCE);
    let first = held.occupy();
    let since = Instant::now().checked_sub(PATIENCE / 3).unwrap();
    let (reply, mut second) = oneshot::channel();
    held.pool
        .shared
        .queue()
        .jobs
        .push_back(Job { work: Work::Sign(Claims::for_tests(), reply), since });
    held.pool.shared.waiting.fetch_add(1, Ordering::Relaxed);
    let third = held.sign();
    held.until_waiting(2).await;
    held.answer.send(true).unwrap();
    assert!(first.await.unwrap().is_ok());
    held.asked.recv_timeout(PATIENCE).unwrap();
    held.answer.send(true).unwrap();
    held.asked.recv_timeout(PATIENCE).unwrap();
    assert!(second.try_recv().is_err(), "the third is being signed, and the second is held");
    held.answer.send(true).unwrap();
    assert!(second.await.unwrap().is_ok() && third.await.unwrap().is_ok());
}

#[test]
fn signatures_are_handed_over_though_the_runtime_of_the_first_caller_has_ended() {
    let held = held(8, PATIENCE);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    held.pool.shared.runtime.set(runtime.handle().clone()).unwrap();
    drop(runtime);
    let until = Instant::now();
    let (mut done, mut callers) = (vec![], vec![]);
    for _ in 0..3 {
        let (reply, caller) = oneshot::channel();
        done.push(Done { reply, outcome: Err(SignError::Key), until });
        callers.push(caller);
    }
    held.pool.shared.hand_over(&mut done);
    assert!(done.is_empty());
    for mut caller in callers {
        assert_eq!(caller.try_recv().unwrap().map(drop), Err(SignError::Key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_runtime_rests_only_while_a_queue_stands() {
    let held = held(8, PATIENCE);
    let first = held.occupy();
    let second = held.sign();
    held.until_waiting(1).await;
    assert_eq!(held.pool.lull(), Duration::ZERO, "one waits, and not for long");
    // The first ends the window of what has really been, the second one of long waits.
    for seconds in [1, 2] {
        let time = Duration::from_secs(seconds);
        held.pool.shared.history().congestion.turn(time, time);
    }
    assert_eq!(held.pool.lull(), LULL);
    held.answer.send(true).unwrap();
    held.answer.send(true).unwrap();
    assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
    assert_eq!(held.pool.lull(), Duration::ZERO, "nobody waits");
}
