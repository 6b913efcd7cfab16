//! The reload: requests wait for a look that is due, a moment, and for one only.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use token_exchange::signer::{InvalidKeySet, KeyFileError, KeySource, Signer};
use zeroize::Zeroizing;

use super::file::{DAY_ZERO, key, key_from, set};
use crate::support::clock::TestClock;
use crate::support::gate::Gate;

const INTERVAL: Duration = Duration::from_secs(30);

/// A key file that a test holds in its hands: what is in it, how often it was read, and whether
/// reading it hangs.
#[derive(Default)]
struct TestFile {
    content: Mutex<Vec<u8>>,
    reads: AtomicUsize,
    /// Content of reads to come that hang until they are let go.
    hanging: Mutex<VecDeque<Arc<Gate>>>,
}

impl TestFile {
    fn write(&self, content: Vec<u8>) {
        *self.content.lock().unwrap() = content;
    }

    fn hang_once(&self) -> Arc<Gate> {
        let gate = Arc::<Gate>::default();
        self.hanging.lock().unwrap().push_back(Arc::clone(&gate));
        gate
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl KeySource for TestFile {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let content = self.content.lock().unwrap().clone();
        let gate = self.hanging.lock().unwrap().pop_front();
        if let Some(gate) = gate {
            gate.pass();
        }
        Ok(Zeroizing::new(content))
    }

    fn invalid(&self, source: InvalidKeySet) -> KeyFileError {
        KeyFileError::Invalid { path: "test".into(), source }
    }
}

struct Fixture {
    file: Arc<TestFile>,
    clock: Arc<TestClock>,
    signer: Arc<Signer>,
}

impl Fixture {
    fn of(keys: &[Value]) -> Self {
        let file = Arc::<TestFile>::default();
        file.write(set(keys));
        let clock = Arc::new(TestClock::at(DAY_ZERO));
        let signer = Signer::start(file.clone(), INTERVAL, clock.clone()).unwrap();
        Self { file, clock, signer: Arc::new(signer) }
    }

    async fn published(&self) -> Vec<String> {
        published(&self.signer).await
    }
}

async fn published(signer: &Signer) -> Vec<String> {
    let set: Value = serde_json::from_slice(&signer.jwk_set().await.json()).unwrap();
    let keys = set["keys"].as_array().unwrap();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Runs a test that must not hang.
fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = Runtime(Some(builder.worker_threads(2).enable_all().build().unwrap()));
    let in_time = async { tokio::time::timeout(Duration::from_secs(30), test).await };
    runtime.0.as_ref().unwrap().block_on(in_time).expect("the test ends in time");
}

/// A test that fails does not wait for looks that hang.
struct Runtime(Option<tokio::runtime::Runtime>);

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[test]
fn a_request_that_finds_the_last_look_too_old_answers_with_the_new_file() {
    run(async {
        let old = key("old");
        let test = Fixture::of(std::slice::from_ref(&old));
        test.file.write(set(&[old, key_from("next", DAY_ZERO + 100_000)]));
        test.clock.advance(29);
        assert_eq!(test.published().await, ["old"], "the look is young enough");
        assert_eq!(test.file.reads(), 1);
        test.clock.advance(1);
        assert_eq!(test.published().await, ["old", "next"]);
        assert_eq!(test.published().await, ["old", "next"]);
        assert_eq!(test.file.reads(), 2, "the second request needs no look of its own");
    });
}

#[test]
fn the_answer_changes_at_the_right_second_though_nothing_is_read() {
    run(async {
        let test = Fixture::of(&[key_from("old", DAY_ZERO - 9), key_from("next", DAY_ZERO + 20)]);
        let before = test.signer.jwk_set().await;
        assert_eq!(test.signer.health().next_start, Some(20));
        test.clock.advance(19);
        assert_eq!(test.signer.jwk_set().await.json(), before.json());
        test.clock.advance(1);
        assert_eq!(test.published().await, ["next", "old"]);
        assert_ne!(test.signer.jwk_set().await.entity_tag(), before.entity_tag());
        assert_eq!(test.file.reads(), 1);
    });
}

#[test]
fn requests_that_come_together_wait_for_one_look() {
    run(async {
        let test = Fixture::of(&[key("old")]);
        let gate = test.file.hang_once();
        test.clock.advance(30);
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let signer = Arc::clone(&test.signer);
                tokio::spawn(async move { published(&signer).await })
            })
            .collect();
        while test.file.reads() < 2 {
            tokio::task::yield_now().await;
        }
        gate.open();
        for request in waiting {
            assert_eq!(request.await.unwrap(), ["old"]);
        }
        assert_eq!(test.file.reads(), 2);
    });
}

#[test]
fn a_look_that_hangs_is_waited_for_a_second_and_never_again() {
    run(async {
        let test = Fixture::of(&[key("old")]);
        let gate = test.file.hang_once();
        test.clock.advance(30);
        let begun = Instant::now();
        assert_eq!(test.published().await, ["old"]);
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(900), "gave up after {waited:?}");
        assert!(waited < Duration::from_secs(5), "waited {waited:?}");
        for _ in 0..20 {
            assert_eq!(test.published().await, ["old"]);
        }
        assert!(begun.elapsed() < waited + Duration::from_millis(500), "waited again");
        assert_eq!(test.file.reads(), 2);
        gate.open();
    });
}

