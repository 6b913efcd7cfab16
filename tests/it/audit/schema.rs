//! `docs/audit.md` says what a record holds, and a record holds what it says.

use std::collections::BTreeSet;

use serde_json::Value;
use token_exchange::exchange::{Decision, Reason};
use token_exchange::telemetry::audit::SCHEMA;

use super::house::{House, body, integration_key};
use crate::support::http_client::Request;

const SCHEMA_PAGE: &str = include_str!("../../../docs/audit.md");

#[test]
fn the_page_has_every_member_of_the_records_and_no_other() {
    let house = House::open();
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut found = BTreeSet::new();
    for (id, family, key) in [
        ("1", "integration", integration_key("fine")),
        ("2", "autojoin", "fine".to_owned()),
        ("3", "autojoin", "failed".to_owned()),
    ] {
        let target = format!("/v0/token/{family}");
        let request = Request::post(&target, body(&key)).header("X-Request-Id", id);
        house.send(&request.header("traceparent", traceparent));
        members("", &house.record(id), &mut found);
    }
    assert_eq!(found, first_cells("## Members"));
}

#[test]
fn the_page_has_every_reason_and_what_it_comes_to() {
    let told: Vec<(String, String)> = rows("## Reasons")
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].to_owned()))
        .collect();
    let mut reasons = vec![("granted".to_owned(), Decision::Granted.as_str().to_owned())];
    reasons.extend(
        Reason::ALL
            .map(|reason| (reason.as_str().to_owned(), reason.decision().as_str().to_owned())),
    );
    assert_eq!(told, reasons);
}

#[test]
fn the_page_is_about_this_version_of_the_schema() {
    assert!(SCHEMA_PAGE.contains(&format!("This is version {SCHEMA} of the schema")));
}

/// The paths of all that is no object.
fn members(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    let Value::Object(object) = value else {
        found.insert(path.to_owned());
        return;
    };
    for (name, value) in object {
        // The members of Cloud Logging have dots and slashes in their names.
        let separator = if path.is_empty() { "" } else { "." };
        members(&format!("{path}{separator}{name}"), value, found);
    }
}

fn first_cells(heading: &str) -> BTreeSet<String> {
    rows(heading).map(|cells| cells[0].trim_matches('`').to_owned()).collect()
}

fn rows(heading: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, rest) = SCHEMA_PAGE.split_once(&format!("\n{heading}\n")).expect("the part is there");
    let part = rest.split("\n## ").next().unwrap();
    let lines = part.lines().filter_map(|line| line.strip_prefix("| `"));
    lines.map(|line| line.trim_end_matches(" |").split(" | ").map(str::trim).collect())
}
