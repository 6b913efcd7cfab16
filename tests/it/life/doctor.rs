//! What the doctor finds where it was planted, and what it mends.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::scene::{Accepted, Key, Scene, integration_key, organization_key};
use crate::support::golden;
use crate::support::service::Finished;

/// What is odd in the recorded store, by code and record.
const ODD_IN_THE_RECORDING: &str = include_str!("doctor/recorded.txt");

#[test]
fn every_oddity_of_the_recording_is_found_on_firestore() {
    every_oddity_of_the_recording_is_found(Scene::on_firestore());
}

#[test]
fn every_oddity_of_the_recording_is_found_on_datastore() {
    every_oddity_of_the_recording_is_found(Scene::on_datastore());
}

fn every_oddity_of_the_recording_is_found(scene: Option<Scene>) {
    let Some(scene) = scene else { return };
    plant_the_recording(&scene);
    let mut found: Vec<String> = findings(&scene)
        .iter()
        .map(|one| format!("{} {}", text(one, "code"), text(one, "record").escape_default()))
        .collect();
    found.sort();
    assert_eq!(found.join("\n") + "\n", ODD_IN_THE_RECORDING);
}

#[test]
fn what_can_be_mended_is_mended_on_firestore() {
    what_can_be_mended_is_mended(Scene::on_firestore());
}

#[test]
fn what_can_be_mended_is_mended_on_datastore() {
    what_can_be_mended_is_mended(Scene::on_datastore());
}

fn what_can_be_mended_is_mended(scene: Option<Scene>) {
    let Some(scene) = scene else { return };
    plant_the_recording(&scene);
    let before = findings(&scene);
    let hidden = organization_key("aj-noindex");
    check(&scene, &hidden, Accepted::Nowhere);

    let shown = scene.operator.run(&["doctor", "--fix", "--dry-run"]);
    assert_eq!(shown.status.code(), Some(3), "{}", shown.stderr);
    assert!(shown.stderr.contains("This would\n  - "), "{}", shown.stderr);
    assert_eq!(findings(&scene), before);

    let mended = scene.operator.run(&["doctor", "--fix", "--yes"]);
    // What needs a person is still there.
    assert_eq!(mended.status.code(), Some(3), "{}", mended.stderr);
    let after = findings(&scene);
    let needs_a_person: Vec<_> = before.iter().filter(|one| one["fix"].is_null()).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), needs_a_person);
    check(&scene, &hidden, Accepted::Everywhere);

    let datastore = scene.datastore.as_ref().unwrap();
    let stored =
        datastore.emulator.entities(&datastore.project, "platform-credentials", "Organization");
    let mended = stored.iter().find(|entity| entity["key"]["path"][0]["name"] == "intmult");
    let multiplier = &mended.unwrap()["properties"]["probability_multiplier"];
    assert!(multiplier["doubleValue"].is_number(), "{multiplier}");
}

#[test]
fn what_is_over_here_is_ended_elsewhere_under_every_organization() {
    for scene in [Scene::on_firestore(), Scene::on_datastore()].into_iter().flatten() {
        let datastore = scene.datastore.as_ref().unwrap();
        scene.done(&["organization", "create", "--organization=mlab"]);
        scene.done(&["organization", "create", "--organization=zoo"]);
        let made = scene.json(&["organization-key", "create", "--organization=mlab"]);
        let key = organization_key(made["api_key"].as_str().unwrap());
        datastore.emulator.load(
            &datastore.project,
            [&json!({
                "key": {
                    "partitionId": { "projectId": "", "namespaceId": "platform-credentials" },
                    "path": [
                        { "kind": "Organization", "name": "zoo" },
                        { "kind": "APIKey", "name": key.api_key },
                    ],
                },
                "properties": {
                    "created_at": { "timestampValue": "2026-11-22T06:00:00Z" },
                    "key": { "stringValue": key.api_key },
                },
            })],
        );
        assert_eq!(codes(&scene), ["shared-key"]);
        let fingerprint = format!("--fingerprint={}", made["fingerprint"].as_str().unwrap());
        let expire = ["organization-key", "expire", "--at=1s", "--yes", "--organization=zoo"];
        scene.done(&[&expire[..], &[&fingerprint]].concat());
        scene.wait_until_refused(&key);
        check(&scene, &key, Accepted::OnlyByGo);
        assert_eq!(codes(&scene), ["alive-elsewhere", "alive-elsewhere"]);

        scene.done(&["doctor", "--fix", "--yes"]);

        check(&scene, &key, Accepted::Nowhere);
        assert_eq!(codes(&scene), Vec::<String>::new());
    }
}