#[test]
fn a_look_that_was_given_up_still_counts_when_it_ends() {
    run(async {
        let old = key("old");
        let test = Fixture::of(std::slice::from_ref(&old));
        let gate = test.file.hang_once();
        test.file.write(set(&[old, key_from("next", DAY_ZERO + 100_000)]));
        test.clock.advance(30);
        assert_eq!(test.published().await, ["old"]);
        gate.open();
        let deadline = Instant::now() + Duration::from_secs(10);
        while test.published().await.len() < 2 {
            assert!(Instant::now() < deadline, "the keys of the late look never came");
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_look_that_comes_too_late_does_not_undo_a_newer_one() {
    run(async {
        let old = key("old");
        let test = Fixture::of(std::slice::from_ref(&old));
        let gate = test.file.hang_once();
        test.clock.advance(30);
        assert_eq!(test.published().await, ["old"]);
        test.file.write(set(&[old, key_from("next", DAY_ZERO + 100_000)]));
        test.clock.advance(30);
        assert_eq!(test.published().await, ["old", "next"], "a new look does not wait for the old");
        gate.open();
        // Nothing tells that a look had no effect, so it gets some time to have one.
        while Arc::strong_count(&gate) > 1 {
            tokio::task::yield_now().await;
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            assert_eq!(test.published().await, ["old", "next"]);
            tokio::task::yield_now().await;
        }
        assert_eq!(test.signer.health().reload_failures, 0);
    });
}

#[test]
fn looks_that_hang_for_ever_do_not_pile_up() {
    run(async {
        let test = Fixture::of(&[key("old")]);
        let gates: Vec<_> = (0..6).map(|_| test.file.hang_once()).collect();
        for _ in 0..6 {
            test.clock.advance(30);
            assert_eq!(test.published().await, ["old"]);
        }
        assert_eq!(test.file.reads(), 1 + 4);
        for gate in gates {
            gate.open();
        }
    });
}

#[test]
fn a_file_that_cannot_be_used_changes_nothing_and_is_counted() {
    run(async {
        let old = key("old");
        let test = Fixture::of(std::slice::from_ref(&old));
        let good = set(std::slice::from_ref(&old));
        let leaked = super::file::revoked(old.clone(), DAY_ZERO);
        let other_of_this_kid = set(&[key("old")]);
        let bad: [Vec<u8>; 5] = [
            b"".to_vec(),
            good[..good.len() / 2].to_vec(),
            b"{}".to_vec(),
            set(&[leaked]),
            other_of_this_kid,
        ];
        for (count, content) in (1..).zip(bad) {
            test.file.write(content);
            test.clock.advance(30);
            assert_eq!(test.published().await, ["old"]);
            assert_eq!(test.signer.health().reload_failures, count);
        }
        test.file.write(set(&[old, key_from("next", DAY_ZERO + 100_000)]));
        test.clock.advance(30);
        assert_eq!(test.published().await, ["old", "next"]);
    });
}

#[test]
fn a_file_that_goes_back_to_what_it_was_is_taken_into_use_again() {
    run(async {
        let old = key("old");
        let test = Fixture::of(std::slice::from_ref(&old));
        let files =
            [set(std::slice::from_ref(&old)), set(&[old, key_from("next", DAY_ZERO + 100_000)])];
        for round in 1..=4 {
            test.file.write(files[round % 2].clone());
            test.clock.advance(30);
            assert_eq!(test.published().await.len(), 1 + round % 2, "round {round}");
        }
    });
}

#[test]
fn a_reload_that_is_asked_for_happens_at_once() {
    run(async {
        let old = key("old");
        let test = Fixture::of(std::slice::from_ref(&old));
        test.file.write(set(&[old, key_from("next", DAY_ZERO + 100_000)]));
        test.signer.reload().await;
        assert_eq!(test.published().await, ["old", "next"]);
    });
}

#[test]
fn a_clock_that_is_set_back_does_not_put_off_the_next_look() {
    run(async {
        let test = Fixture::of(&[key("old")]);
        for jump in [-86_400, -30, -1] {
            let reads = test.file.reads();
            test.clock.jump(jump);
            test.clock.advance(29);
            test.published().await;
            assert_eq!(test.file.reads(), reads, "not before its time, after {jump} s");
            test.clock.advance(1);
            test.published().await;
            assert_eq!(test.file.reads(), reads + 1, "in time, after {jump} s");
        }
    });
}

#[test]
fn a_clock_that_is_set_forward_costs_a_look_and_looks_go_on_when_it_is_set_right() {
    run(async {
        let test = Fixture::of(&[key("old")]);
        test.clock.jump(86_400);
        test.published().await;
        test.published().await;
        assert_eq!(test.file.reads(), 2);
        test.clock.jump(-86_400);
        test.clock.advance(30);
        test.published().await;
        assert_eq!(test.file.reads(), 3);
    });
}

#[test]
fn a_clock_that_jumps_and_comes_back_leaves_every_key_its_time() {
    run(async {
        let test = Fixture::of(&[
            key_from("retired", DAY_ZERO - 90_000),
            key_from("old", DAY_ZERO - 80_000),
            key_from("next", DAY_ZERO + 80_000),
        ]);
        for (jump, at_that_time) in
            [(86_400, ["next", "old"]), (-86_400, ["retired", "old"]), (30, ["old", "next"])]
        {
            test.clock.jump(jump);
            let published = test.published().await;
            assert!(published.starts_with(&at_that_time.map(str::to_owned)[..1]), "{published:?}");
            test.clock.jump(-jump);
            assert_eq!(test.published().await, ["old", "next"], "after {jump} s and back");
        }
    });
}
