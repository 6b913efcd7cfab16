//! What every key store does, whatever it is made of.

use std::sync::Arc;
use std::time::Duration;

use token_exchange::api_key::SecretHash;
use token_exchange::key_store::{
    Answer, Holder, IntegrationKey, KeyAdmin, KeyStatus, NewOrganization, OrganizationKey,
    RecordName, Unavailable, Validity, WriteError,
};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::engine::{
    Engine, Planted, integration_id, key_id, new_integration, new_key, new_organization,
    new_organization_key, organization_key,
};
use crate::support::ask::Ask as _;

/// Enough for writers to get into each other's way.
const ROUNDS: usize = 10;
const RIVALS: usize = 4;

const HASH: &str = "67b3c2ef810b2360ec2beb22b59e0a2681a1bd100ff9e1298a93e8bac8baa156";

pub async fn a_created_integration_key_is_found_as_it_was_created(engine: &dyn Engine) {
    let first = new_key("acme", "ki_first");
    let mut second = new_key("acme", "ki_second");
    second.tier = -2;
    engine.store().create_integration(&new_integration("acme"), &first).await.unwrap();
    engine.store().create_integration_key(&second).await.unwrap();

    let store = engine.store();
    for key in [&first, &second] {
        assert_eq!(
            store.look_up(&key.integration_id, &key.key_id).await.unwrap(),
            Answer::Found(IntegrationKey {
                secret_hash: Some(key.secret_hash),
                status: KeyStatus::Active,
                tier: key.tier,
                validity: Validity::default(),
            })
        );
    }
}

pub async fn a_created_organization_key_is_found_with_its_holder(engine: &dyn Engine) {
    let store = engine.store();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    for key in ["first-key", "second-key"] {
        store.create_organization_key(&new_organization_key("mlab", key)).await.unwrap();
    }
    for key in ["first-key", "second-key"] {
        assert_eq!(holder(engine, key).await, Some("mlab".to_owned()));
    }
}

pub async fn what_was_never_stored_is_absent(engine: &dyn Engine) {
    let store = engine.store();
    assert_eq!(find(engine, "acme", "ki_first").await, Answer::Absent);
    assert_eq!(holder(engine, "first-key").await, None);

    store.create_integration(&new_integration("acme"), &new_key("acme", "ki_first")).await.unwrap();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_organization_key(&new_organization_key("mlab", "first-key")).await.unwrap();
    assert_eq!(find(engine, "acme", "ki_other").await, Answer::Absent);
    assert_eq!(holder(engine, "other-key").await, None);
    assert_eq!(holder(engine, "mlab").await, None);
}

pub async fn a_key_of_one_integration_is_absent_under_another(engine: &dyn Engine) {
    let store = engine.store();
    for (integration, key) in [("acme", "ki_acme"), ("zeta", "ki_zeta")] {
        store
            .create_integration(&new_integration(integration), &new_key(integration, key))
            .await
            .unwrap();
    }
    assert_eq!(find(engine, "acme", "ki_zeta").await, Answer::Absent);
    assert_eq!(find(engine, "zeta", "ki_acme").await, Answer::Absent);
}

pub async fn the_two_families_of_keys_do_not_see_each_other(engine: &dyn Engine) {
    let store = engine.store();
    store.create_integration(&new_integration("same"), &new_key("same", "ki_same")).await.unwrap();
    assert_eq!(holder(engine, "ki_same").await, None);
    store.create_organization(&new_organization("other")).await.unwrap();
    store.create_organization_key(&new_organization_key("other", "ki_other")).await.unwrap();
    assert_eq!(find(engine, "other", "ki_other").await, Answer::Absent);
}

pub async fn only_the_word_active_is_active(engine: &dyn Engine) {
    let words = ["active", "inactive", "revoked", "", "Active", "ACTIVE", "active ", "active\n"];
    for (number, status) in words.into_iter().enumerate() {
        let key_id = format!("ki_{number}");
        engine.plant(&Planted {
            integration: "acme",
            key_id: &key_id,
            hash: HASH,
            status,
            tier: 1,
        });
        let expected = if status == "active" { KeyStatus::Active } else { KeyStatus::Inactive };
        assert_eq!(found(engine, "acme", &key_id).await.status, expected, "{status:?}");
    }
}

