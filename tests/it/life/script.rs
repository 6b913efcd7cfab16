//! The whole life of keys, command by command: after each, the Go program still reads everything
//! and agrees with the service.

use super::scene::{Accepted, Scene, integration_key, organization_key};

#[test]
fn a_whole_life_on_sqlite() {
    live(Scene::on_sqlite());
}

#[test]
fn a_whole_life_on_firestore() {
    live(Scene::on_firestore());
}

#[test]
fn a_whole_life_on_datastore() {
    live(Scene::on_datastore());
}

fn live(scene: Option<Scene>) {
    let Some(scene) = scene else { return };
    an_integration_lives(&scene);
    an_organization_lives(&scene);
    what_is_over_ends_elsewhere_too(&scene);
    a_manifest_creates_changes_and_revokes(&scene);
}

fn an_integration_lives(scene: &Scene) {
    scene.done(&["integration", "create", "--integration-id=acme", "--description=Acme Corp"]);
    scene.agrees(&[]);

    let create = ["integration-key", "create", "--integration-id=acme", "--tier=7"];
    let made = scene.json(&[&create[..], &["--expires=90d", "--note=laptop"]].concat());
    let first = integration_key(made["api_key"].as_str().unwrap());
    let first_id = made["key_id"].as_str().unwrap();
    scene.agrees(&[(&first, Accepted::Everywhere)]);

    let waiting = scene.json(&[&create[..], &["--not-before=2h"]].concat());
    let waiting = integration_key(waiting["api_key"].as_str().unwrap());
    scene.agrees(&[(&waiting, Accepted::OnlyByGo)]);

    // The recipient has no store and no credentials, and the operator never sees the secret.
    let generated = scene.done(&["integration-key", "generate", "--integration-id=acme"]).stdout;
    let [own, line] = generated.lines().collect::<Vec<_>>()[..] else { panic!("{generated}") };
    let own = integration_key(own);
    scene.agrees(&[(&own, Accepted::Nowhere)]);
    let imported = scene.json(&["integration-key", "import", line, "--tier=3"]);
    assert_eq!(imported["api_key"], serde_json::Value::Null);
    scene.agrees(&[(&own, Accepted::Everywhere)]);

    let name = ["--integration-id=acme", &format!("--key-id={first_id}")];
    let rolled = scene.json(&[&["integration-key", "roll", "--yes"], &name[..]].concat());
    let second = integration_key(rolled["api_key"].as_str().unwrap());
    let second_id = rolled["key_id"].as_str().unwrap();
    assert_eq!(rolled["tier"], 7);
    scene.agrees(&[(&first, Accepted::Everywhere), (&second, Accepted::Everywhere)]);
    let shown = scene.json(&[&["integration-key", "show"], &name[..]].concat());
    assert_eq!((&shown["replaced_by"], &shown["note"]), (&second_id.into(), &"laptop".into()));

    let expire = ["integration-key", "expire", "--at=1s", "--yes"];
    scene.done(&[&expire[..], &name[..]].concat());
    scene.wait_until_refused(&first);
    scene.agrees(&[(&first, Accepted::OnlyByGo), (&second, Accepted::Everywhere)]);

    let name = ["--integration-id=acme", &format!("--key-id={second_id}")];
    let revoke = ["integration-key", "revoke", "--reason=lost laptop", "--yes"];
    let receipt = scene.json(&[&revoke[..], &name[..]].concat());
    assert_eq!(receipt["terms_in_seconds"]["lifetime of a token"], 20);
    scene.agrees(&[(&second, Accepted::Nowhere)]);
    let again = scene.json(&[&revoke[..], &name[..]].concat());
    assert_eq!(again["revoked_at"], receipt["revoked_at"]);
    let log = scene.log();
    assert!(log.contains("expired") && log.contains("revoked"), "{log}");
    assert!(log.contains("not yet valid"), "{log}");

    let now = scene.json(&[
        "integration-key",
        "roll",
        "--now",
        "--yes",
        "--integration-id=acme",
        &format!("--key-id={}", Scene::key_id(&own.api_key)),
    ]);
    let heir = integration_key(now["api_key"].as_str().unwrap());
    scene.agrees(&[(&own, Accepted::Nowhere), (&heir, Accepted::Everywhere)]);
}

