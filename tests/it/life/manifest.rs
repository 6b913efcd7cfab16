//! The store as a file, and the file as the store.

use std::path::PathBuf;

use super::scene::{Accepted, Key, Scene, integration_key};
use crate::support::golden;
use crate::support::service::Finished;

const HASH: &str = "67b3c2ef810b2360ec2beb22b59e0a2681a1bd100ff9e1298a93e8bac8baa156";

#[test]
fn applying_what_was_exported_changes_nothing_on_sqlite() {
    applying_what_was_exported_changes_nothing(Scene::on_sqlite());
}

#[test]
fn applying_what_was_exported_changes_nothing_on_firestore() {
    applying_what_was_exported_changes_nothing(Scene::on_firestore());
}

#[test]
fn applying_what_was_exported_changes_nothing_on_datastore() {
    applying_what_was_exported_changes_nothing(Scene::on_datastore());
}

fn applying_what_was_exported_changes_nothing(scene: Option<Scene>) {
    let Some(scene) = scene else { return };
    populate(&scene);
    for format in ["yaml", "json"] {
        let exported = scene.done(&["export", &format!("--output={format}")]).stdout;
        let file = write(&scene, &exported);
        let applied = scene.done(&["apply", file.to_str().unwrap(), "--prune", "--dry-run"]);
        assert_eq!(applied.stdout, "The store is as the manifest says.\n");
        assert_eq!(scene.done(&["export", &format!("--output={format}")]).stdout, exported);
    }
}

#[test]
fn what_was_exported_from_one_store_makes_the_same_of_another() {
    let (one, other) = (Scene::on_sqlite().unwrap(), Scene::on_sqlite().unwrap());
    let mut others = vec![other];
    others.extend(Scene::on_firestore());
    others.extend(Scene::on_datastore());
    let alive = populate(&one);
    let exported = one.done(&["export"]).stdout;
    let without_the_dead = |exported: &str| {
        let lines: Vec<_> = exported.split("\n  - id:").map(str::to_owned).collect();
        lines.into_iter().filter(|key| !key.contains("revoked:")).collect::<String>()
    };
    for other in others {
        let file = write(&other, &exported);
        other.done(&["apply", file.to_str().unwrap(), "--yes"]);
        let keys = other.json(&["integration-key", "list"]);
        assert_eq!(keys.as_array().unwrap().len(), 2, "{keys}");
        other.agrees(&[(&alive, Accepted::Everywhere)]);
        let there = other.done(&["export"]).stdout;
        assert_eq!(without_the_dead(&there), without_the_dead(&exported));
        let again = other.done(&["apply", file.to_str().unwrap(), "--yes"]);
        assert_eq!(again.stdout, "The store is as the manifest says.\n");
    }
}

#[test]
fn the_recorded_store_is_exported_and_applied_without_a_change() {
    for scene in [Scene::on_firestore(), Scene::on_datastore()].into_iter().flatten() {
        let datastore = scene.datastore.as_ref().unwrap();
        let rows = golden::stores().standard;
        datastore.emulator.load(&datastore.project, rows.iter().map(|row| &row.entity));
        let Finished { stdout, stderr, .. } = scene.done(&["export"]);
        // What no manifest can hold is named.
        assert!(stderr.contains("left out: key ki_extra of integration acme"), "{stderr}");
        assert!(stderr.contains("records are not in the manifest"), "{stderr}");
        let file = write(&scene, &stdout);
        let applied = scene.done(&["apply", file.to_str().unwrap(), "--yes"]);
        assert_eq!(applied.stdout, "The store is as the manifest says.\n");
    }
}

#[test]
fn a_difference_is_shown_as_a_person_reads_it_and_is_exit_code_3() {
    let scene = Scene::on_sqlite().unwrap();
    populate(&scene);
    let before = scene.done(&["export"]).stdout;
    let file = write(
        &scene,
        &format!(
            "version: 1\nintegrations:\n- id: acme\n  description: Acme Ltd\n  keys:\n  - id: ki_new\n    \
             secret_hash: {HASH}\n    tier: 4\norganizations:\n- name: mlab\n  email: x@example.org\n"
        ),
    );
    let shown = scene.operator.run(&["apply", file.to_str().unwrap(), "--dry-run", "--prune"]);
    assert_eq!(shown.status.code(), Some(3), "{}", shown.stderr);
    let lines: Vec<_> = shown.stdout.lines().collect();
    assert_eq!(lines[0], "  ~ integration acme: description \"Acme Corp\" -> \"Acme Ltd\"");
    assert_eq!(lines[1], "  + key ki_new of integration acme (tier 4)");
    assert_eq!(lines[2], "  ~ organization mlab: email \"\" -> \"x@example.org\"");
    assert!(lines[3].starts_with("  - revoke key ki_"), "{}", lines[3]);
    assert_eq!(lines.last(), Some(&"5 steps; nothing was changed."));
    assert_eq!(scene.done(&["export"]).stdout, before);

    let asked = scene.operator.run(&["apply", file.to_str().unwrap()]);
    assert_eq!(asked.status.code(), Some(1));
    assert!(asked.stderr.contains("say --yes"), "{}", asked.stderr);
    for action in ["create key ki_new of integration acme", "change organization mlab"] {
        assert!(asked.stderr.contains(&format!("\n  - {action}")), "{}", asked.stderr);
    }
    assert_eq!(scene.done(&["export"]).stdout, before);
}

