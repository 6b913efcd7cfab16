//! The store is gone for minutes: who is served, for how long, and what a revocation comes to.

use std::sync::Arc;
use std::time::Duration;

use token_exchange::key_store::cached::CacheLimits;
use token_exchange::key_store::{Answer, Recency, Source, UnavailableKind};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::world::{Mood, Rests, World, record, revoked};

const ATTEMPT: Duration = Duration::from_millis(800);
const KEYS: usize = 60;

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_for_nine_minutes_is_not_noticed() {
    outlives(Mood::Fails(UnavailableKind::Unreachable), Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_for_nine_minutes_costs_one_attempt_at_most() {
    outlives(Mood::Hangs, ATTEMPT).await;
}

/// Keys were read within the minute before; for nine minutes each of them is served, a minute later
/// none; when the store is back, all are within a second.
async fn outlives(mood: Mood, at_most: Duration) {
    let world = Arc::new(World::new());
    for number in 0..KEYS {
        let name = format!("key-{number}");
        world.store.holds(&name, record("secret"));
        assert_eq!(world.ask(&name).await, Ok(Source::Store));
        world.pass(1_000).await;
    }
    world.store.is_now(mood);
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_mins(9) - Duration::from_secs(2) {
        for (rests, took) in ask_for_all(&world).await {
            assert!(rests.is_ok() && took <= at_most, "{rests:?} after {:?}", gone.elapsed());
        }
        world.pass(997).await;
    }
    world.pass(62_000).await;
    assert!(ask_for_all(&world).await.iter().all(|(rests, _)| rests.is_err()));

    world.store.is_now(Mood::Answers);
    world.pass(1_000).await;
    let back = (Ok(Source::Store), Duration::ZERO);
    assert_eq!(ask_for_all(&world).await, vec![back; KEYS]);
}

async fn ask_for_all(world: &Arc<World>) -> Vec<(Rests, Duration)> {
    let mut callers = JoinSet::new();
    for number in 0..KEYS {
        let world = Arc::clone(world);
        callers.spawn(async move { world.ask_timed(&format!("key-{number}")).await });
    }
    callers.join_all().await
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_in_health_ends_within_thirty_seconds_however_often_it_is_used() {
    for milliseconds_between in [1, 700, 9_000, 10_000, 11_000, 29_000, 35_000] {
        let world = World::new();
        world.store.holds("a", record("secret"));
        world.store.takes(Duration::from_millis(50));
        world.ask("a").await.unwrap();
        world.store.holds("a", revoked());
        let revoked_at = Instant::now();
        while is_let_in(&world).await {
            assert!(revoked_at.elapsed() <= CacheLimits::DEFAULT.max_age);
            world.pass(milliseconds_between).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_just_before_an_outage_ends_by_the_bound() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.ask("a").await.unwrap();
    world.store.holds("a", revoked());
    world.store.is_now(Mood::Fails(UnavailableKind::Unreachable));
    let revoked_at = Instant::now();
    while is_let_in(&world).await {
        assert!(revoked_at.elapsed() < CacheLimits::DEFAULT.stale_if_error);
        world.pass(500).await;
    }
    assert_eq!(revoked_at.elapsed(), CacheLimits::DEFAULT.stale_if_error);
}

/// Whether there is a record by which a token may be given.
async fn is_let_in(world: &World) -> bool {
    let reading = world.reading("a", Recency::Remembered).await;
    matches!(reading.map(|reading| reading.answer), Ok(Answer::Found(key)) if !key.validity.is_revoked)
}
