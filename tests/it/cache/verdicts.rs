//! What the exchange makes of remembered answers: they may let a key in for longer than they may
//! refuse one.

use std::sync::Arc;
use std::time::Duration;

use token_exchange::environment::System;
use token_exchange::exchange::{Exchange, Integration, NoToken, Refusal, Report};
use token_exchange::key_store::{
    Answer, IntegrationKey, KeyStatus, Unavailable, UnavailableKind, UnusableRecord, Validity,
};
use token_exchange::signer::{KeyFile, Signer};

use super::world::{Mood, World, record, revoked, written};

const AWAY: Mood = Mood::Fails(UnavailableKind::Refused);

struct Counter {
    world: World,
    exchange: Exchange,
}

impl Counter {
    fn open() -> Self {
        let world = World::new();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keys/eddsa.jwk");
        let key_file = Arc::new(KeyFile::at(path));
        let signer = Signer::start(key_file, Duration::from_secs(30), Arc::new(System)).unwrap();
        let (clock, random) = (world.clock.clone(), Arc::new(System));
        let exchange = Exchange::new(world.cache.clone(), Arc::new(signer), clock, random);
        Self { world, exchange }
    }

    /// Presents a key with this secret.
    async fn present(&self, secret: &str) -> Result<(), NoToken> {
        let (key, report) = (written("a", secret), &mut Report::default());
        self.exchange.exchange::<Integration>(key, report).await.map(drop)
    }

    /// Time goes by for the ages, beside the little that really does.
    async fn pass(&self, milliseconds: u64) {
        self.world.settle().await;
        self.world.clock.stop_the_machine(Duration::from_millis(milliseconds));
    }

    async fn assert_refused(&self, secret: &str, refusal: &Refusal) {
        match self.present(secret).await {
            Err(NoToken::Refused(found)) => assert_eq!(found, *refusal),
            other => panic!("{other:?}, not {refusal}"),
        }
    }

    async fn assert_unavailable(&self, secret: &str) {
        match self.present(secret).await {
            Err(NoToken::Unavailable(Unavailable { kind, .. })) => {
                assert_eq!(kind, UnavailableKind::Refused);
            }
            other => panic!("{other:?}, not unavailable"),
        }
    }
}

fn inactive() -> Answer<IntegrationKey> {
    match record("secret") {
        Answer::Found(record) => {
            Answer::Found(IntegrationKey { status: KeyStatus::Inactive, ..record })
        }
        other => other,
    }
}

fn expired() -> Answer<IntegrationKey> {
    let expires_at = Some(jiff::Timestamp::from_second(1_700_000_000).unwrap());
    match record("secret") {
        Answer::Found(record) => Answer::Found(IntegrationKey {
            validity: Validity { expires_at, ..Validity::default() },
            ..record
        }),
        other => other,
    }
}

#[tokio::test]
async fn a_refusal_may_rest_on_memory_while_that_is_good_and_never_on_what_is_stale() {
    for (answer, refusal) in [
        (inactive(), Refusal::NotActive),
        (revoked(), Refusal::Revoked),
        (expired(), Refusal::Expired),
    ] {
        let counter = Counter::open();
        counter.world.store.holds("a", answer);
        counter.assert_refused("secret", &refusal).await;
        counter.pass(29_000).await;
        counter.world.store.is_now(AWAY);
        counter.assert_refused("secret", &refusal).await;
        counter.pass(1_000).await;
        counter.assert_unavailable("secret").await;
        counter.world.store.is_now(Mood::Answers);
        counter.pass(1_000).await;
        counter.assert_refused("secret", &refusal).await;
    }
}

#[tokio::test]
async fn what_is_absent_or_cannot_be_used_is_refused_for_two_seconds_and_then_asked_for() {
    for (answer, refusal) in [
        (Answer::Absent, Refusal::Unknown),
        (Answer::Gone(Validity::default()), Refusal::Unknown),
        (Answer::Unusable(UnusableRecord::NoParent), Refusal::Unusable(UnusableRecord::NoParent)),
    ] {
        let counter = Counter::open();
        counter.world.store.holds("a", answer);
        counter.assert_refused("secret", &refusal).await;
        counter.world.store.is_now(AWAY);
        counter.pass(1_500).await;
        counter.assert_refused("secret", &refusal).await;
        counter.pass(500).await;
        counter.assert_unavailable("secret").await;
    }
}

#[tokio::test]
async fn a_key_is_let_in_by_what_is_stale() {
    let counter = Counter::open();
    counter.world.store.holds("a", record("secret"));
    counter.present("secret").await.unwrap();
    counter.world.store.is_now(AWAY);
    counter.pass(599_000).await;
    counter.present("secret").await.unwrap();
    counter.assert_unavailable("wrong").await;
    counter.pass(1_000).await;
    counter.assert_unavailable("secret").await;
}

#[tokio::test]
async fn a_secret_that_was_replaced_in_place_is_right_from_the_first_second_on() {
    let counter = Counter::open();
    counter.world.store.holds("a", record("old"));
    counter.present("old").await.unwrap();
    for age in [1_000, 9_000, 10_000, 29_000, 30_000, 599_000] {
        counter.pass(age).await;
        counter.world.store.holds("a", record("new"));
        counter.present("new").await.unwrap();
        counter.assert_refused("old", &Refusal::WrongSecret).await;
        counter.pass(1_000).await;
        counter.world.store.holds("a", record("old"));
        counter.present("old").await.unwrap();
    }
}

#[tokio::test]
async fn wrong_secrets_cost_one_read_a_second_and_are_no_verdict_while_the_store_is_away() {
    let counter = Counter::open();
    counter.world.store.holds("a", record("secret"));
    counter.present("secret").await.unwrap();
    counter.pass(1_000).await;
    for _ in 0..50 {
        counter.assert_refused("wrong", &Refusal::WrongSecret).await;
    }
    assert_eq!(counter.world.store.reads(), 2);

    counter.pass(1_000).await;
    counter.world.store.is_now(AWAY);
    for _ in 0..50 {
        counter.assert_unavailable("wrong").await;
        counter.present("secret").await.unwrap();
    }
    assert_eq!(counter.world.store.reads(), 3);
    counter.pass(1_000).await;
    counter.assert_unavailable("wrong").await;
    assert_eq!(counter.world.store.reads(), 4);
}

#[tokio::test]
async fn a_wrong_secret_against_what_the_store_has_just_said_is_refused_without_another_read() {
    let counter = Counter::open();
    counter.world.store.holds("a", record("secret"));
    counter.assert_refused("wrong", &Refusal::WrongSecret).await;
    assert_eq!(counter.world.store.reads(), 1);
}
