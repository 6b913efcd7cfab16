//! What operators see: words, widths, forms and exit codes; and what they never see.

use serde_json::Value;

use super::scene::Scene;
use crate::support::service::Launch;

/// Every command that looks and changes nothing.
const LOOKS: [&[&str]; 10] = [
    &["integration", "list"],
    &["integration", "show", "--integration-id=acme"],
    &["integration-key", "list"],
    &["integration-key", "list", "--integration-id=acme"],
    &["integration-key", "show", "--integration-id=acme"],
    &["organization", "list"],
    &["organization", "show", "--organization=mlab"],
    &["organization-key", "list"],
    &["doctor"],
    &["export"],
];

#[test]
fn nothing_secret_is_ever_listed_and_tables_fit_80_columns() {
    for scene in
        [Scene::on_sqlite(), Scene::on_firestore(), Scene::on_datastore()].into_iter().flatten()
    {
        let long = format!("--integration-id={}", "i".repeat(64));
        scene.done(&[
            "integration",
            "create",
            "--integration-id=acme",
            "--description",
            &"words ".repeat(60),
        ]);
        scene.done(&["integration", "create", &long]);
        let longest = format!("--key-id=ki_{}", "k".repeat(61));
        scene.done(&["integration-key", "create", &long, &longest]);
        let key =
            scene.json(&["integration-key", "create", "--integration-id=acme", "--expires=3d"]);
        scene.done(&["organization", "create", "--organization=mlab"]);
        let organizations = scene.json(&["organization-key", "create", "--organization=mlab"]);
        let api_key = key["api_key"].as_str().unwrap();
        let (_, secret) = api_key.rsplit_once('.').unwrap();
        let secrets = [secret, organizations["api_key"].as_str().unwrap()];
        let key_id = format!("--key-id={}", Scene::key_id(api_key));
        for look in LOOKS {
            let mut words = look.to_vec();
            if look.starts_with(&["integration-key", "show"]) {
                words.push(&key_id);
            }
            for form in [None, Some("--output=json")] {
                let words: Vec<_> = words.iter().copied().chain(form).collect();
                let seen = scene.operator.run(&words);
                let said = [seen.stdout.as_str(), &seen.stderr].concat();
                assert!(matches!(seen.status.code(), Some(0 | 3)), "{words:?}: {said}");
                assert!(!secrets.iter().any(|secret| said.contains(secret)), "{words:?}: {said}");
                if form.is_some() {
                    serde_json::from_str::<serde_json::Value>(&seen.stdout).unwrap();
                } else if look[0] != "export" {
                    let widest = said.lines().map(|line| line.chars().count()).max();
                    assert!(widest <= Some(80), "{words:?}: {said}");
                }
            }
        }
    }
}

#[test]
fn states_are_words_and_times_are_in_utc_with_a_hint() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme", "--by=alice"]);
    let create = ["integration-key", "create", "--integration-id=acme", "--by=alice"];
    scene.done(&[&create[..], &["--key-id=ki_a"]].concat());
    scene.done(&[&create[..], &["--key-id=ki_b", "--expires=4d"]].concat());
    scene.done(&[&create[..], &["--key-id=ki_c", "--not-before=49h"]].concat());
    scene.done(&[&create[..], &["--key-id=ki_d"]].concat());
    let name = ["--integration-id=acme", "--key-id=ki_d", "--by=bob"];
    let revoke = ["integration-key", "revoke", "--reason=lost", "--yes"];
    scene.done(&[&revoke[..], &name[..]].concat());
    let listed = scene.done(&["integration-key", "list"]).stdout;
    let state = |key: &str| {
        let line = listed.lines().find(|line| line.starts_with(key)).unwrap();
        line.split("  ")
            .map(str::trim)
            .find(|cell| !cell.is_empty() && *cell != key)
            .unwrap()
            .to_owned()
    };
    assert_eq!(state("ki_a"), "active");
    assert!(
        ["expires in 4 days", "expires in 3 days"].contains(&state("ki_b").as_str()),
        "{listed}"
    );
    assert!(
        state("ki_c").starts_with("waiting, begins in 2 days")
            || state("ki_c").contains("48 hours"),
        "{listed}"
    );
    assert!(state("ki_d").starts_with("revoked "), "{listed}");

    let shown = scene.done(&[&["integration-key", "show"], &name[..2]].concat()).stdout;
    let line = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        line.unwrap_or_else(|| panic!("{name}: {shown}")).to_owned()
    };
    assert_eq!((line("created by").as_str(), line("changed by").as_str()), ("alice", "bob"));
    assert_eq!(line("reason"), "lost");
    let revoked = line("revoked ");
    assert!(revoked.contains("Z (") && revoked.starts_with("20"), "{revoked}");
}

