//! Keys that nobody knows hold up nobody whose key is remembered.

use std::sync::Arc;
use std::time::Duration;

use token_exchange::key_store::cached::CacheLimits;
use token_exchange::key_store::{Source, UnavailableKind};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::world::{World, record};

const TWO_SECONDS: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn keys_that_are_remembered_are_served_at_once_while_the_store_crawls_for_others() {
    let world = Arc::new(World::new());
    world.store.holds("fresh", record("secret"));
    world.store.holds("old", record("secret"));
    world.ask("old").await.unwrap();
    world.pass(30_000).await;
    world.ask("fresh").await.unwrap();
    world.store.takes(TWO_SECONDS);

    let asked = Instant::now();
    let mut strangers = JoinSet::new();
    for number in 0..5_000 {
        let world = Arc::clone(&world);
        strangers.spawn(async move { world.ask_timed(&format!("stranger-{number}")).await });
    }
    world.settle().await;
    for _ in 0..1_000 {
        assert_eq!(world.ask("fresh").await, Ok(Source::Fresh));
    }
    assert_eq!(asked.elapsed(), Duration::ZERO);
    // Its read finds a place of its own: it waits for the store alone.
    let stale = Ok(Source::Stale(UnavailableKind::TooSlow));
    assert_eq!(world.ask_timed("old").await, (stale, Duration::from_millis(800)));
    world.pass(1_300).await;
    assert_eq!(world.ask("old").await, Ok(Source::Fresh));

    let strangers = strangers.join_all().await;
    let count =
        |of: &dyn Fn(&(_, Duration)) -> bool| strangers.iter().filter(|one| of(one)).count();
    // 64 are read at once, 960 wait for two seconds at least, and the rest is told at once.
    let refused = Err(UnavailableKind::Overloaded);
    assert_eq!(count(&|(rests, took)| *rests == refused && took.is_zero()), 5_000 - 1_024);
    let read = count(&|(rests, _)| *rests == Ok(Source::Store));
    assert!((64..=128).contains(&read), "{read}");
    let crowded = world.reads_ended().iter().any(|(outcome, _)| *outcome == "overloaded");
    assert!(crowded, "{:?}", world.reads_ended());
    let waited = TWO_SECONDS..=Duration::from_millis(4_100);
    let too_late = count(&|(rests, took)| rests.is_err() && waited.contains(took));
    assert_eq!(too_late, 1_024 - read);
    assert_eq!(world.cache.figures().reads_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_keys_that_nobody_knows_yet_is_absorbed() {
    let world = Arc::new(World::new());
    world.store.takes(Duration::from_millis(30));
    let mut callers = JoinSet::new();
    for number in 0..1_024 {
        let name = format!("new-{number}");
        world.store.holds(&name, record("secret"));
        let world = Arc::clone(&world);
        callers.spawn(async move { world.ask(&name).await });
    }
    let answers = callers.join_all().await;
    assert_eq!(answers, vec![Ok(Source::Store); 1_024]);
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_key_that_nobody_knows_wait_in_places_of_their_own() {
    let limits = CacheLimits { callers: 2, ..CacheLimits::DEFAULT };
    let world = Arc::new(World::with(limits));
    world.store.holds("known", record("secret"));
    world.ask("known").await.unwrap();
    world.store.takes(Duration::from_millis(700));
    let mut strangers = JoinSet::new();
    for _ in 0..3 {
        let world = Arc::clone(&world);
        strangers.spawn(async move { world.ask_timed("stranger").await });
    }
    world.settle().await;
    assert_eq!(world.ask("known").await, Ok(Source::Fresh));

    let mut answers = strangers.join_all().await;
    answers.sort_by_key(|(_, took)| *took);
    let refused = (Err(UnavailableKind::Overloaded), Duration::ZERO);
    assert_eq!(answers[0], refused, "the third of two is told at once");
    assert_eq!(answers[1..], [(Ok(Source::Store), Duration::from_millis(700)); 2]);
}
