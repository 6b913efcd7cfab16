//! Both ways with the Go tools: their client library is strict, and fails on any property or type
//! that it does not know.

use serde_json::Value;

use super::programs::{self, Program};
use crate::support::emulator::{self, Emulator, unique_project};
use crate::support::golden;
use crate::support::operator::Operator;
use crate::support::service::Launch;

#[test]
fn the_go_client_reads_all_that_our_commands_write_in_firestore() {
    let Some(emulator) = emulator::firestore() else { return };
    the_go_client_reads_what_we_write(emulator);
}

#[test]
fn the_go_client_reads_all_that_our_commands_write_in_datastore() {
    let Some(emulator) = emulator::datastore() else { return };
    the_go_client_reads_what_we_write(emulator);
}

#[test]
fn the_service_accepts_what_the_go_client_writes_in_firestore() {
    let Some(emulator) = emulator::firestore() else { return };
    we_accept_what_the_go_client_writes(emulator);
}

#[test]
fn the_service_accepts_what_the_go_client_writes_in_datastore() {
    let Some(emulator) = emulator::datastore() else { return };
    we_accept_what_the_go_client_writes(emulator);
}

#[test]
fn every_key_that_the_go_tools_stored_is_exchanged() {
    let Some(emulator) = emulator::firestore() else { return };
    let stores = golden::stores();
    let by_go: Vec<_> = stores.standard.iter().filter(|row| row.written_by != "crafted").collect();
    let project = emulator.load_into_new_project(by_go.iter().map(|row| &row.entity));
    let service = Operator::on_datastore(emulator.host(), &project)
        .serve(Launch::token_exchange().recorded_signing_key());
    let keys: Vec<&str> = by_go.iter().filter_map(|row| row.api_key.as_deref()).collect();
    assert!(keys.len() >= 9, "the recording has {} keys of the Go tools", keys.len());
    for key in keys {
        let family = if key.starts_with("mlabk.") { "integration" } else { "autojoin" };
        service.token(family, key);
    }
}

fn the_go_client_reads_what_we_write(emulator: &'static Emulator) {
    let Some(go) = GoTools::on(emulator) else { return };
    let operator = Operator::on_datastore(emulator.host(), &go.project);
    let project = format!("-project={}", go.project);
    let created = Launch::create_integration()
        .env("DATASTORE_EMULATOR_HOST", emulator.host())
        .arg(&project)
        .arg("-integration-id=acme")
        .arg("-integration-description=ACME measurements")
        .arg("-key-tier=3")
        .run(crate::support::service::START_WITHIN);
    assert!(created.status.success(), "{}", created.stderr);
    let integration_key = operator.integration_key("acme", i64::MIN);
    let organization_key = operator.organization_with_key("mlab");

    let read = go.run("read", "").expect("the Go client reads every entity");
    assert_eq!(read["integrations"].as_array().map(Vec::len), Some(1), "{read}");
    assert_eq!(read["integrations"][0]["description"], "ACME measurements");
    assert_eq!(read["integration_keys"].as_array().map(Vec::len), Some(2), "{read}");
    assert_eq!(read["organizations"].as_array().map(Vec::len), Some(1), "{read}");
    assert_eq!(read["organizations"][0]["probability_multiplier"], 1.0);
    assert_eq!(read["organization_keys"].as_array().map(Vec::len), Some(1), "{read}");

    let verdict = go.run("validate-integration", &integration_key).unwrap();
    assert_eq!(verdict["valid"], true, "{verdict}");
    assert_eq!(verdict["tier"], i64::MIN);
    let verdict = go.run("validate-autojoin", &organization_key).unwrap();
    assert_eq!(verdict["valid"], true, "{verdict}");
    assert_eq!(verdict["organization"], "mlab");
}

fn we_accept_what_the_go_client_writes(emulator: &'static Emulator) {
    let Some(go) = GoTools::on(emulator) else { return };
    let api_key = |written: Value| written["api_key"].as_str().unwrap().to_owned();
    let integration_key =
        api_key(go.run("write-integration -integration-id=acme -tier=-7", "").unwrap());
    let organization_key = api_key(go.run("write-organization -organization=mlab", "").unwrap());

    let service = Operator::on_datastore(emulator.host(), &go.project)
        .serve(Launch::token_exchange().recorded_signing_key());
    service.token("integration", &integration_key);
    service.token("autojoin", &organization_key);
    // Rights are not mixed up on the way.
    assert_eq!(service.exchange("integration", &organization_key).status, 401);
    assert_eq!(service.exchange("autojoin", &integration_key).status, 401);
}

/// The Go program, working in a project of its own.
struct GoTools {
    program: Program,
    host: &'static str,
    project: String,
}

impl GoTools {
    fn on(emulator: &'static Emulator) -> Option<Self> {
        let program = programs::go_datastore()?;
        Some(Self { program, host: emulator.host(), project: unique_project() })
    }

    /// Runs a subcommand, its flags behind it.
    fn run(&self, command: &str, input: &str) -> Result<Value, String> {
        let mut words: Vec<&str> = command.split(' ').collect();
        words.extend(["-project", &self.project]);
        self.program.run(&words, &[("DATASTORE_EMULATOR_HOST", self.host)], input)
    }
}
