//! Random lives of a key, its callers and its store, against the rules in words.

use std::time::Duration;

use proptest::prelude::*;
use token_exchange::key_store::cached::CacheLimits;
use token_exchange::key_store::{Answer, IntegrationKey, Recency, UnavailableKind};

use super::world::{Mood, World, record_of_tier};

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    StopTheMachine(u64),
    Change(Option<i64>),
    StoreIsAway(bool),
    Ask(Recency),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    // Around the boundaries, and anywhere.
    let times = prop_oneof![
        Just(0_u64),
        Just(1),
        Just(999),
        Just(1_000),
        Just(2_000),
        Just(10_000),
        Just(30_000),
        Just(600_000),
        0..1_500_u64,
        0..40_000_u64,
        0..700_000_u64,
    ];
    let event = prop_oneof![
        4 => times.clone().prop_map(Event::Pass),
        1 => times.prop_map(Event::StopTheMachine),
        2 => proptest::option::weighted(0.8, 0..5_i64).prop_map(Event::Change),
        2 => any::<bool>().prop_map(Event::StoreIsAway),
        6 => prop_oneof![3 => Just(Recency::Remembered), 1 => Just(Recency::Current)]
            .prop_map(Event::Ask),
    ];
    proptest::collection::vec(event, 1..60)
}

/// The rules as they are told. Reads take no time here, so none is ever joined.
#[derive(Default)]
struct Model {
    now: u64,
    stored: Option<i64>,
    is_away: bool,
    /// What was last said, and when it was asked for. An absence is a `None` inside.
    remembered: Option<(Option<i64>, u64)>,
    failed_at: Option<u64>,
}

impl Model {
    fn failed_within_the_last_second(&self) -> bool {
        self.failed_at.is_some_and(|at| self.now - at < 1_000)
    }

    /// Asks the store; whether it has answered.
    fn read(&mut self) -> bool {
        if self.is_away {
            self.failed_at = Some(self.now);
        } else {
            self.remembered = Some((self.stored, self.now));
            self.failed_at = None;
        }
        !self.is_away
    }

    /// What a caller is told, and what that rests on; `None` is a 503.
    fn ask(&mut self, recency: Recency) -> Option<(Option<i64>, &'static str)> {
        let asked = |model: &mut Self| model.read().then_some((model.stored, "store"));
        let Some((said, at)) = self.remembered else { return asked(self) };
        let age = self.now - at;
        match (said, recency) {
            (None, Recency::Remembered) if age < 2_000 => Some((None, "absence")),
            (None, Recency::Current) if age < 1_000 => Some((None, "absence")),
            (None, _) => {
                // Of a key that is not known no failure is remembered.
                let answer = asked(self);
                if answer.is_none() {
                    self.failed_at = None;
                }
                answer
            }
            (said, Recency::Current) if age < 1_000 => Some((said, "fresh")),
            (_, Recency::Current) if self.failed_within_the_last_second() => None,
            (said, Recency::Remembered) if age < 10_000 => Some((said, "fresh")),
            (said, Recency::Remembered) if age < 30_000 => {
                if !self.failed_within_the_last_second() {
                    self.read();
                }
                Some((said, "refreshing"))
            }
            (said, Recency::Remembered) if age < 600_000 => {
                if self.failed_within_the_last_second() {
                    return Some((said, "stale"));
                }
                asked(self).or(Some((said, "stale")))
            }
            _ => asked(self),
        }
    }
}

fn stored(tier: Option<i64>) -> Answer<IntegrationKey> {
    tier.map_or(Answer::Absent, record_of_tier)
}

async fn live(events: Vec<Event>) -> Result<(), TestCaseError> {
    let (world, mut model) = (World::with(CacheLimits::DEFAULT), Model::default());
    let mut said = Vec::new();
    for event in events {
        match event {
            Event::Pass(milliseconds) => {
                world.pass(milliseconds).await;
                model.now += milliseconds;
            }
            Event::StopTheMachine(milliseconds) => {
                world.clock.stop_the_machine(Duration::from_millis(milliseconds));
                model.now += milliseconds;
            }
            Event::Change(tier) => {
                world.store.holds("a", stored(tier));
                model.stored = tier;
            }
            Event::StoreIsAway(is_away) => {
                let away = Mood::Fails(UnavailableKind::Unreachable);
                world.store.is_now(if is_away { away } else { Mood::Answers });
                model.is_away = is_away;
            }
            Event::Ask(recency) => {
                let reading = world.reading("a", recency).await;
                world.settle().await;
                let found = reading.ok().map(|reading| (reading.answer, reading.source.name()));
                let told = model.ask(recency).map(|(tier, source)| (stored(tier), source));
                said.push(format!("{recency:?} at {}: {found:?}", model.now));
                prop_assert_eq!(found, told, "{:#?}", said);
            }
        }
    }
    prop_assert_eq!(world.cache.figures().reads_in_flight(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_random_life_is_answered_as_the_rules_say(events in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(live(events))?;
    }
}