pub async fn only_lower_case_hex_is_a_hash(engine: &dyn Engine) {
    let unfit = [
        String::new(),
        HASH.to_uppercase(),
        format!("{HASH}\n"),
        format!(" {HASH}"),
        HASH[..62].to_owned(),
        format!("{HASH}00"),
        "g".repeat(64),
    ];
    for (number, hash) in std::iter::once(HASH.to_owned()).chain(unfit).enumerate() {
        let key_id = format!("ki_{number}");
        engine.plant(&Planted {
            integration: "acme",
            key_id: &key_id,
            hash: &hash,
            status: "active",
            tier: 1,
        });
        let expected = if number == 0 { SecretHash::from_hex(HASH) } else { None };
        assert_eq!(found(engine, "acme", &key_id).await.secret_hash, expected, "{hash:?}");
    }
}

pub async fn every_tier_of_64_bits_is_kept(engine: &dyn Engine) {
    let store = engine.store();
    store.create_integration(&new_integration("acme"), &new_key("acme", "ki_first")).await.unwrap();
    let tiers = [i64::MIN, -1, 0, (1 << 53) + 1, i64::MAX];
    for (number, tier) in tiers.into_iter().enumerate() {
        let mut key = new_key("acme", &format!("ki_{number}"));
        key.tier = tier;
        store.create_integration_key(&key).await.unwrap();
        assert_eq!(found(engine, "acme", key.key_id.as_str()).await.tier, tier);
    }
}

pub async fn of_several_holders_of_one_key_the_first_name_answers(engine: &dyn Engine) {
    let store = engine.store();
    for name in ["dup-b", "dup-a", "dup-C", "dup-ä"] {
        store.create_organization(&new_organization(name)).await.unwrap();
        store.create_organization_key(&new_organization_key(name, "shared")).await.unwrap();
    }
    assert_eq!(holder(engine, "shared").await, Some("dup-C".to_owned()));
}

pub async fn names_are_taken_byte_for_byte(engine: &dyn Engine) {
    let store = engine.store();
    let names = [
        "acme",
        "ACME",
        "caf\u{e9}",
        "cafe\u{301}",
        "ключ",
        "🔑",
        " a ",
        "a",
        "a\nb",
        "a/b%2Fc?d#e",
    ];
    for (tier, name) in (0..).zip(names) {
        let key_name = format!("ki_{name}");
        let mut key = new_key(name, &key_name);
        key.tier = tier;
        store.create_integration(&new_integration(name), &key).await.unwrap();
        store.create_organization(&new_organization(name)).await.unwrap();
        store.create_organization_key(&new_organization_key(name, &key_name)).await.unwrap();
    }
    for (tier, name) in (0..).zip(names) {
        let key_name = format!("ki_{name}");
        assert_eq!(found(engine, name, &key_name).await.tier, tier, "{name:?}");
        assert_eq!(holder(engine, &key_name).await.as_deref(), Some(name));
    }
    assert_eq!(find(engine, "Acme", "ki_acme").await, Answer::Absent);
    assert_eq!(holder(engine, "KI_acme").await, None);
}

pub async fn the_longest_names_are_held(engine: &dyn Engine) {
    let store = engine.store();
    let (integration, key) = ("ü".repeat(32), format!("ki_{}", "k".repeat(61)));
    let (organization, organization_key) = ("o".repeat(1500), "L".repeat(1500));
    store
        .create_integration(&new_integration(&integration), &new_key(&integration, &key))
        .await
        .unwrap();
    store.create_organization(&new_organization(&organization)).await.unwrap();
    store
        .create_organization_key(&new_organization_key(&organization, &organization_key))
        .await
        .unwrap();
    assert_eq!(found(engine, &integration, &key).await.tier, 7);
    assert_eq!(holder(engine, &organization_key).await, Some(organization));
}