#[test]
fn pruning_revokes_and_never_deletes() {
    let scene = Scene::on_sqlite().unwrap();
    let alive = populate(&scene);
    let file = write(&scene, "version: 1\n");
    scene.done(&["apply", file.to_str().unwrap(), "--yes"]);
    scene.agrees(&[(&alive, Accepted::Everywhere)]);
    scene.done(&["apply", file.to_str().unwrap(), "--yes", "--prune"]);
    scene.agrees(&[(&alive, Accepted::Nowhere)]);
    let keys = scene.json(&["integration-key", "list"]);
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| key["state"] == "revoked"), "{keys:?}");
    assert_eq!(scene.json(&["integration", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(scene.json(&["organization-key", "list"])[0]["state"], "active");
}

#[test]
fn what_cannot_be_brought_about_is_refused_as_a_whole() {
    let scene = Scene::on_sqlite().unwrap();
    populate(&scene);
    let before = scene.done(&["export"]).stdout;
    let another_secret = before.replacen("secret_hash: ", &format!("secret_hash: {HASH} #"), 1);
    let unrevoked = before.replace("    revoked: lost\n", "");
    let past =
        before.replace("    tier: 5\n", "    tier: 5\n    expires_at: 2020-01-01T00:00:00Z\n");
    for (text, reason) in [
        (another_secret, "a key is never replaced in place, it is rolled"),
        (unrevoked, "it is revoked in the store, and stays so"),
        (past, "2020-01-01T00:00:00Z is past"),
    ] {
        // What could be done beside it is not done either.
        let file = write(&scene, &format!("{text}- name: another\n"));
        let refused = scene.operator.run(&["apply", file.to_str().unwrap(), "--yes"]);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
        let said = refused.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(reason), "{reason}: {said}");
        assert!(refused.stderr.contains("nothing was changed"), "{}", refused.stderr);
        assert_eq!(scene.done(&["export"]).stdout, before);
    }
}

#[test]
fn a_manifest_with_a_plain_secret_is_refused_and_not_repeated() {
    let scene = Scene::on_sqlite().unwrap();
    let generated = scene.done(&["integration-key", "generate", "--integration-id=acme"]).stdout;
    let plain = generated.lines().next().unwrap();
    let (_, secret) = plain.rsplit_once('.').unwrap();
    for text in [
        format!("version: 1\nintegrations:\n- id: acme\n  description: {plain}\n"),
        format!(
            "version: 1\nintegrations:\n- id: acme\n  keys:\n  - id: ki_x\n    secret: {secret}\n"
        ),
        format!(
            "version: 1\nintegrations:\n- id: acme\n  keys:\n  - id: ki_x\n    secret_hash: {secret}\n"
        ),
        format!("{{\"version\":1,\"organizations\":[{{\"name\":\"m\",\"key\":\"{secret}\"}}]}}"),
    ] {
        let file = write(&scene, &text);
        let refused = scene.operator.run(&["apply", file.to_str().unwrap(), "--yes"]);
        assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
        assert!(!refused.stderr.contains(secret), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    assert_eq!(scene.json(&["integration", "list"]).as_array().map(Vec::len), Some(0));
}

/// An integration with a key that lives, one that expires some day and one that is revoked; and an
/// organization with a key. The one that lives.
fn populate(scene: &Scene) -> Key {
    scene.done(&["integration", "create", "--integration-id=acme", "--description=Acme Corp"]);
    let create = ["integration-key", "create", "--integration-id=acme"];
    let alive = scene
        .json(&[&create[..], &["--key-id=ki_a", "--tier=5", "--description=a: \"b\" #c"]].concat());
    scene.done(
        &[&create[..], &["--key-id=ki_c", "--expires=90d", "--not-before=1h", "--note=two words"]]
            .concat(),
    );
    scene.done(&[&create[..], &["--key-id=ki_b"]].concat());
    let revoke = ["integration-key", "revoke", "--integration-id=acme", "--reason=lost", "--yes"];
    scene.done(&[&revoke[..], &["--key-id=ki_b"]].concat());
    scene.done(&["organization", "create", "--organization=mlab"]);
    scene.done(&["organization-key", "create", "--organization=mlab"]);
    integration_key(alive["api_key"].as_str().unwrap())
}

fn write(scene: &Scene, text: &str) -> PathBuf {
    let file = scene.folder.path().join("manifest");
    std::fs::write(&file, text).unwrap();
    file
}
