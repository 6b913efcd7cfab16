//! What happens at a terminal, where a person is asked and takes their time.

use jiff::Timestamp;
use serde_json::Value;

use super::scene::Scene;
use crate::support::service::Finished;

/// Runs a command that asks, answers it, and says when the answer was given.
fn answered(scene: &Scene, words: &[&str], answer: &str) -> (Timestamp, Finished) {
    let mut person = scene.operator.at_a_terminal(words);
    person.reads("Go on? [y/N] ");
    let now = Timestamp::now();
    person.types(answer);
    let finished = person.sees_it_end();
    // The stores keep microseconds.
    (Timestamp::from_microsecond(now.as_microsecond()).unwrap(), finished)
}

fn time(object: &Value, name: &str) -> Timestamp {
    object[name].as_str().unwrap_or_else(|| panic!("{name}: {object}")).parse().unwrap()
}

fn key(scene: &Scene, id: &str) -> Value {
    let name = format!("--key-id={id}");
    scene.json(&["integration-key", "show", "--integration-id=acme", &name])
}

#[test]
fn what_was_confirmed_is_dated_from_when_it_was_done() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    for id in ["--key-id=ki_a", "--key-id=ki_c", "--key-id=ki_d"] {
        scene.done(&["integration-key", "create", "--integration-id=acme", id]);
    }
    for words in [
        &["integration-key", "roll", "--key-id=ki_a"][..],
        &["integration-key", "revoke", "--key-id=ki_c", "--reason=lost"],
    ] {
        let words = [words, &["--integration-id=acme", "--output=json"]].concat();
        let (then, finished) = answered(&scene, &words, "y");
        assert!(finished.status.success(), "{words:?}: {}", finished.stderr);
        let (_, id) = words[2].split_once('=').unwrap();
        assert!(time(&key(&scene, id), "changed_at") >= then, "{words:?}");
        let shown: Value = serde_json::from_str(&finished.stdout).unwrap();
        if words[1] == "revoke" {
            assert!(time(&shown, "revoked_at") >= then, "{shown}");
            assert!(time(&shown, "effective_at") >= then, "{shown}");
            assert!(time(&key(&scene, id), "revoked_at") >= then);
        }
        if words[1] == "roll" {
            assert!(time(&shown, "created_at") >= then, "{shown}");
        }
    }

    let manifest = scene.folder.path().join("none.yaml");
    std::fs::write(&manifest, "version: 1\n").unwrap();
    let apply = ["apply", manifest.to_str().unwrap(), "--prune"];
    let (then, finished) = answered(&scene, &apply, "yes");
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(time(&key(&scene, "ki_d"), "revoked_at") >= then);
}

#[test]
fn an_organizations_receipt_counts_from_the_answer_too() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["organization", "create", "--organization=mlab"]);
    scene.done(&["organization-key", "create", "--organization=mlab"]);
    let key = || scene.json(&["organization-key", "list"])[0].clone();
    let name = format!("--fingerprint={}", key()["fingerprint"].as_str().unwrap());
    let on_key = ["--organization=mlab", &name, "--output=json"];

    let words = [&["organization-key", "roll"][..], &on_key].concat();
    let (then, finished) = answered(&scene, &words, "y");
    let shown: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(time(&shown, "created_at") >= then, "{shown}");

    let words = [&["organization-key", "revoke", "--reason=gone"][..], &on_key].concat();
    let (then, finished) = answered(&scene, &words, "y");
    let shown: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(time(&shown, "revoked_at") >= then, "{shown}");
    assert!(time(&shown, "effective_at") >= then, "{shown}");
}

#[test]
fn any_answer_but_yes_changes_nothing() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    scene.done(&["integration-key", "create", "--integration-id=acme", "--key-id=ki_a"]);
    let before = key(&scene, "ki_a");
    let words =
        ["integration-key", "revoke", "--integration-id=acme", "--key-id=ki_a", "--reason=x"];
    for answer in ["", "n", "no", "yess", "YES please", "\u{4}"] {
        let (_, finished) = answered(&scene, &words, answer);
        assert_eq!(finished.status.code(), Some(1), "{answer:?}: {}", finished.stderr);
        assert!(finished.stderr.contains("error: nothing was changed"), "{}", finished.stderr);
        assert_eq!(finished.stdout, "", "{answer:?}");
        assert_eq!(key(&scene, "ki_a"), before, "{answer:?}");
    }
}
