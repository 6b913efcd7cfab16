//! The doctor has time and memory for a large store.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::scene::Scene;
use crate::support::eventually::poll;
use crate::support::skip::announce;

/// Half of them keys of integrations, half of organizations, each with facts.
const KEYS: u32 = 100_000;
/// `DOCTOR_KEYS=10000` in the environment measures what is promised: loading that many takes the
/// emulators longer than all other tests together.
const KEYS_ON_AN_EMULATOR: u32 = 1_000;
const WITHIN: Duration = Duration::from_mins(1);
const WITHIN_KIB: u64 = 64 * 1024;

#[test]
fn keys_on_firestore_are_examined_within_a_minute_and_64_mib() {
    keys_on_an_emulator(Scene::on_firestore());
}

#[test]
fn keys_on_datastore_are_examined_within_a_minute_and_64_mib() {
    keys_on_an_emulator(Scene::on_datastore());
}

fn keys_on_an_emulator(scene: Option<Scene>) {
    let Some(scene) = scene else { return };
    let datastore = scene.datastore.as_ref().unwrap();
    let told = std::env::var("DOCTOR_KEYS").ok().and_then(|keys| keys.parse().ok());
    let keys: u32 = told.unwrap_or(KEYS_ON_AN_EMULATOR);
    for batch in (0..keys / 2).collect::<Vec<u32>>().chunks(250) {
        let entities: Vec<Value> = batch.iter().flat_map(|number| keys_of_both(*number)).collect();
        datastore.emulator.load(&datastore.project, &entities);
    }
    let environment = [
        ("DATASTORE_EMULATOR_HOST", datastore.emulator.host()),
        ("PROJECT_ID", &datastore.project),
    ];
    let said = examined(&environment);
    let records = keys / 2 * 3 + 51;
    assert_eq!(said, format!("Examined {records} records: nothing found.\n"));
}

#[test]
fn a_hundred_thousand_keys_on_sqlite_are_examined_within_a_minute_and_64_mib() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["doctor"]);
    let path = scene.folder.path().join("keys.db");
    fill(&Connection::open(&path).unwrap());

    let store = format!("sqlite:{}", path.display());
    let said = examined(&[("KEY_STORE", &store)]);
    assert_eq!(said, "Examined 201001 records: nothing found.\n");
}

/// What the doctor says, within its time and its memory.
fn examined(environment: &[(&str, &str)]) -> String {
    let started = Instant::now();
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_token-exchange"))
        .arg("doctor")
        .env_clear()
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", doctor.id());
    let mut peak = 0;
    let ended = poll(WITHIN, || {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim_end_matches("kB").trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        doctor.try_wait().unwrap()
    });
    let took = started.elapsed();
    let _ = doctor.kill();
    let said = String::from_utf8(doctor.wait_with_output().unwrap().stdout).unwrap();

    announce(&format!("doctor took {took:.1?} and {peak} KiB"));
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{took:?}: {said}");
    assert!((1..=WITHIN_KIB).contains(&peak), "{peak} KiB");
    said
}

/// 1,000 integrations and one organization, with keys that nothing is wrong with.
fn fill(file: &Connection) {
    file.execute_batch(&format!(
        "BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
         INSERT INTO integrations SELECT 'integration-' || i, 'made to be many', 0 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {half} - 1)
         INSERT INTO integration_keys
         SELECT 'integration-' || (i % 1000), 'ki_' || i, lower(hex(randomblob(32))), 'active', 1,
                'a description as long as descriptions are', 0
         FROM n;
         INSERT INTO integration_key_facts (integration_id, key_id, secret_hash, created_by)
         SELECT integration_id, key_id, secret_hash, 'somebody' FROM integration_keys;
         INSERT INTO organizations VALUES ('mlab', '', 1.0, 0);
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {half} - 1)
         INSERT INTO organization_keys SELECT randomblob(32), 'mlab', 0 FROM n;
         INSERT INTO organization_key_facts (key_hash, created_by)
         SELECT key_hash, 'somebody' FROM organization_keys;
         COMMIT;",
        half = KEYS / 2
    ))
    .unwrap();
}

/// A key of an integration and one of an organization; every hundredth integration comes with its
/// record, and organization likewise.
fn keys_of_both(number: u32) -> Vec<Value> {
    let (group, hash) = (number % 50, format!("{number:064x}"));
    let entity = |namespace: &str, path: Value, properties: Value| {
        let partition = json!({ "projectId": "", "namespaceId": namespace });
        json!({ "key": { "partitionId": partition, "path": path }, "properties": properties })
    };
    let integration = json!({ "kind": "IntegrationMeta", "name": format!("integration-{group}") });
    let organization = json!({ "kind": "Organization", "name": "mlab" });
    let created_at = json!({ "timestampValue": "2026-11-22T06:00:00Z" });
    let text = |text: &str| json!({ "stringValue": text });
    let mut entities = vec![
        entity(
            "client-integration",
            json!([integration, { "kind": "IntegrationAPIKey", "name": format!("ki_{number}") }]),
            json!({
                "key_hash": text(&hash),
                "created_at": created_at,
                "description": text("a description as long as descriptions are"),
                "status": text("active"),
                "tier": { "integerValue": "1" },
            }),
        ),
        entity(
            "client-integration",
            json!([integration, { "kind": "IntegrationKeyFacts", "name": format!("ki_{number}") }]),
            json!({ "key_hash": text(&hash), "created_by": text("somebody") }),
        ),
        entity(
            "platform-credentials",
            json!([organization, { "kind": "APIKey", "name": format!("key-{number}") }]),
            json!({ "key": text(&format!("key-{number}")), "created_at": created_at }),
        ),
    ];
    if number < 50 {
        let properties = json!({ "created_at": created_at, "description": text("") });
        entities.push(entity("client-integration", json!([integration]), properties));
    }
    if number == 0 {
        let properties = json!({
            "name": text("mlab"),
            "email": text(""),
            "created_at": created_at,
            "probability_multiplier": { "doubleValue": 1.0 },
        });
        entities.push(entity("platform-credentials", json!([organization]), properties));
    }
    entities
}
