//! What is not done, and why: each refusal says its reason, and changes nothing.

use rusqlite::Connection;

use super::scene::Scene;

struct Desk {
    scene: Scene,
    /// The id of a key of the integration `acme`.
    key_id: String,
}

fn desk() -> Desk {
    let scene = Scene::on_sqlite().expect("SQLite is always there");
    scene.done(&["integration", "create", "--integration-id=acme"]);
    let made = scene.json(&["integration-key", "create", "--integration-id=acme"]);
    Desk { key_id: made["key_id"].as_str().unwrap().to_owned(), scene }
}

impl Desk {
    fn on_key<'a>(&'a self, words: &[&'a str]) -> Vec<String> {
        let name = ["--integration-id=acme".to_owned(), format!("--key-id={}", self.key_id)];
        words.iter().map(|word| (*word).to_owned()).chain(name).collect()
    }

    fn done(&self, words: &[&str]) {
        let words = self.on_key(words);
        self.scene.done(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn refused(&self, words: &[&str], reason: &str) {
        let words = self.on_key(words);
        refused(&self.scene, &words.iter().map(String::as_str).collect::<Vec<_>>(), reason);
    }
}

/// The command fails with the reason, prints nothing, and leaves the store as it was.
fn refused(scene: &Scene, words: &[&str], reason: &str) {
    let before = everything(scene);
    let finished = scene.operator.run(words);
    assert_eq!(finished.status.code(), Some(1), "{words:?}: {}", finished.stderr);
    assert_eq!(finished.stdout, "", "{words:?}");
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains(reason), "{reason}: {}", finished.stderr);
    assert_eq!(everything(scene), before, "{words:?}");
}

fn everything(scene: &Scene) -> String {
    let lists = [
        ["integration", "list"],
        ["integration-key", "list"],
        ["organization", "list"],
        ["organization-key", "list"],
    ];
    lists.map(|words| scene.json(&words).to_string()).concat()
}

#[test]
fn a_key_is_rolled_once() {
    let desk = desk();
    desk.done(&["integration-key", "roll", "--yes"]);
    desk.refused(&["integration-key", "roll", "--yes"], "rolled already: ki_");
}

#[test]
fn a_revoked_key_is_neither_rolled_nor_given_another_end() {
    let desk = desk();
    desk.done(&["integration-key", "revoke", "--reason=lost", "--yes"]);
    desk.refused(&["integration-key", "roll", "--yes"], "was revoked at 20");
    desk.refused(&["integration-key", "expire", "--at=90d", "--yes"], "was revoked at 20");
}

#[test]
fn the_past_is_no_time_to_expire_at() {
    let desk = desk();
    let at = "--at=2020-01-01T00:00:00Z";
    desk.refused(&["integration-key", "expire", at, "--yes"], "is past; to end a key at once");
    let scene = &desk.scene;
    let create = ["integration-key", "create", "--integration-id=acme"];
    let past = "--expires=2020-01-01T00:00:00Z";
    refused(scene, &[&create[..], &[past]].concat(), "is past");
    let never = ["--expires=1h", "--not-before=2h"];
    refused(scene, &[&create[..], &never].concat(), "become valid only at");
}

#[test]
fn a_key_that_is_not_there_cannot_be_changed() {
    let Desk { scene, .. } = desk();
    let name = ["--integration-id=acme", "--key-id=ki_nobody", "--yes"];
    for words in [&["roll"][..], &["revoke", "--reason=x"], &["expire", "--at=1d"]] {
        let words = [&["integration-key"], words, &name[..]].concat();
        refused(&scene, &words, "integration acme has no key ki_nobody");
    }
    scene.done(&["organization", "create", "--organization=mlab"]);
    let name = ["--organization=mlab", "--fingerprint=00", "--yes"];
    for words in [&["roll"][..], &["revoke", "--reason=x"], &["expire", "--at=1d"]] {
        let words = [&["organization-key"], words, &name[..]].concat();
        refused(&scene, &words, "organization mlab has no key 00");
    }
    refused(&scene, &["integration", "show", "--integration-id=x"], "there is no integration x");
    refused(&scene, &["organization", "show", "--organization=x"], "there is no organization x");
}

#[test]
fn a_beginning_that_two_keys_have_names_none() {
    let Desk { scene, .. } = desk();
    scene.done(&["organization", "create", "--organization=mlab"]);
    // Of 17 keys two begin with the same hex digit.
    let digits = (0..17).map(|_| {
        let made = scene.json(&["organization-key", "create", "--organization=mlab"]);
        made["fingerprint"].as_str().unwrap()[..1].to_owned()
    });
    let mut digits: Vec<_> = digits.collect();
    digits.sort();
    let twice = digits.windows(2).find(|pair| pair[0] == pair[1]).unwrap()[0].clone();
    let flag = format!("--fingerprint={twice}");
    let words = ["organization-key", "revoke", "--organization=mlab", &flag, "--reason=x", "--yes"];
    refused(&scene, &words, "say more digits");
}

#[test]
fn a_line_that_is_none_or_holds_the_secret_is_not_imported() {
    let Desk { scene, .. } = desk();
    let generated = scene.done(&["integration-key", "generate", "--integration-id=acme"]).stdout;
    let [plain, line] = generated.lines().collect::<Vec<_>>()[..] else { panic!("{generated}") };
    refused(&scene, &["integration-key", "import", plain], "this is an API key");
    let said = scene.operator.run(&["integration-key", "import", plain]).stderr;
    assert!(!said.contains(plain.rsplit_once('.').unwrap().1), "{said}");
    refused(&scene, &["integration-key", "import", "hello"], "the form mlabkh");
    let other = line.replace("cii_acme", "cii_nobody");
    refused(&scene, &["integration-key", "import", &other], "there is no integration nobody");
    scene.done(&["integration-key", "import", line]);
    refused(&scene, &["integration-key", "import", line], "exists already");
}

#[test]
fn a_successor_is_of_the_same_integration_and_another_key() {
    let desk = desk();
    let line = |id: &str| {
        let flag = format!("--integration-id={id}");
        let said = desk.scene.done(&["integration-key", "generate", &flag]).stdout;
        said.lines().nth(1).unwrap().to_owned()
    };
    let roll = ["integration-key", "roll", "--yes", "--import"];
    let other = line("zeta");
    desk.refused(&[&roll[..], &[other.as_str()]].concat(), "for integration zeta");
    let mine = line("acme");
    let own = format!("--key-id={}", mine.split('.').nth(2).unwrap());
    desk.done(&[&roll[..], &[mine.as_str()]].concat());
    let words = [&roll[..], &[mine.as_str(), "--integration-id=acme", &own]].concat();
    refused(&desk.scene, &words, "the id of the old one");
}

#[test]
fn names_and_reasons_have_a_bound() {
    let desk = desk();
    let long = format!("--reason={}", "x".repeat(1001));
    desk.refused(&["integration-key", "revoke", &long, "--yes"], "1 to 1000 bytes");
    desk.refused(&["integration-key", "revoke", "--reason=", "--yes"], "1 to 1000 bytes");
    let long = format!("--by={}", "x".repeat(101));
    desk.refused(&["integration-key", "revoke", "--reason=x", "--yes", &long], "1 to 100 bytes");
}

#[test]
fn nothing_is_ended_without_being_confirmed() {
    let desk = desk();
    for words in [
        &["integration-key", "revoke", "--reason=x"][..],
        &["integration-key", "roll"],
        &["integration-key", "expire", "--at=1d"],
    ] {
        desk.refused(words, "there is no terminal to ask at; say --yes");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let Desk { scene, key_id } = desk();
    let key = format!("--key-id={key_id}");
    let name = ["--integration-id=acme", key.as_str()];
    for words in [
        &["integration-key", "expire", "--at=tomorrow"][..],
        &["integration-key", "roll", "--overlap=7"],
        &["integration-key", "roll", "--overlap=1d", "--now"],
        &["integration-key", "revoke"],
    ] {
        let finished = scene.operator.run(&[words, &name[..]].concat());
        assert_eq!(finished.status.code(), Some(2), "{words:?}: {}", finished.stderr);
    }
    for words in [&["completions", "tcsh"][..], &["apply"], &["integration", "lst"]] {
        let finished = scene.operator.run(words);
        assert_eq!(finished.status.code(), Some(2), "{words:?}: {}", finished.stderr);
    }
}

#[test]
fn a_name_in_an_error_moves_no_cursor() {
    let scene = Scene::on_sqlite().unwrap();
    let words = ["integration", "show", "--integration-id=a\u{1b}[2J\nb"];
    let finished = scene.operator.run(&words);
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(finished.stderr, "error: there is no integration a\\u{1b}[2J\\nb\n");

    // One that no manifest can name is left out, and said to be.
    scene.done(&["integration", "create", "--integration-id=acme"]);
    scene.done(&["integration-key", "create", "--integration-id=acme", "--key-id=ki_\u{1b}c"]);
    let file = Connection::open(scene.folder.path().join("keys.db")).unwrap();
    file.execute("UPDATE integration_keys SET secret_hash = 'ABC'", []).unwrap();
    let finished = scene.done(&["export"]);
    assert!(finished.stderr.contains("left out: key ki_\\u{1b}c of"), "{}", finished.stderr);
    assert!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);

    let revoke = ["integration-key", "revoke", "--integration-id=acme", "--key-id=ki_\u{1b}c"];
    for _ in 0..2 {
        let finished = scene.done(&[&revoke[..], &["--reason=x", "--yes"]].concat());
        assert!(!finished.stderr.contains('\u{1b}'), "{:?}", finished.stderr);
    }
}
