//! The entities of the recording, and what the Go service said of the keys that belong to them.

use secrecy::SecretString;
use serde_json::Value;
use token_exchange::api_key::{IntegrationApiKey, OrganizationApiKey};
use token_exchange::key_store::{Answer, Holder, KeyStatus};

use super::engine::{Datastore, Engine as _};
use crate::support::ask::Ask as _;
use crate::support::golden;

pub async fn every_recorded_entity_is_answered_as_recorded(engine: &Datastore) {
    let entities: Value = serde_json::from_str(&golden::text("entities.json")).unwrap();
    let rows = entities["stores"]["standard"].as_array().unwrap();
    engine.emulator.load(&engine.project, rows.iter().map(|row| &row["entity"]));

    let cases: Value = serde_json::from_str(&golden::text("http.json")).unwrap();
    let cases = cases.as_array().or_else(|| cases["cases"].as_array()).unwrap();
    let mut compared = 0;
    for case in cases {
        let name = case["name"].as_str().unwrap();
        if !name.starts_with("entity: ") {
            continue;
        }
        let (status, claims) = answered(engine, case).await;
        let recorded = case["response"]["status"].as_u64().unwrap();
        // A deliberate difference is held to what is expected instead.
        let held_to = &case["expect"];
        let is_right = match (held_to["status"].as_u64(), held_to["status_any"].as_array()) {
            (Some(expected), _) => status == expected,
            (None, Some(any)) => any.iter().any(|expected| expected.as_u64() == Some(status)),
            (None, None) => status == recorded,
        };
        assert!(is_right, "{name}: {status} and not {recorded}");
        if status == 200 {
            let fixed = &case["token"]["claims"]["fixed"];
            for (claim, value) in claims {
                assert_eq!(fixed[claim], value, "{name}: {claim}");
            }
        }
        compared += 1;
    }
    assert!(compared > 80, "only {compared} cases were found");
}

/// What the service would say, as far as the store decides it.
async fn answered(engine: &Datastore, case: &Value) -> (u64, Vec<(&'static str, Value)>) {
    let body: Value = serde_json::from_str(case["request"]["body_utf8"].as_str().unwrap()).unwrap();
    let presented = SecretString::from(body["api_key"].as_str().unwrap());
    let store = engine.store();
    if case["request"]["target"] == "/v0/token/autojoin" {
        let Ok(key) = OrganizationApiKey::parse(presented) else { return (401, vec![]) };
        match store.find(&key).await.unwrap() {
            Answer::Found(found) => match found.holder {
                Holder::Organization(name) => (200, vec![("org", (*name).into())]),
                Holder::Numbered => (500, vec![]),
            },
            Answer::Absent | Answer::Gone(_) | Answer::Unusable(_) => (401, vec![]),
        }
    } else {
        let Ok(key) = IntegrationApiKey::parse(&presented) else { return (401, vec![]) };
        match store.look_up(key.integration_id(), key.key_id()).await.unwrap() {
            Answer::Found(found)
                if found.status == KeyStatus::Active
                    && found.secret_hash == Some(key.secret_hash()) =>
            {
                let claims = vec![
                    ("int_id", key.integration_id().as_str().into()),
                    ("key_id", key.key_id().as_str().into()),
                    ("tier", found.tier.into()),
                ];
                (200, claims)
            }
            _ => (401, vec![]),
        }
    }
}