#[test]
fn the_environment_says_who_it_was_and_confirms_nothing() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    let store = format!("-key-store=sqlite:{}", scene.folder.path().join("keys.db").display());
    let run = |words: &[&str]| {
        let launch = words.iter().fold(Launch::token_exchange(), |launch, word| launch.arg(word));
        let launch = launch.arg(&store).env("USER", "carol").env("YES", "true").env("NOW", "true");
        launch.env("DRY_RUN", "true").env("REASON", "x").run(std::time::Duration::from_secs(30))
    };
    let create = ["integration-key", "create", "--integration-id=acme", "--key-id=ki_a"];
    assert!(run(&create).status.success());
    let name = ["--integration-id=acme", "--key-id=ki_a"];
    let shown = scene.json(&[&["integration-key", "show"], &name[..]].concat());
    assert_eq!(shown["created_by"], "carol");
    let refused = run(&[&["integration-key", "roll"], &name[..]].concat());
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("say --yes"), "{}", refused.stderr);
    let refused = run(&[&["integration-key", "revoke", "--yes"], &name[..]].concat());
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    scene.done(&["integration-key", "create", "--integration-id=acme", "--key-id=ki_a"]);
    scene.done(&["organization", "create", "--organization=mlab"]);
    let made = scene.json(&["organization-key", "create", "--organization=mlab"]);
    let fingerprint = format!("--fingerprint={}", made["fingerprint"].as_str().unwrap());
    let generated = scene.done(&["integration-key", "generate", "--integration-id=acme"]).stdout;
    let line = generated.lines().nth(1).unwrap();
    let before =
        [scene.done(&["export"]).stdout, scene.json(&["organization-key", "list"]).to_string()];
    let key = ["--integration-id=acme", "--key-id=ki_a"];
    let organization = ["--organization=mlab", fingerprint.as_str()];
    for words in [
        &["integration", "create", "--integration-id=zeta"][..],
        &["integration-key", "create", "--integration-id=acme"],
        &["integration-key", "import", line],
        &[&["integration-key", "roll"], &key[..]].concat(),
        &[&["integration-key", "revoke", "--reason=x"], &key[..]].concat(),
        &[&["integration-key", "expire", "--at=1d"], &key[..]].concat(),
        &["organization", "create", "--organization=zoo"],
        &["organization-key", "create", "--organization=mlab"],
        &[&["organization-key", "roll"], &organization[..]].concat(),
        &[&["organization-key", "revoke", "--reason=x"], &organization[..]].concat(),
        &[&["organization-key", "expire", "--at=1d"], &organization[..]].concat(),
    ] {
        let shown = scene.operator.run(&[words, &["--dry-run"]].concat());
        assert_eq!(shown.status.code(), Some(3), "{words:?}: {}", shown.stderr);
        assert_eq!(shown.stdout, "", "{words:?}");
        assert!(shown.stderr.starts_with("This would\n  - "), "{words:?}: {}", shown.stderr);
    }
    let after =
        [scene.done(&["export"]).stdout, scene.json(&["organization-key", "list"]).to_string()];
    assert_eq!(after, before);
}