pub async fn an_integration_is_created_once(engine: &dyn Engine) {
    let (first, second) = (new_key("acme", "ki_same"), new_key("acme", "ki_same"));
    engine.store().create_integration(&new_integration("acme"), &first).await.unwrap();
    let store = engine.store();
    for key in [&second, &first] {
        assert!(matches!(
            store.create_integration(&new_integration("acme"), key).await,
            Err(WriteError::Exists(RecordName::Integration(id))) if id == "acme"
        ));
    }
    assert_eq!(found(engine, "acme", "ki_same").await.secret_hash, Some(first.secret_hash));
}

pub async fn a_refused_integration_leaves_no_key_behind(engine: &dyn Engine) {
    let store = engine.store();
    store.create_integration(&new_integration("acme"), &new_key("acme", "ki_first")).await.unwrap();
    let refused =
        store.create_integration(&new_integration("acme"), &new_key("acme", "ki_second")).await;
    assert!(matches!(refused, Err(WriteError::Exists(RecordName::Integration(_)))));
    assert_eq!(find(engine, "acme", "ki_second").await, Answer::Absent);
}

pub async fn an_integration_key_is_created_once(engine: &dyn Engine) {
    let store = engine.store();
    let first = new_key("acme", "ki_first");
    store.create_integration(&new_integration("acme"), &first).await.unwrap();
    for key in [&new_key("acme", "ki_first"), &first] {
        assert!(matches!(
            store.create_integration_key(key).await,
            Err(WriteError::Exists(RecordName::IntegrationKey(id, key)))
                if id == "acme" && key == "ki_first"
        ));
    }
    assert_eq!(found(engine, "acme", "ki_first").await.secret_hash, Some(first.secret_hash));
}

pub async fn an_organization_is_created_once(engine: &dyn Engine) {
    let store = engine.store();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(
            store.create_organization(&new_organization("mlab")).await,
            Err(WriteError::Exists(RecordName::Organization(name))) if name == "mlab"
        ));
    }
}

pub async fn an_organization_key_is_created_once(engine: &dyn Engine) {
    let store = engine.store();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_organization_key(&new_organization_key("mlab", "the-key")).await.unwrap();
    let refused =
        store.create_organization_key(&new_organization_key("mlab", "the-key")).await.unwrap_err();
    assert!(
        matches!(&refused, WriteError::Exists(RecordName::OrganizationKey(name, _)) if name == "mlab")
    );
    assert!(!format!("{refused} {refused:?}").contains("the-key"));
}

pub async fn keys_for_nobody_are_refused(engine: &dyn Engine) {
    let store = engine.store();
    assert!(matches!(
        store.create_integration_key(&new_key("ghost", "ki_first")).await,
        Err(WriteError::NoSuchIntegration(id)) if id.as_str() == "ghost"
    ));
    assert!(matches!(
        store.create_organization_key(&new_organization_key("ghost", "the-key")).await,
        Err(WriteError::NoSuchOrganization(name)) if name.as_str() == "ghost"
    ));
    assert_eq!(find(engine, "ghost", "ki_first").await, Answer::Absent);
    assert_eq!(holder(engine, "the-key").await, None);
}

pub async fn of_rival_integrations_one_stands_whole(engine: &dyn Engine) {
    let stores = rivals(engine);
    for round in 0..ROUNDS {
        let name = format!("round-{round}");
        let mut writers = JoinSet::new();
        for (number, store) in stores.iter().cloned().enumerate() {
            let key = new_key(&name, &format!("ki_{number}"));
            let integration = new_integration(&name);
            writers.spawn(async move { (store.create_integration(&integration, &key).await, key) });
        }
        let mut winners = Vec::new();
        let mut losers = Vec::new();
        for (outcome, key) in writers.join_all().await {
            match outcome {
                Ok(()) => winners.push(key),
                Err(WriteError::Exists(RecordName::Integration(_))) => losers.push(key),
                Err(other) => panic!("{other}"),
            }
        }
        let [winner] = &winners[..] else { panic!("{} winners", winners.len()) };
        let stands = found(engine, &name, winner.key_id.as_str()).await;
        assert_eq!(stands.secret_hash, Some(winner.secret_hash));
        for loser in losers {
            assert_eq!(find(engine, &name, loser.key_id.as_str()).await, Answer::Absent);
        }
    }
}

