//! Commands as an operator types them: what they make, what they refuse, and with which exit code.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::operator::Operator;
use crate::support::service::{Finished, Launch};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn an_existing_integration_without_a_key_id_is_left_alone_and_the_error_names_the_way() {
    let (operator, _folder) = operator();
    assert!(operator.run(&["create-integration", "-integration-id=acme"]).status.success());

    let again = operator.run(&["create-integration", "-integration-id=acme"]);

    assert_eq!(again.status.code(), Some(1));
    assert_eq!(again.stdout, "");
    assert!(again.stderr.contains("acme exists already"), "{}", again.stderr);
    assert!(again.stderr.contains("integration-key create"), "{}", again.stderr);
}

#[test]
fn an_existing_key_id_is_left_alone_and_the_error_names_the_way() {
    let (operator, _folder) = operator();
    let words = ["create-integration", "-integration-id=acme", "-key-id=ki_one"];
    let first = operator.run(&words);

    let again = operator.run(&words);

    assert_eq!(again.status.code(), Some(1));
    assert!(again.stderr.contains("integration-key create"), "{}", again.stderr);
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    service.token("integration", &printed_key(&first));
}

#[test]
fn an_existing_integration_gets_the_key_of_an_explicit_id() {
    let (operator, _folder) = operator();
    let first = operator.run(&["create-integration", "-integration-id=acme"]);

    let second = operator.run(&["create-integration", "-integration-id=acme", "-key-id=ki_two"]);

    assert!(second.status.success(), "{}", second.stderr);
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    service.token("integration", &printed_key(&first));
    service.token("integration", &printed_key(&second));
}

#[test]
fn a_key_for_an_unknown_integration_is_refused() {
    let (operator, _folder) = operator();
    let refused = operator.run(&["integration-key", "create", "--integration-id=nobody"]);
    assert_refused(&refused, "there is no integration nobody");
}

#[test]
fn a_key_for_an_unknown_organization_is_refused() {
    let (operator, _folder) = operator();
    let refused = operator.run(&["organization-key", "create", "--organization=nobody"]);
    assert_refused(&refused, "there is no organization nobody");
}

#[test]
fn an_organization_is_never_created_twice() {
    let (operator, _folder) = operator();
    operator.organization_with_key("mlab");
    let refused = operator.run(&["organization", "create", "--organization=mlab"]);
    assert_refused(&refused, "organization mlab exists already");
}

#[test]
fn an_id_that_could_never_validate_is_refused_with_the_reason() {
    let (operator, _folder) = operator();
    for (id, reason) in [
        ("a.b", "a dot"),
        ("", "required"),
        ("__x__", "reserved"),
        (&"i".repeat(65), "longer than 64 bytes"),
    ] {
        let flag = format!("-integration-id={id}");
        assert_refused(&operator.run(&["create-integration", &flag]), reason);
    }
    for (key_id, reason) in [("custom", "ki_"), ("ki_", "ki_"), ("ki_a.b", "a dot")] {
        let flag = format!("-key-id={key_id}");
        let refused = operator.run(&["create-integration", "-integration-id=acme", &flag]);
        assert_refused(&refused, reason);
    }
}

#[test]
fn a_description_that_cannot_be_indexed_is_refused() {
    let (operator, _folder) = operator();
    let flag = format!("-integration-description={}", "d".repeat(1501));
    let refused = operator.run(&["create-integration", "-integration-id=acme", &flag]);
    assert_refused(&refused, "1500 bytes");
}

#[test]
fn what_was_made_is_printed_as_a_table_and_as_json() {
    let (operator, _folder) = operator();
    let organization = ["organization", "create", "--organization=mlab", "--email=a@example.org"];
    let table = operator.run(&organization);
    assert!(table.stdout.starts_with("organization            mlab\nemail "), "{}", table.stdout);

    let json = operator.run_for_json(&["organization-key", "create", "--organization=mlab"]);
    assert_eq!(json["organization"], "mlab");
    assert!(matches!(&json["api_key"], Value::String(key) if key.len() == 43), "{json}");
}

