//! How old an answer may be, at each boundary, and by which clock.

use std::time::Duration;

use token_exchange::key_store::cached::CacheLimits;
use token_exchange::key_store::{
    Answer, Recency, Source, UnavailableKind, UnusableRecord, Validity,
};

use super::world::{Mood, World, record, record_of_tier};

const AWAY: Mood = Mood::Fails(UnavailableKind::Unreachable);
const STALE: Result<Source, UnavailableKind> = Ok(Source::Stale(UnavailableKind::Unreachable));

/// A world in which a key was read this long ago.
async fn read_ago(limits: CacheLimits, milliseconds: u64) -> World {
    let world = World::with(limits);
    world.store.holds("a", record("secret"));
    assert_eq!(world.ask("a").await, Ok(Source::Store));
    world.pass(milliseconds).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_remembered_key_is_served_refreshed_and_read_first_by_its_age() {
    for (age, rests, reads) in [
        (0, Source::Fresh, 1),
        (9_999, Source::Fresh, 1),
        (10_000, Source::Refreshing, 2),
        (29_999, Source::Refreshing, 2),
        (30_000, Source::Store, 2),
        (599_999, Source::Store, 2),
        (600_000, Source::Store, 2),
    ] {
        let world = read_ago(CacheLimits::DEFAULT, age).await;
        assert_eq!(world.ask("a").await, Ok(rests), "{age}");
        world.settle().await;
        assert_eq!(world.store.reads(), reads, "{age}");
        assert_eq!(world.ask("a").await, Ok(Source::Fresh), "{age}: nothing is read twice");
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_a_key_is_served_up_to_its_bound_and_no_further() {
    for (age, rests) in [
        (29_999, Ok(Source::Refreshing)),
        (30_000, STALE),
        (599_999, STALE),
        (600_000, Err(UnavailableKind::Unreachable)),
    ] {
        let world = read_ago(CacheLimits::DEFAULT, age).await;
        world.store.is_now(AWAY);
        assert_eq!(world.ask("a").await, rests, "{age}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_reaches_its_bound_while_the_store_fails_is_not_let_in() {
    for (took, rests) in [(499, STALE), (500, Err(UnavailableKind::Unreachable))] {
        let world = read_ago(CacheLimits::DEFAULT, 599_500).await;
        world.store.is_now(AWAY);
        world.store.takes(Duration::from_millis(took));
        assert_eq!(world.ask("a").await, rests, "{took}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_in_which_a_store_fails_is_a_failed_read() {
    for kind in [
        UnavailableKind::Unreachable,
        UnavailableKind::TooSlow,
        UnavailableKind::Refused,
        UnavailableKind::Credentials,
        UnavailableKind::Failed,
        UnavailableKind::Overloaded,
    ] {
        let world = read_ago(CacheLimits::DEFAULT, 40_000).await;
        world.store.is_now(Mood::Fails(kind));
        assert_eq!(world.ask("a").await, Ok(Source::Stale(kind)));
        assert_eq!(world.ask("never-seen").await, Err(kind));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_is_not_tried_again_for_a_second() {
    let world = read_ago(CacheLimits::DEFAULT, 40_000).await;
    world.store.is_now(AWAY);
    assert_eq!((world.ask("a").await, world.store.reads()), (STALE, 2));
    world.pass(999).await;
    assert_eq!((world.ask("a").await, world.store.reads()), (STALE, 2));
    world.pass(1).await;
    assert_eq!((world.ask("a").await, world.store.reads()), (STALE, 3));
    world.store.is_now(Mood::Answers);
    world.pass(1_000).await;
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Store), 4));
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_is_tried_again_once_a_second() {
    let world = read_ago(CacheLimits::DEFAULT, 10_000).await;
    world.store.is_now(AWAY);
    for _ in 0..100 {
        assert_eq!(world.ask("a").await, Ok(Source::Refreshing));
        world.pass(50).await;
    }
    // One at the begin of each of the five seconds.
    assert_eq!(world.store.reads(), 1 + 5);
}

#[tokio::test(start_paused = true)]
async fn an_age_counts_from_the_asking_and_not_from_the_answer() {
    let world = World::new();
    world.store.holds("a", record("secret"));
    world.store.takes(Duration::from_secs(3));
    assert_eq!(world.ask("a").await, Ok(Source::Store));
    world.pass(6_999).await;
    assert_eq!(world.ask("a").await, Ok(Source::Fresh));
    world.pass(1).await;
    assert_eq!(world.ask("a").await, Ok(Source::Refreshing));
}

#[tokio::test(start_paused = true)]
async fn an_older_answer_that_comes_late_does_not_replace_a_newer_one() {
    let world = World::new();
    world.store.holds("a", record_of_tier(1));
    world.store.takes(Duration::from_secs(3));
    let late = world.reading("a", Recency::Remembered);
    let newer = async {
        world.pass(800).await;
        world.store.holds("a", record_of_tier(2));
        world.store.takes(Duration::ZERO);
        world.reading("a", Recency::Remembered).await
    };
    let (late, newer) = tokio::join!(late, newer);
    assert_eq!(late.unwrap().answer, record_of_tier(1));
    assert_eq!(newer.unwrap().answer, record_of_tier(2));
    let remembered = world.reading("a", Recency::Remembered).await.unwrap();
    assert_eq!((remembered.answer, remembered.source), (record_of_tier(2), Source::Fresh));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_stopped_serves_nothing_that_has_grown_old_meanwhile() {
    for (seconds, rests) in [(9, Source::Fresh), (29, Source::Refreshing), (60, Source::Store)] {
        let world = read_ago(CacheLimits::DEFAULT, 0).await;
        world.clock.stop_the_machine(Duration::from_secs(seconds));
        assert_eq!(world.ask("a").await, Ok(rests), "{seconds}");
    }
    let world = read_ago(CacheLimits::DEFAULT, 0).await;
    world.store.is_now(AWAY);
    world.clock.stop_the_machine(Duration::from_mins(10));
    assert_eq!(world.ask("a").await, Err(UnavailableKind::Unreachable));
}

#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_is_set_forward_costs_a_read_and_one_that_is_set_back_nothing() {
    let world = read_ago(CacheLimits::DEFAULT, 0).await;
    world.clock.set_forward(Duration::from_hours(24));
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Store), 2));
    world.clock.set_back(Duration::from_hours(24));
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Fresh), 2));
    world.pass(10_000).await;
    assert_eq!(world.ask("a").await, Ok(Source::Refreshing));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_used_is_remembered_for_two_seconds() {
    let answers = [
        Answer::Absent,
        Answer::Gone(Validity { is_revoked: true, ..Validity::default() }),
        Answer::Unusable(UnusableRecord::NoParent),
    ];
    for answer in answers {
        let world = World::new();
        world.store.holds("a", answer.clone());
        assert_eq!(world.ask("a").await, Ok(Source::Store));
        world.pass(1_999).await;
        let remembered = world.reading("a", Recency::Remembered).await.unwrap();
        assert_eq!((remembered.answer, remembered.source), (answer.clone(), Source::Absence));
        world.pass(1).await;
        assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Store), 2));
        // Never longer, even if nothing better is known.
        world.pass(2_000).await;
        world.store.is_now(AWAY);
        assert_eq!(world.ask("a").await, Err(UnavailableKind::Unreachable), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_gone_is_forgotten_and_one_that_has_come_is_known() {
    let world = read_ago(CacheLimits::DEFAULT, 30_000).await;
    world.store.holds("a", Answer::Absent);
    assert_eq!(world.reading("a", Recency::Remembered).await.unwrap().answer, Answer::Absent);
    world.pass(3_000).await;
    world.store.is_now(AWAY);
    assert_eq!(world.ask("a").await, Err(UnavailableKind::Unreachable), "it is not let in again");
    assert_eq!((world.cache.entries().keys, world.cache.entries().absences), (0, 1));

    world.store.is_now(Mood::Answers);
    world.store.holds("a", record("secret"));
    assert_eq!(world.ask("a").await, Ok(Source::Store));
    assert_eq!(world.ask("a").await, Ok(Source::Fresh));
    assert_eq!((world.cache.entries().keys, world.cache.entries().absences), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn zero_turns_each_part_off() {
    let default = CacheLimits::DEFAULT;
    let zero = Duration::ZERO;
    // Nothing without a read; it still goes on in the background.
    let world = read_ago(CacheLimits { fresh: zero, ..default }, 0).await;
    assert_eq!(world.ask("a").await, Ok(Source::Refreshing));
    // Nothing from memory while the store answers.
    let asking = CacheLimits { fresh: zero, max_age: zero, ..default };
    let world = read_ago(asking, 0).await;
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Store), 2));
    assert_eq!(world.ask("nobody").await, Ok(Source::Store));
    assert_eq!(world.ask("nobody").await, Ok(Source::Store));
    world.store.is_now(AWAY);
    assert_eq!(world.ask("a").await, STALE);
    // No longer without the store than with it.
    let world = read_ago(CacheLimits { stale_if_error: zero, ..default }, 29_999).await;
    world.store.is_now(AWAY);
    assert_eq!(world.ask("a").await, Ok(Source::Refreshing));
    world.pass(1).await;
    assert_eq!(world.ask("a").await, Err(UnavailableKind::Unreachable));
    // Nothing at all.
    let world = read_ago(CacheLimits { capacity: 0, ..default }, 0).await;
    assert_eq!((world.ask("a").await, world.store.reads()), (Ok(Source::Store), 2));
    assert_eq!(world.ask("nobody").await, Ok(Source::Store));
    assert_eq!(world.ask("nobody").await, Ok(Source::Store));
    world.store.is_now(AWAY);
    assert_eq!(world.ask("a").await, Err(UnavailableKind::Unreachable));
    assert_eq!((world.cache.entries().keys, world.cache.entries().absences), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_current_answer_is_at_most_a_second_old_and_costs_one_read_a_second() {
    let world = read_ago(CacheLimits::DEFAULT, 999).await;
    assert_eq!((world.ask_current("a").await, world.store.reads()), (Ok(Source::Fresh), 1));
    world.pass(1).await;
    assert_eq!((world.ask_current("a").await, world.store.reads()), (Ok(Source::Store), 2));
    world.pass(999).await;
    assert_eq!((world.ask_current("a").await, world.store.reads()), (Ok(Source::Fresh), 2));

    world.pass(1).await;
    world.store.is_now(AWAY);
    for _ in 0..10 {
        assert_eq!(world.ask_current("a").await, Err(UnavailableKind::Unreachable));
        assert_eq!(world.store.reads(), 3);
        world.pass(99).await;
    }
    world.pass(10).await;
    assert_eq!(world.ask_current("a").await, Err(UnavailableKind::Unreachable));
    assert_eq!(world.store.reads(), 4);
    // Whoever asks for any answer is served all the while.
    assert_eq!(world.ask("a").await, Ok(Source::Fresh));
}