#[test]
fn facts_that_cannot_be_read_are_found_and_the_service_gives_no_permission() {
    for scene in [Scene::on_firestore(), Scene::on_datastore()].into_iter().flatten() {
        let (key, key_id) = acme(&scene);
        let datastore = scene.datastore.as_ref().unwrap();
        datastore.emulator.load(
            &datastore.project,
            [&json!({
                "key": {
                    "partitionId": { "projectId": "", "namespaceId": "client-integration" },
                    "path": [
                        { "kind": "IntegrationMeta", "name": "acme" },
                        { "kind": "IntegrationKeyFacts", "name": key_id },
                    ],
                },
                "properties": { "expires_at": { "stringValue": "tomorrow" } },
            })],
        );
        assert_eq!(codes(&scene), ["unreadable-facts"]);
        assert_eq!(scene.status(&key), 503);
    }
}

#[test]
fn what_belongs_to_an_organization_and_is_odd_is_found() {
    for scene in [Scene::on_firestore(), Scene::on_datastore()].into_iter().flatten() {
        let datastore = scene.datastore.as_ref().unwrap();
        let plant = |path: Value, properties: Value| {
            let partition = json!({ "projectId": "", "namespaceId": "platform-credentials" });
            let entity = json!({ "key": { "partitionId": partition, "path": path }, "properties": properties });
            datastore.emulator.load(&datastore.project, [&entity]);
        };
        let created_at = json!({ "timestampValue": "2026-11-22T06:00:00Z" });
        let organization = json!({ "kind": "Organization", "name": "mlab" });
        plant(
            json!([organization]),
            json!({
                "name": { "stringValue": "" },
                "email": { "stringValue": "" },
                "created_at": created_at,
                "probability_multiplier": { "doubleValue": 0.5 },
            }),
        );
        plant(
            json!([organization, { "kind": "APIKey", "name": "a-key" }]),
            json!({ "key": { "stringValue": "" }, "created_at": created_at }),
        );
        plant(
            json!([{ "kind": "APIKeyFacts", "name": "0".repeat(64) }]),
            json!({ "note": { "stringValue": "of a key that was deleted in the console" } }),
        );
        plant(json!([{ "kind": "APIKeyFacts", "name": "no-hash" }]), json!({}));
        let odd = ["empty-key", "facts-without-record", "facts-without-record"];
        assert_eq!(codes(&scene), [&odd[..], &["organization-name"]].concat());

        let _ = scene.operator.run(&["doctor", "--fix", "--yes"]);

        assert_eq!(codes(&scene), odd);
        let shown = scene.json(&["organization", "show", "--organization=mlab"]);
        assert_eq!(shown["probability_multiplier"], 0.5);
        assert_eq!(shown["defects"], json!([]));
    }
}

#[test]
fn a_key_that_was_replaced_in_place_by_the_go_tool_is_named() {
    for scene in [Scene::on_firestore(), Scene::on_datastore()].into_iter().flatten() {
        let (_, key_id) = acme(&scene);
        let written = ["write-integration", "-integration-id=acme", "-key-id", &key_id];
        let replaced = scene.go(&written, "");
        let key = integration_key(replaced["api_key"].as_str().unwrap());
        check(&scene, &key, Accepted::Everywhere);
        assert_eq!(codes(&scene), ["facts-of-another-hash"]);
    }
}

#[test]
fn a_store_that_only_our_commands_wrote_is_clean_and_exit_code_0() {
    let scene = Scene::on_sqlite().unwrap();
    let (_, key_id) = acme(&scene);
    let name = ["--integration-id=acme", &format!("--key-id={key_id}")];
    // A successor is there, so nobody has to be told that the old one ends.
    scene.done(&[&["integration-key", "roll", "--yes"], &name[..]].concat());
    scene.done(&["organization", "create", "--organization=mlab"]);
    let made = scene.json(&["organization-key", "create", "--organization=mlab"]);
    let fingerprint = format!("--fingerprint={}", made["fingerprint"].as_str().unwrap());
    let revoke = ["organization-key", "revoke", "--organization=mlab", "--reason=x", "--yes"];
    scene.done(&[&revoke[..], &[&fingerprint]].concat());
    let clean = scene.done(&["doctor"]);
    assert_eq!(clean.stdout, "Examined 7 records: nothing found.\n");
}

#[test]
fn a_key_that_ends_within_14_days_is_named_and_one_that_ends_later_is_not() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    for expires in ["--expires=13d", "--expires=15d"] {
        scene.done(&["integration-key", "create", "--integration-id=acme", expires]);
    }
    assert_eq!(codes(&scene), ["expires-soon"]);
}

#[test]
fn the_test_keys_of_this_repository_are_named_in_a_real_store() {
    let scene = Scene::on_sqlite().unwrap();
    let plain = golden::stores().api_key("acme generated").to_owned();
    let [_, id, key_id, _] = plain.split('.').collect::<Vec<_>>()[..] else { panic!("{plain}") };
    scene.done(&["integration", "create", "--integration-id", id.trim_start_matches("cii_")]);
    let row = golden::stores().standard.into_iter().find(|row| row.label == "acme generated");
    let row = row.unwrap();
    let hash = row.entity["properties"]["key_hash"]["stringValue"].as_str().unwrap().to_owned();
    scene.done(&["integration-key", "import", &format!("mlabkh.{id}.{key_id}.{hash}")]);
    assert_eq!(codes(&scene), ["published-key"]);
}

