//! Whatever is done in whatever order: what never happens.

use std::cell::Cell;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use token_exchange::key_life::{self, Ending, Occasion, Remark, Terms};
use token_exchange::key_store::{Facts, KeyStatus};

use super::{NOON, World, at, facts_of, roll_on, time};

/// What operators may do to the keys of an integration, as time goes by.
#[derive(Debug, Clone)]
enum Deed {
    Wait(i64),
    Roll { key: usize, overlap: Option<i64> },
    Expire { key: usize, within: i64 },
    Revoke { key: usize },
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let key = 0..6_usize;
    let seconds = -5_i64..200;
    let deed = prop_oneof![
        (1_i64..100).prop_map(Deed::Wait),
        (key.clone(), proptest::option::weighted(0.7, seconds.clone()))
            .prop_map(|(key, overlap)| Deed::Roll { key, overlap }),
        (key.clone(), seconds).prop_map(|(key, within)| Deed::Expire { key, within }),
        key.prop_map(|key| Deed::Revoke { key }),
    ];
    proptest::collection::vec(deed, 1..12)
}

/// Whatever is done: what has ended stays ended, rolling lengthens no life, every key has one
/// successor at most, and nothing that is revoked here is active in the Go service.
#[test]
fn no_order_of_deeds_brings_a_key_back() {
    let world = World::new();
    let cases = Config { cases: 64, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(cases);
    let numbers = Cell::new(0_usize);
    let outcome = runner.run(&deeds(), |deeds| {
        numbers.set(numbers.get() + 1);
        live(&world, &format!("case-{}", numbers.get()), &deeds)
    });
    outcome.unwrap();
}

fn live(world: &World, integration: &str, deeds: &[Deed]) -> Result<(), TestCaseError> {
    world.integration(integration);
    world.commit(&world.creation(integration, "ki_0", &Terms::default()).unwrap().change);
    let mut now = time(NOON);
    let mut before = world.keys_of(integration);
    for (number, deed) in deeds.iter().enumerate() {
        let on = Occasion { at: now, ..at(NOON) };
        let row = |key: usize| &before[key % before.len()];
        let end = |seconds| now + SignedDuration::from_secs(seconds);
        let planned = match deed {
            Deed::Wait(seconds) => {
                now = end(*seconds);
                continue;
            }
            Deed::Roll { key, overlap } => {
                let ending = overlap.map_or(Ending::Now, |seconds| Ending::At(end(seconds)));
                roll_on(row(*key), &format!("ki_{}", number + 1), ending, &on)
            }
            Deed::Expire { key, within } => {
                key_life::expire_integration_key(row(*key), end(*within), &on)
            }
            Deed::Revoke { key } => {
                let reason = Remark::parse("lost").unwrap();
                Ok(key_life::revoke_integration_key(row(*key), &reason, &on))
            }
        };
        let Ok(planned) = planned else { continue };
        world.commit(&planned.change);

        let after = world.keys_of(integration);
        let is_roll = matches!(deed, Deed::Roll { .. });
        prop_assert_eq!(after.len(), before.len() + usize::from(is_roll));
        for old in &before {
            let new = after.iter().find(|row| row.key_id == old.key_id).unwrap();
            let (was, is) = (facts_of(old), facts_of(new));
            let ended = |facts: &Facts| {
                facts.revoked.is_some() || facts.expires_at.is_some_and(|end| end <= now)
            };
            prop_assert!(!ended(&was) || ended(&is), "{} came back", old.key_id);
            prop_assert!(was.revoked.is_none() || was.revoked == is.revoked);
            prop_assert!(was.replaced_by.is_none() || was.replaced_by == is.replaced_by);
            prop_assert_eq!(is.revoked.is_some(), new.status == KeyStatus::REVOKED);
            if is_roll {
                let last = |facts: &Facts| facts.expires_at.unwrap_or(Timestamp::MAX);
                prop_assert!(last(&is) <= last(&was), "rolling lengthened {}", old.key_id);
            }
        }
        for new in &after {
            let successors = after
                .iter()
                .filter(|row| facts_of(row).replaces.as_deref() == Some(&new.key_id))
                .count();
            let is_replaced = facts_of(new).replaced_by.is_some();
            prop_assert_eq!(successors, usize::from(is_replaced));
        }
        before = after;
    }
    Ok(())
}