fn an_organization_lives(scene: &Scene) {
    scene.done(&["organization", "create", "--organization=mlab", "--email=ops@example.org"]);
    let create = ["organization-key", "create", "--organization=mlab"];
    let made = scene.json(&[&create[..], &["--expires=90d"]].concat());
    let first = organization_key(made["api_key"].as_str().unwrap());
    let fingerprint = made["fingerprint"].as_str().unwrap();
    scene.agrees(&[(&first, Accepted::Everywhere)]);

    // As `list` prints it in a table.
    let name = ["--organization=mlab", &format!("--fingerprint={}", &fingerprint[..16])];
    let roll = ["organization-key", "roll", "--overlap=2d", "--yes"];
    let rolled = scene.json(&[&roll[..], &name[..]].concat());
    let second = organization_key(rolled["api_key"].as_str().unwrap());
    scene.agrees(&[(&first, Accepted::Everywhere), (&second, Accepted::Everywhere)]);

    let expire = ["organization-key", "expire", "--at=1s", "--yes"];
    scene.done(&[&expire[..], &name[..]].concat());
    scene.wait_until_refused(&first);
    scene.agrees(&[(&first, Accepted::OnlyByGo), (&second, Accepted::Everywhere)]);

    let fingerprint = rolled["fingerprint"].as_str().unwrap();
    let name = ["--organization=mlab", &format!("--fingerprint={}", &fingerprint[..8])];
    let revoke = ["organization-key", "revoke", "--reason=left", "--yes"];
    let receipt = scene.json(&[&revoke[..], &name[..]].concat());
    assert_eq!(receipt["terms_in_seconds"]["lifetime of a token"], 3600);
    scene.agrees(&[(&second, Accepted::Nowhere)]);
    let again = scene.json(&[&revoke[..], &name[..]].concat());
    assert_eq!(again["revoked_at"], receipt["revoked_at"]);
    let listed = scene.json(&["organization-key", "list", "--organization=mlab"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["state"], "expired");
}

fn what_is_over_ends_elsewhere_too(scene: &Scene) {
    let found = scene.operator.run(&["doctor", "--output=json"]);
    assert_eq!(found.status.code(), Some(3), "{}", found.stdout);
    let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let codes: Vec<_> =
        found["findings"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert_eq!(codes, ["alive-elsewhere", "alive-elsewhere"], "{found}");

    scene.done(&["doctor", "--fix", "--yes"]);
    scene.done(&["doctor"]);
    scene.agrees(&[]);
    let organization = scene.json(&["organization", "show", "--organization=mlab"]);
    assert_eq!(organization["keys"].as_array().map(Vec::len), Some(0), "{organization}");
    let keys = scene.json(&["integration-key", "list", "--integration-id=acme"]);
    let with = |state| {
        let keys = keys.as_array().unwrap();
        keys.iter().filter(|key| key["state"] == state).collect::<Vec<_>>()
    };
    assert!(with("expired").is_empty(), "{keys}");
    assert_eq!(with("revoked").len(), 3, "{keys}");
    assert!(with("revoked").iter().all(|key| key["status"] == "revoked"), "{keys}");
}

fn a_manifest_creates_changes_and_revokes(scene: &Scene) {
    let generated = scene.done(&["integration-key", "generate", "--integration-id=zeta"]).stdout;
    let [plain, line] = generated.lines().collect::<Vec<_>>()[..] else { panic!("{generated}") };
    let key = integration_key(plain);
    let (_, hash) = line.rsplit_once('.').unwrap();
    let file = scene.folder.path().join("manifest.yaml");
    let write = |tier: i64, more: &str| {
        let id = Scene::key_id(plain);
        let text = format!(
            "version: 1\nintegrations:\n- id: zeta\n  keys:\n  - id: {id}\n    secret_hash: \
             {hash}\n    tier: {tier}\n{more}organizations:\n- name: zoo\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    let apply = ["apply", file.to_str().unwrap(), "--yes"];

    write(1, "");
    scene.done(&apply);
    scene.agrees(&[(&key, Accepted::Everywhere)]);
    write(2, "    expires_at: 2999-01-01T00:00:00Z\n");
    scene.done(&apply);
    scene.agrees(&[(&key, Accepted::Everywhere)]);
    let name = ["--integration-id=zeta", &format!("--key-id={}", Scene::key_id(plain))];
    let shown = scene.json(&[&["integration-key", "show"], &name[..]].concat());
    assert_eq!((&shown["tier"], &shown["expires_at"]), (&2.into(), &"2999-01-01T00:00:00Z".into()));
    write(2, "    revoked: no longer needed\n");
    scene.done(&apply);
    scene.agrees(&[(&key, Accepted::Nowhere)]);
    let again = scene.done(&apply);
    assert_eq!(again.stdout, "The store is as the manifest says.\n");
}