#[test]
fn what_somebody_did_to_the_file_is_found_on_sqlite() {
    let scene = Scene::on_sqlite().unwrap();
    let (key, key_id) = acme(&scene);
    let name = ["--integration-id=acme", &format!("--key-id={key_id}")];
    let revoke = ["integration-key", "revoke", "--reason=lost", "--yes"];
    scene.done(&[&revoke[..], &name[..]].concat());
    let edit = |sql: &str| {
        let file = Connection::open(scene.folder.path().join("keys.db")).unwrap();
        file.pragma_update(None, "foreign_keys", false).unwrap();
        file.execute_batch(sql).unwrap();
    };

    edit("UPDATE integration_keys SET status = 'active'");
    assert_eq!(codes(&scene), ["alive-elsewhere"]);
    // Where facts and record disagree, the stricter wins.
    check(&scene, &key, Accepted::Nowhere);
    scene.done(&["doctor", "--fix", "--yes"]);
    edit("UPDATE integration_keys SET status = 'stopped'");
    assert_eq!(codes(&scene), ["unknown-status"]);
    edit("UPDATE integration_keys SET secret_hash = upper(secret_hash), status = 'active'");
    assert_eq!(codes(&scene), ["facts-of-another-hash", "malformed-hash"]);
    edit("DELETE FROM integration_keys");
    assert_eq!(codes(&scene), ["facts-without-record"]);

    let (key, _) = acme_again(&scene);
    edit("DELETE FROM integrations; DELETE FROM integration_key_facts");
    assert_eq!(codes(&scene), ["orphan"]);
    check(&scene, &key, Accepted::Everywhere);
    scene.done(&["doctor", "--fix", "--yes"]);
    assert_eq!(codes(&scene), Vec::<String>::new());
}

#[test]
fn what_the_remedy_was_applied_to_is_found_no_more() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    let keys = ["--key-id=ki_hash", "--key-id=ki_status"];
    for key in keys {
        scene.done(&["integration-key", "create", "--integration-id=acme", key]);
    }
    let file = Connection::open(scene.folder.path().join("keys.db")).unwrap();
    file.execute_batch(
        "UPDATE integration_keys SET secret_hash = 'ABC' WHERE key_id = 'ki_hash';
         UPDATE integration_keys SET status = 'disabled' WHERE key_id = 'ki_status'",
    )
    .unwrap();
    assert_eq!(codes(&scene), ["facts-of-another-hash", "malformed-hash", "unknown-status"]);
    for key in keys {
        let revoke = ["integration-key", "revoke", "--integration-id=acme", "--yes", "--reason=x"];
        scene.done(&[&revoke[..], &[key]].concat());
    }
    assert_eq!(codes(&scene), Vec::<String>::new());
}

fn plant_the_recording(scene: &Scene) {
    let datastore = scene.datastore.as_ref().unwrap();
    let rows = golden::stores().standard;
    datastore.emulator.load(&datastore.project, rows.iter().map(|row| &row.entity));
}

/// An integration with one key, and the key's id.
fn acme(scene: &Scene) -> (Key, String) {
    scene.done(&["integration", "create", "--integration-id=acme"]);
    acme_again(scene)
}

fn acme_again(scene: &Scene) -> (Key, String) {
    let made = scene.json(&["integration-key", "create", "--integration-id=acme"]);
    let api_key = made["api_key"].as_str().unwrap();
    (integration_key(api_key), Scene::key_id(api_key).to_owned())
}

/// Whether the service and the Go program accept a key; the store may hold what Go cannot load.
fn check(scene: &Scene, key: &Key, accepted: Accepted) {
    scene.verdicts(&[(key, accepted)]);
}

fn findings(scene: &Scene) -> Vec<Value> {
    let Finished { status, stdout, stderr } = scene.operator.run(&["doctor", "--output=json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let findings = report["findings"].as_array().unwrap().clone();
    let code = if findings.is_empty() { 0 } else { 3 };
    assert_eq!(status.code(), Some(code), "{stderr}");
    let is_whole =
        |one: &Value| text(one, "remedy").ends_with('.') && !text(one, "detail").is_empty();
    assert!(findings.iter().all(is_whole), "{findings:?}");
    findings
}

fn codes(scene: &Scene) -> Vec<String> {
    let mut codes: Vec<_> =
        findings(scene).iter().map(|one| text(one, "code").to_owned()).collect();
    codes.sort();
    codes
}

fn text<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().unwrap()
}
