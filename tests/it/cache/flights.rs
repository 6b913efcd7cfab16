//! One question at a time: who waits for whom, for how long, and who may leave.

use std::sync::Arc;
use std::time::Duration;

use token_exchange::key_store::cached::CacheLimits;
use token_exchange::key_store::{AttemptOutcome, Attempts, Recency, Source, UnavailableKind};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::world::{Mood, World, record};

const STALE: Result<Source, UnavailableKind> = Ok(Source::Stale(UnavailableKind::TooSlow));

#[tokio::test(start_paused = true)]
async fn any_number_of_questions_for_one_key_is_one_read() {
    let limits = CacheLimits { callers: 10_000, ..CacheLimits::DEFAULT };
    let world = Arc::new(World::with(limits));
    world.store.holds("a", record("secret"));
    world.store.takes(Duration::from_millis(700));
    let mut callers = JoinSet::new();
    for _ in 0..10_000 {
        let world = Arc::clone(&world);
        callers.spawn(async move { world.ask("a").await });
    }
    let answers = callers.join_all().await;
    assert_eq!(answers, vec![Ok(Source::Store); 10_000]);
    assert_eq!(world.store.reads(), 1);
    let figures = world.cache.figures();
    assert_eq!((world.reads_ended(), figures.joined_reads()), (vec![("answered", 1)], 9_999));
    assert_eq!(figures.reads_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_takes_nothing_with_it() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.store.takes(Duration::from_millis(700));
    // The first one, which began the read, is gone before the answer.
    assert!(timeout(Duration::from_millis(100), world.ask("a")).await.is_err());
    assert_eq!(world.cache.figures().reads_in_flight(), 1);
    let (second, third) = tokio::join!(world.ask("a"), world.ask("a"));
    assert_eq!((second, third), (Ok(Source::Store), Ok(Source::Store)));
    assert_eq!(world.store.reads(), 1);

    // All are gone: the read ends by itself and leaves its answer.
    world.pass(40_000).await;
    assert!(timeout(Duration::from_millis(100), world.ask("a")).await.is_err());
    world.pass(700).await;
    assert_eq!(world.cache.figures().reads_in_flight(), 0);
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Fresh), 2));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_panics_fails_those_who_wait_and_no_one_after() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.store.is_now(Mood::Panics);
    let (first, second) = tokio::join!(
        world.reading("a", Recency::Remembered),
        world.reading("a", Recency::Remembered),
    );
    for (why, joined) in [(first.unwrap_err(), false), (second.unwrap_err(), true)] {
        assert_eq!(why.kind, UnavailableKind::Failed);
        assert_eq!(why.attempts.is_joined(), joined);
        let [attempt] = why.attempts.as_slice() else { panic!("{why:?}") };
        assert_eq!(attempt.outcome, AttemptOutcome::Failed(UnavailableKind::Failed));
    }
    assert_eq!(world.store.reads(), 1);
    assert_eq!(world.cache.figures().reads_in_flight(), 0);
    world.store.is_now(Mood::Answers);
    assert_eq!(world.ask("a").await, Ok(Source::Store));

    // A key that is known is served in spite of it.
    world.pass(40_000).await;
    world.store.is_now(Mood::Panics);
    assert_eq!(world.ask("a").await, Ok(Source::Stale(UnavailableKind::Failed)));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_hangs_ends_by_its_deadline_and_is_joined_for_one_attempt() {
    let world = World::new();
    world.store.is_now(Mood::Hangs);
    let first = async {
        let asked = Instant::now();
        (world.ask("a").await, asked.elapsed())
    };
    let others = async {
        world.pass(799).await;
        let joins = world.ask("a");
        let begins = async {
            world.pass(1).await;
            world.ask("a").await
        };
        tokio::join!(joins, begins)
    };
    let ((first, took), (joined, begun)) = tokio::join!(first, others);
    assert_eq!((first, took), (Err(UnavailableKind::TooSlow), Duration::from_millis(4_100)));
    assert_eq!((joined, begun), (first, first));
    assert_eq!(world.store.reads(), 2);
    let figures = world.cache.figures();
    assert_eq!(figures.reads().map(|(_, durations)| durations.sum).sum::<Duration>(), 2 * took);
    assert_eq!(figures.reads_in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn reads_of_one_key_that_hang_are_few_however_often_it_is_asked_for() {
    let world = World::new();
    world.store.holds("known", record("secret"));
    assert_eq!(world.ask("known").await, Ok(Source::Store));
    world.pass(30_000).await;
    world.store.is_now(Mood::Hangs);
    for (name, most) in [("known", 3), ("cold", 6)] {
        let mut in_flight = 0;
        for _ in 0..200 {
            let _ = timeout(Duration::from_millis(1), world.ask(name)).await;
            in_flight = in_flight.max(world.cache.figures().reads_in_flight());
            world.pass(49).await;
        }
        assert_eq!(in_flight, most, "{name}");
        world.pass(5_000).await;
        assert_eq!(world.cache.figures().reads_in_flight(), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_key_waits_one_attempt_at_most_while_its_read_goes_on() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.ask("a").await.unwrap();
    world.pass(40_000).await;
    world.store.takes(Duration::from_secs(2));

    let attempt = Duration::from_millis(800);
    assert_eq!(world.ask_timed("a").await, (STALE, attempt));
    // Nobody else waits meanwhile, or asks.
    assert_eq!(world.ask_timed("a").await, (STALE, Duration::ZERO));
    assert_eq!(world.store.reads(), 2);
    world.pass(1_200).await;
    // It has come back, two seconds after it was asked for.
    assert_eq!(world.ask_timed("a").await, (Ok(Source::Fresh), Duration::ZERO));
    world.pass(7_999).await;
    assert_eq!(world.ask("a").await, Ok(Source::Fresh));
    world.pass(1).await;
    assert_eq!(world.ask("a").await, Ok(Source::Refreshing));
}

#[tokio::test(start_paused = true)]
async fn a_known_key_is_tried_again_a_second_after_its_read_began_to_hang() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.ask("a").await.unwrap();
    world.pass(40_000).await;
    world.store.is_now(Mood::Hangs);
    let attempt = Duration::from_millis(800);
    assert_eq!(world.ask_timed("a").await, (STALE, attempt));
    world.pass(999).await;
    assert_eq!(world.ask_timed("a").await, (STALE, Duration::ZERO));
    world.store.is_now(Mood::Answers);
    world.pass(1).await;
    assert_eq!(world.ask_timed("a").await, (Ok(Source::Store), Duration::ZERO));
    // The one that hung to its end fails after the other has answered, and spoils nothing.
    world.pass(5_000).await;
    assert_eq!(world.cache.figures().reads_in_flight(), 0);
    world.pass(5_000).await;
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Refreshing), 3));
    world.settle().await;
    assert_eq!(world.store.reads(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_figures_begin_at_nothing_and_count_every_answer_by_what_it_rests_on() {
    let world = World::new();
    assert!(world.cache.figures().answers().iter().all(|(_, count)| *count == 0));
    world.store.holds("a", record("secret"));
    let unreachable = Mood::Fails(UnavailableKind::Unreachable);
    for (milliseconds, mood, name) in [
        (0, Mood::Answers, "a"),
        (0, Mood::Answers, "a"),
        (10_000, Mood::Answers, "a"),
        (0, Mood::Answers, "nobody"),
        (0, Mood::Answers, "nobody"),
        (40_000, unreachable, "a"),
        (0, unreachable, "other"),
    ] {
        world.pass(milliseconds).await;
        world.store.is_now(mood);
        let _ = world.reading(name, Recency::Remembered).await;
        world.settle().await;
    }
    let figures = world.cache.figures();
    let counted = [
        ("store", 2),
        ("fresh", 1),
        ("refreshing", 1),
        ("stale", 1),
        ("absence", 1),
        ("unavailable", 1),
    ];
    assert_eq!(figures.answers(), counted);
    assert_eq!(world.reads_ended(), [("answered", 3), ("unreachable", 2)]);
}

#[tokio::test(start_paused = true)]
async fn who_joined_a_read_is_told_so_and_memory_tells_of_none() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.store.takes(Duration::from_millis(700));
    let ask = || async { world.reading("a", Recency::Remembered).await.unwrap() };
    let (first, second) = tokio::join!(ask(), ask());
    assert_eq!([first.attempts.is_joined(), second.attempts.is_joined()], [false, true]);
    let third = ask().await;
    assert_eq!((third.source, third.attempts), (Source::Fresh, Attempts::default()));
}

#[tokio::test(start_paused = true)]
async fn who_did_not_wait_for_the_end_of_a_read_is_told_how_long_it_waited() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.ask("a").await.unwrap();
    world.pass(40_000).await;
    world.store.is_now(Mood::Hangs);
    let (first, second) = tokio::join!(
        world.reading("a", Recency::Remembered),
        world.reading("a", Recency::Remembered),
    );
    for (reading, joined) in [(first.unwrap(), false), (second.unwrap(), true)] {
        assert_eq!(reading.source, Source::Stale(UnavailableKind::TooSlow));
        assert_eq!(reading.attempts.is_joined(), joined);
        let [attempt] = reading.attempts.as_slice() else { panic!("{reading:?}") };
        assert_eq!(attempt.outcome, AttemptOutcome::Abandoned);
        let waited = attempt.ended - attempt.begun;
        assert!(waited >= Duration::from_millis(800), "{waited:?}");
    }
    // The read goes on until it has to be over, and says so then.
    world.pass(600_000).await;
    let why = world.reading("a", Recency::Remembered).await.unwrap_err();
    let [attempt] = why.attempts.as_slice() else { panic!("{why:?}") };
    assert_eq!(attempt.outcome, AttemptOutcome::Failed(UnavailableKind::TooSlow));
}