#[test]
fn generating_needs_no_store_and_prints_two_lines() {
    let launch = Launch::token_exchange().env("KEY_STORE", "sqlite:/nowhere/keys.db");
    let words = ["integration-key", "generate", "--integration-id=acme"];
    let finished = words
        .iter()
        .fold(launch, |launch, word| launch.arg(word))
        .run(std::time::Duration::from_secs(30));
    assert!(finished.status.success(), "{}", finished.stderr);
    let [plain, line] = finished.stdout.lines().collect::<Vec<_>>()[..] else {
        panic!("{}", finished.stdout)
    };
    assert!(plain.starts_with("mlabk.cii_acme.ki_"), "{plain}");
    assert!(line.starts_with("mlabkh.cii_acme.ki_"), "{line}");
    let (_, secret) = plain.rsplit_once('.').unwrap();
    assert!(!line.contains(secret) && !finished.stderr.contains(secret));
}

#[test]
fn completions_know_every_command_in_every_shell() {
    let scene = Scene::on_sqlite().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = scene.done(&["completions", shell]).stdout;
        for word in ["integration-key", "organization-key", "doctor", "apply", "fingerprint"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn what_is_printed_of_a_new_key_is_what_stands_in_the_store() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["integration", "create", "--integration-id=acme"]);
    scene.done(&["organization", "create", "--organization=mlab"]);
    let is_stored = |made: &Value, list: &str, id: &str| {
        let listed = scene.json(&[list, "list"]);
        let stored = listed.as_array().unwrap().iter().find(|key| key[id] == made[id]).unwrap();
        for fact in ["created_at", "not_before", "expires_at"] {
            assert_eq!(made[fact], stored[fact], "{made}\n{stored}");
        }
        assert!(made["not_before"].is_string(), "{made}");
    };
    let waiting = ["--not-before=1h", "--expires=90d"];
    let create = ["integration-key", "create", "--integration-id=acme", "--key-id=ki_a"];
    let made = scene.json(&[&create[..], &waiting].concat());
    is_stored(&made, "integration-key", "key_id");
    // It waits as long as the one that it replaces.
    let roll = ["integration-key", "roll", "--integration-id=acme", "--key-id=ki_a", "--yes"];
    is_stored(&scene.json(&[&roll[..], &["--expires=9d"]].concat()), "integration-key", "key_id");

    let organization = ["--organization=mlab"];
    let create = [&["organization-key", "create"], &organization[..], &waiting].concat();
    let made = scene.json(&create);
    is_stored(&made, "organization-key", "fingerprint");
    let name = format!("--fingerprint={}", made["fingerprint"].as_str().unwrap());
    let roll = [&["organization-key", "roll", "--yes", &name], &organization[..]].concat();
    is_stored(&scene.json(&roll), "organization-key", "fingerprint");
}

#[test]
fn a_receipt_says_what_a_revocation_is_more_than_an_expiry() {
    let scene = Scene::on_sqlite().unwrap();
    scene.done(&["organization", "create", "--organization=mlab"]);
    let made = scene.json(&["organization-key", "create", "--organization=mlab"]);
    let name = format!("--fingerprint={}", made["fingerprint"].as_str().unwrap());
    let revoke = ["organization-key", "revoke", "--reason=left", "--yes", &name];
    let receipt = scene.done(&[&revoke[..], &["--organization=mlab"]].concat());
    assert!(receipt.stderr.contains("One that only expires goes on"), "{}", receipt.stderr);
    assert!(receipt.stdout.contains("The last token signed for it ends by "), "{}", receipt.stdout);

    // Whose it was is not kept, and a name that is wrong is not taken for right.
    let again = scene.done(&[&revoke[..], &["--organization=other"]].concat());
    assert!(again.stderr.contains("organization other has no such key"), "{}", again.stderr);
}