#[test]
fn a_mistyped_command_does_not_start_a_server() {
    for words in [&["sevre"][..], &["integration-keys", "create"], &["integration-key", "lst"]] {
        let refused = run(words, &[]);
        assert_eq!(refused.status.code(), Some(2), "{words:?}: {}", refused.stderr);
    }
}

#[test]
fn a_value_of_no_flag_is_wrong_usage() {
    for word in ["-=8080", "--=8080", "---port=8080"] {
        let refused = Launch::token_exchange().arg(&golden_key_flag()).arg(word).run(WITHIN);
        assert_eq!(refused.status.code(), Some(2), "{word}: {}", refused.stderr);
    }
}

#[test]
fn flags_of_commands_do_not_come_from_the_environment() {
    let (operator, _folder) = operator();
    operator.organization_with_key("mlab");
    let refused = run(&["organization-key", "create"], &[("ORGANIZATION", "mlab")]);
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
}

#[test]
fn two_flags_that_contradict_each_other_are_refused_at_the_start() {
    let key = golden_key_flag();
    for (words, reason) in [
        (["-port=8080", "-prometheusx.listen-address=:8080"], "both say 8080"),
        (["-key-store=sqlite:/tmp/x", "-project-id=p"], "-project-id contradicts"),
        (["-key-store=sqlite:/tmp/x", "-platform-ns=p"], "-platform-ns contradicts"),
    ] {
        let refused = run(&[words[0], words[1], &key], &[]);
        assert_refused(&refused, reason);
    }
}

#[test]
fn the_emulator_is_refused_on_cloud_run() {
    let environment = [("K_SERVICE", "auth"), ("DATASTORE_EMULATOR_HOST", "localhost:8081")];
    let refused = run(&[&golden_key_flag(), "-port=0"], &environment);
    assert_refused(&refused, "DATASTORE_EMULATOR_HOST is set on Cloud Run");
}

#[test]
fn credentials_that_cannot_be_used_are_refused_at_the_start() {
    let environment = [("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/credentials.json")];
    let refused = run(&[&golden_key_flag(), "-port=0"], &environment);
    assert_refused(&refused, "/nowhere/credentials.json");
}

#[test]
fn an_unknown_store_is_wrong_usage() {
    let refused = run(&["-key-store=mysql:x"], &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("sqlite:PATH"), "{}", refused.stderr);
}

#[test]
fn an_api_key_in_the_wrong_place_is_not_repeated() {
    let key = "mlabk.cii_acme.ki_1.the-secret";
    for refused in [
        run(&["integration-key", "list", key], &[]),
        run(&["integration-key", "list", "-output", key], &[]),
        run(&[], &[("PORT", key)]),
    ] {
        assert!(!refused.status.success());
        assert!(refused.stderr.contains("mlabk.…"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("the-secret"), "{}", refused.stderr);
    }
}

#[test]
fn the_version_is_printed() {
    let printed = run(&["--version"], &[]);
    assert!(printed.status.success());
    let version = token_exchange::version::version();
    assert!(version.starts_with(env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(printed.stdout, format!("token-exchange {version}\n"));
}

#[test]
fn a_link_with_the_name_of_the_go_tool_is_that_tool() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("create-integration");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_token-exchange"), &link).unwrap();
    let finished = Launch::new(link.to_str().unwrap()).run(WITHIN);
    assert_refused(&finished, "-project is required");
}

fn operator() -> (Operator, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Operator::on_sqlite(&folder.path().join("keys.db")), folder)
}

fn run(words: &[&str], environment: &[(&str, &str)]) -> Finished {
    let launch = words.iter().fold(Launch::token_exchange(), |launch, word| launch.arg(word));
    environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).run(WITHIN)
}

fn assert_refused(finished: &Finished, reason: &str) {
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
    let last = finished.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: ") && last.contains(reason), "{reason}: {}", finished.stderr);
}

fn printed_key(finished: &Finished) -> String {
    let line = finished.stdout.lines().find_map(|line| line.strip_prefix("API Key:"));
    line.expect("the key is printed").trim().to_owned()
}

fn golden_key_flag() -> String {
    format!("-private-key-path={}/tests/golden/signing-key.jwk", env!("CARGO_MANIFEST_DIR"))
}