pub async fn of_rival_integration_keys_one_stands(engine: &dyn Engine) {
    let stores = rivals(engine);
    stores[0]
        .create_integration(&new_integration("acme"), &new_key("acme", "ki_first"))
        .await
        .unwrap();
    for round in 0..ROUNDS {
        let id = format!("ki_round-{round}");
        let mut writers = JoinSet::new();
        for store in &stores {
            let (store, key) = (Arc::clone(store), new_key("acme", &id));
            writers
                .spawn(async move { (store.create_integration_key(&key).await, key.secret_hash) });
        }
        let mut winners = Vec::new();
        for (outcome, hash) in writers.join_all().await {
            match outcome {
                Ok(()) => winners.push(Some(hash)),
                Err(WriteError::Exists(RecordName::IntegrationKey(..))) => {}
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(winners, [found(engine, "acme", &id).await.secret_hash]);
    }
}

pub async fn of_rival_organizations_one_stands(engine: &dyn Engine) {
    let stores = rivals(engine);
    for round in 0..ROUNDS {
        let mut writers = JoinSet::new();
        for (number, store) in stores.iter().cloned().enumerate() {
            let organization = NewOrganization {
                email: format!("{number}@example.org"),
                ..new_organization(&format!("round-{round}"))
            };
            writers.spawn(async move { store.create_organization(&organization).await });
        }
        let outcomes = writers.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
        assert!(outcomes.iter().all(|outcome| matches!(
            outcome,
            Ok(()) | Err(WriteError::Exists(RecordName::Organization(_)))
        )));
    }
}

pub async fn a_caller_that_leaves_wedges_nothing(engine: &dyn Engine) {
    let store = engine.store();
    store.create_integration(&new_integration("acme"), &new_key("acme", "ki_first")).await.unwrap();
    let (acme, first) = (integration_id("acme"), key_id("ki_first"));
    let nobody = organization_key("nobody");
    let mut left = 0;
    for number in 0..200 {
        // Some leave in the middle, most as soon as they have asked.
        let patience = Duration::from_micros(if number % 4 == 0 { number * 10 } else { 0 });
        left += usize::from(leaves(patience, store.look_up(&acme, &first)).await);
        leaves(patience, store.find(&nobody)).await;
        let key = new_key("acme", &format!("ki_{number}"));
        leaves(patience, store.create_integration_key(&key)).await;
    }
    assert!(left > 0, "nobody left");
    assert!(matches!(store.look_up(&acme, &first).await, Ok(Answer::Found(_))));
    store.create_integration_key(&new_key("acme", "ki_last")).await.unwrap();
}

/// Whether a caller left before it got an answer.
async fn leaves<T>(patience: Duration, question: impl Future<Output = T>) -> bool {
    tokio::select! {
        biased;
        _ = question => false,
        // A timer would give the store a millisecond.
        () = std::future::ready(()), if patience.is_zero() => true,
        _ = timeout(patience, std::future::pending::<()>()), if !patience.is_zero() => true,
    }
}

fn rivals(engine: &dyn Engine) -> Vec<Arc<dyn KeyAdmin>> {
    (0..RIVALS).map(|_| engine.store()).collect()
}

async fn find(engine: &dyn Engine, integration: &str, key: &str) -> Answer<IntegrationKey> {
    engine.store().look_up(&integration_id(integration), &key_id(key)).await.unwrap()
}

async fn found(engine: &dyn Engine, integration: &str, key: &str) -> IntegrationKey {
    match find(engine, integration, key).await {
        Answer::Found(key) => key,
        other => panic!("{integration:?} {key:?}: {other:?}"),
    }
}

async fn holder(engine: &dyn Engine, key: &str) -> Option<String> {
    let answer: Result<_, Unavailable> = engine.store().find(&organization_key(key)).await;
    match answer.unwrap() {
        Answer::Found(OrganizationKey { holder: Holder::Organization(name), .. }) => {
            Some(name.to_string())
        }
        Answer::Absent => None,
        other => panic!("{other:?}"),
    }
}
