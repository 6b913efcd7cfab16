//! `signing-key`, as an operator runs it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;
use token_exchange::signer::key_edit::KeyDocument;
use token_exchange::signer::{KeyFile, KeyFileError};

use super::file::{HOUR, dated, key, key_for, key_from, revoked, set};
use crate::support::service::{Finished, Launch};

/// Far more than it takes to make an RSA key.
const WITHIN: Duration = Duration::from_mins(1);

fn signing_key(args: &[&str]) -> Finished {
    let launch = args.iter().fold(Launch::token_exchange().arg("signing-key"), |l, arg| l.arg(arg));
    launch.run(WITHIN)
}

fn code(finished: &Finished) -> i32 {
    finished.status.code().unwrap()
}

fn done(args: &[&str]) -> String {
    let finished = signing_key(args);
    assert_eq!(code(&finished), 0, "{args:?}: {finished:?}");
    finished.stdout
}

/// What `check` says, whether it finds something or not.
fn done_or_found(args: &[&str]) -> String {
    let finished = signing_key(args);
    assert!([0, 3].contains(&code(&finished)), "{args:?}: {finished:?}");
    finished.stdout
}

/// What it says when it cannot do what it was asked for.
fn failed(args: &[&str]) -> String {
    let finished = signing_key(args);
    assert_eq!(code(&finished), 1, "{args:?}: {finished:?}");
    finished.stderr
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> String {
        self.0.path().join("keys.json").to_str().unwrap().to_owned()
    }

    fn with(content: &[u8]) -> Self {
        let folder = Self::new();
        fs::write(folder.path(), content).unwrap();
        folder
    }

    fn of(keys: &[Value]) -> Self {
        Self::with(&set(keys))
    }

    fn content(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path()).unwrap()).unwrap()
    }

    fn kids(&self) -> Vec<String> {
        let content = self.content();
        let keys = content["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

fn bare(key: &Value) -> Vec<u8> {
    serde_json::to_vec(key).unwrap()
}

#[test]
fn generate_makes_an_rs256_key_of_2048_bits_that_only_its_owner_can_read() {
    let folder = Folder::new();
    let path = folder.path();
    done(&["generate", &path]);
    let jwk = folder.content();
    assert_eq!(jwk["alg"], "RS256");
    // 2048 bits are 256 bytes, 342 characters in base64url.
    assert_eq!(jwk["n"].as_str().unwrap().len(), 342);
    assert_eq!(jwk["kid"].as_str().unwrap().len(), 43, "a SHA-256 in base64url: {}", jwk["kid"]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn generate_never_writes_over_an_old_file() {
    let folder = Folder::with(b"precious");
    let said = failed(&["generate", &folder.path()]);
    assert!(said.contains("exists"), "{said}");
    assert_eq!(fs::read(folder.path()).unwrap(), b"precious");
}

#[test]
fn generate_makes_what_it_is_asked_for_and_warns_for_what_cloud_endpoints_refuses() {
    for (alg, warns) in [("ES256", false), ("RS512", false), ("ES512", true), ("EdDSA", true)] {
        let folder = Folder::new();
        let finished = signing_key(&["generate", &folder.path(), "--alg", alg, "--kid=mine"]);
        assert_eq!(code(&finished), 0, "{finished:?}");
        assert_eq!(folder.content()["alg"], alg);
        assert_eq!(folder.content()["kid"], "mine");
        assert_eq!(finished.stderr.contains("Cloud Endpoints refuses"), warns, "{finished:?}");
    }
}

#[test]
fn generate_refuses_sizes_that_mean_nothing() {
    let folder = Folder::new();
    assert!(failed(&["generate", &folder.path(), "--bits=1024"]).contains("2048, 3072, 4096"));
    let said = failed(&["generate", &folder.path(), "--alg=ES256", "--bits=2048"]);
    assert!(said.contains("one size"), "{said}");
    assert_eq!(code(&signing_key(&["generate", &folder.path(), "--alg=HS256"])), 2);
}

#[test]
fn rotate_turns_a_bare_key_into_a_set_with_a_key_that_waits() {
    let mut old = key_for("RS256", "old");
    old["x-note"] = "keep me".into();
    old["iat"] = "not a date, and never was read".into();
    let folder = Folder::with(&bare(&old));
    let before = now();
    let said = done(&["rotate", &folder.path(), "--kid=next"]);
    let keys = folder.content()["keys"].clone();
    assert_eq!(keys[0]["d"], old["d"]);
    assert_eq!(keys[0]["x-note"], "keep me");
    assert_eq!(keys[0].get("iat"), None, "it was without effect, and must not get one");
    assert_eq!(keys[1]["kid"], "next");
    assert_eq!(keys[1]["alg"], "RS256");
    let (iat, nbf) = (keys[1]["iat"].as_u64().unwrap(), keys[1]["nbf"].as_u64().unwrap());
    assert!((before..before + 60).contains(&iat), "{iat}");
    assert_eq!(nbf, iat + 24 * HOUR);
    assert!(said.contains("Upload by ") && said.contains(", never later"), "{said}");
    assert!(said.contains("gcloud secrets versions add"), "{said}");
}

#[test]
fn rotate_refuses_while_a_key_waits_and_names_redo() {
    let folder = Folder::with(&bare(&key("old")));
    done(&["rotate", &folder.path()]);
    let before = folder.content();
    let said = failed(&["rotate", &folder.path()]);
    assert!(said.contains("rotate --redo"), "{said}");
    assert_eq!(folder.content(), before);
}

#[test]
fn redo_gives_the_waiting_key_new_dates_and_keeps_the_rest() {
    let waiting = dated(key("waiting"), now() - HOUR, now() + 20 * HOUR);
    let folder = Folder::of(&[key("old"), waiting.clone()]);
    done(&["rotate", &folder.path(), "--redo", "--lead=48h"]);
    let keys = folder.content()["keys"].clone();
    assert_eq!(keys[1]["d"], waiting["d"]);
    assert!(keys[1]["iat"].as_u64().unwrap() > waiting["iat"].as_u64().unwrap());
    assert_eq!(keys[1]["nbf"].as_u64().unwrap(), keys[1]["iat"].as_u64().unwrap() + 48 * HOUR);
    let alone = Folder::with(&bare(&key("old")));
    assert!(failed(&["rotate", &alone.path(), "--redo"]).contains("no key waits"));
}

#[test]
fn a_leaked_key_is_revoked_and_another_added_in_spite_of_one_that_waits() {
    let waiting = dated(key("waiting"), now() - HOUR, now() + 23 * HOUR);
    let folder = Folder::of(&[key_from("leaked", now() - 100 * HOUR), waiting]);
    let before = now();
    let said = done(&["rotate", &folder.path(), "--leaked", "leaked", "--kid=new"]);
    assert_eq!(folder.kids(), ["leaked", "waiting", "new"]);
    let revoked_at = &folder.content()["keys"][0]["revoked"]["revoked_at"];
    assert!(revoked_at.as_u64().unwrap() >= before, "{revoked_at}");
    assert!(said.contains("waiting signs from the moment"), "{said}");
    assert!(said.contains("it accepts what is signed with leaked"), "{said}");
    let shown: Value = serde_json::from_str(&done(&["show", &folder.path()])).unwrap();
    let kids: Vec<&Value> = shown["keys"].as_array().unwrap().iter().map(|k| &k["kid"]).collect();
    assert_eq!(kids, ["waiting", "new"]);
    assert!(failed(&["rotate", &folder.path(), "--leaked=leaked"]).contains("revoked already"));
    assert!(failed(&["rotate", &folder.path(), "--leaked=nobody"]).contains("no key \"nobody\""));
}

#[test]
fn where_nothing_waits_it_is_said_that_verifiers_will_refuse_the_new_key() {
    let folder = Folder::with(&bare(&key("leaked")));
    let said = done(&["rotate", &folder.path(), "--leaked=leaked"]);
    assert!(said.contains("refuse every token of"), "{said}");
}

#[test]
fn rotate_drops_keys_that_are_past_use_and_no_others() {
    let now = now();
    let folder = Folder::of(&[
        key_from("long gone", now - 200 * HOUR),
        revoked(key_from("leaked long ago", now - 150 * HOUR), now - 140 * HOUR),
        key_from("has tokens", now - 100 * HOUR),
        key_from("signs", now - 60),
    ]);
    let said = done(&["rotate", &folder.path(), "--kid=next"]);
    assert!(said.contains("long gone is past use"), "{said}");
    assert_eq!(folder.kids(), ["has tokens", "signs", "next"]);
}

#[test]
fn a_key_that_is_past_use_by_this_clock_alone_is_not_dropped() {
    let now = now();
    let folder =
        Folder::of(&[key_from("old", now - 100 * HOUR), key_from("signs", now - 3720 - 10)]);
    done(&["rotate", &folder.path(), "--kid=next"]);
    assert_eq!(folder.kids(), ["old", "signs", "next"]);
}

#[test]
fn a_key_that_was_revoked_just_now_is_not_dropped() {
    let now = now();
    let folder = Folder::of(&[
        revoked(key_from("leaked", now - 100 * HOUR), now - HOUR),
        key_from("signs", now - 50 * HOUR),
    ]);
    done(&["rotate", &folder.path(), "--kid=next"]);
    assert_eq!(folder.kids(), ["leaked", "signs", "next"]);
}

#[test]
fn a_revoked_key_is_kept_until_one_after_it_has_started() {
    let now = now();
    let leaked = revoked(key_from("leaked", now - 200 * HOUR), now - 100 * HOUR);
    let stands_in = dated(key("stands in"), now - 13 * HOUR, now + 2 * HOUR);
    let folder = Folder::of(&[leaked, stands_in]);
    done(&["rotate", &folder.path(), "--kid=next"]);
    assert_eq!(folder.kids(), ["leaked", "stands in", "next"]);
}

#[test]
fn a_dry_run_shows_the_time_line_and_writes_nothing() {
    let folder = Folder::with(&bare(&key("old")));
    let before = fs::read(folder.path()).unwrap();
    let finished = signing_key(&["rotate", &folder.path(), "--dry-run", "--kid=next"]);
    assert_eq!(code(&finished), 3, "{finished:?}");
    assert!(finished.stdout.contains("next"), "{}", finished.stdout);
    assert_eq!(fs::read(folder.path()).unwrap(), before);
}

#[test]
fn the_file_is_replaced_whole_and_keeps_its_mode_and_its_link() {
    let folder = Folder::with(&bare(&key("old")));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let link = folder.0.path().join("link.json");
    symlink("keys.json", &link).unwrap();
    let old = fs::File::open(folder.path()).unwrap();
    done(&["rotate", link.to_str().unwrap()]);
    let new = fs::metadata(folder.path()).unwrap();
    assert_eq!(new.mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_ne!(new.ino(), old.metadata().unwrap().ino(), "readers of the old file keep it");
    let left: Vec<_> = fs::read_dir(folder.0.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn two_changes_at_once_are_not_mixed() {
    let folder = Folder::with(&bare(&key("old")));
    let beside = folder.0.path().join("keys.json.new");
    fs::write(&beside, "of another").unwrap();
    let before = fs::read(folder.path()).unwrap();
    assert!(failed(&["rotate", &folder.path()]).contains("keys.json.new is there already"));
    assert_eq!(fs::read(folder.path()).unwrap(), before);
    assert_eq!(fs::read(beside).unwrap(), b"of another");
}

#[test]
fn a_change_of_a_file_that_somebody_else_has_changed_since_it_was_read_is_refused() {
    let folder = Folder::with(&bare(&key("old")));
    let file = KeyFile::at(folder.path());
    let document = KeyDocument::read(&file).unwrap();
    let read = document.as_read();
    let (json, _) = document.finish().unwrap();
    done(&["rotate", &folder.path()]);
    let theirs = fs::read(folder.path()).unwrap();

    let refused = file.replace(&json, &read).unwrap_err();

    assert!(matches!(refused, KeyFileError::Changed { .. }), "{refused}");
    assert_eq!(fs::read(folder.path()).unwrap(), theirs);
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 1);
}

#[test]
fn check_draws_the_time_line_and_finds_nothing_in_a_file_fresh_from_rotate() {
    let folder = Folder::with(&bare(&key("old")));
    done(&["rotate", &folder.path(), "--kid=next"]);
    let said = done(&["check", &folder.path()]);
    let drawn = |kid: &str, mark: char| {
        said.lines().any(|line| line.starts_with(kid) && line.contains(mark))
    };
    assert!(drawn("old", '#') && drawn("old", '='), "{said}");
    assert!(drawn("next", '-') && drawn("next", '#'), "{said}");
    assert!(said.contains("Nothing found."), "{said}");
}

#[test]
fn the_drawing_fits_a_terminal_of_80_columns_at_any_time_of_a_rotation() {
    let kid = "a-kid-far-longer-than-the-drawing-has-room-for";
    let now = now();
    for started in [now - 20 * HOUR, now - 60, now, now + 60, now + 13 * HOUR, now + 9000 * HOUR] {
        let folder = Folder::of(&[key_from(kid, now - 99 * HOUR), key_from("b", started)]);
        let said = done_or_found(&["check", &folder.path()]);
        let (_, drawing) = said.split_once("\n\n").unwrap();
        assert!(drawing.contains("| now"), "{said}");
        for line in drawing.lines().take_while(|line| !line.is_empty()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

#[test]
fn what_a_kid_holds_does_not_act_on_the_terminal() {
    let folder = Folder::of(&[key("\u{1b}[2J\nNothing found.")]);
    let said = done(&["check", &folder.path()]);
    assert!(!said.contains('\u{1b}'), "{said:?}");
    assert!(said.contains("\\u{1b}[2J\\nNothing"), "{said}");
}

#[test]
fn where_every_key_is_revoked_the_way_out_is_one_that_works() {
    let only = key("only");
    let folder = Folder::of(&[revoked(only.clone(), now())]);
    let said = failed(&["rotate", &folder.path()]);
    assert!(said.contains("take the file as it was before"), "{said}");
    assert!(said.contains("rotate --leaked KID"), "{said}");
    let before = Folder::of(&[only]);
    done(&["rotate", &before.path(), "--leaked=only"]);
}

#[test]
fn redo_makes_no_key_so_it_takes_no_algorithm() {
    let folder = Folder::with(&bare(&key("old")));
    done(&["rotate", &folder.path()]);
    let before = folder.content();
    for flag in ["--alg=ES256", "--bits=4096", "--leaked=old"] {
        assert_eq!(code(&signing_key(&["rotate", &folder.path(), "--redo", flag])), 2, "{flag}");
    }
    assert_eq!(folder.content(), before);
}

#[test]
fn check_finds_what_is_not_safe() {
    let now = now();
    let mut expired = key_from("expired", now - 100 * HOUR);
    expired["exp"] = (now - HOUR).into();
    let backdated = dated(key("backdated"), now - 24 * HOUR, now + HOUR);
    let folder = Folder::of(&[expired, backdated]);
    let finished = signing_key(&["check", &folder.path(), "--output=json"]);
    assert_eq!(code(&finished), 3, "{finished:?}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let findings = report["findings"].to_string();
    assert!(findings.contains("expired was meant to sign until"), "{findings}");
    assert!(findings.contains("backdated had to be uploaded by"), "{findings}");
}

#[test]
fn extract_prints_what_the_go_service_reads() {
    let next = dated(key_for("RS256", "next"), now(), now() + 24 * HOUR);
    let folder = Folder::of(&[key("old"), next.clone()]);
    let mut bare = next;
    bare.as_object_mut().unwrap().retain(|name, _| !["iat", "nbf"].contains(&name.as_str()));
    let printed: Value =
        serde_json::from_str(&done(&["extract", &folder.path(), "--kid=next"])).unwrap();
    assert_eq!(printed, bare);
    assert!(failed(&["extract", &folder.path(), "--kid=other"]).contains("no key \"other\""));
}

#[test]
fn what_is_printed_of_a_file_holds_no_private_member_except_by_extract() {
    let secret = key_for("RS256", "old");
    let folder = Folder::with(&bare(&secret));
    let said = [
        signing_key(&["show", &folder.path()]),
        signing_key(&["check", &folder.path()]),
        signing_key(&["check", &folder.path(), "--output=json"]),
        signing_key(&["rotate", &folder.path()]),
    ];
    for finished in &said {
        assert_eq!(code(finished), 0, "{finished:?}");
        for member in ["d", "p", "q", "dp", "dq", "qi"] {
            let value = secret[member].as_str().unwrap();
            assert!(
                !finished.stdout.contains(value) && !finished.stderr.contains(value),
                "{member}"
            );
        }
    }
    assert!(Path::new(&folder.path()).exists());
}
