//! Keys as operators see them: the state in words, times, who and why. Nothing secret.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::table::{distance, facts, length, time};
use crate::key_life::State;
use crate::key_store::{Defect, Facts, IntegrationKeyRow, OrganizationKeyRow};

/// `expires in 3 days`.
pub(super) fn words(state: &State, now: Timestamp) -> String {
    match state {
        State::Expiring(end) => format!("expires {}", distance(*end, now)),
        State::Waiting(start) => format!("waiting, begins {}", distance(*start, now)),
        State::Expired(end) => format!("expired {}", distance(*end, now)),
        State::Revoked(Some(at)) => format!("revoked {}", distance(*at, now)),
        other => other.to_string(),
    }
}

/// How old a record is; empty where that is not known.
pub(super) fn age(created_at: Option<Timestamp>, now: Timestamp) -> String {
    created_at.map(|at| length(at, now)).unwrap_or_default()
}

/// A key of an integration, for programs.
pub(super) fn integration_key_json(row: &IntegrationKeyRow, state: &State) -> Value {
    let mut object = state_json(state);
    object.insert("integration_id".into(), row.integration_id.as_str().into());
    object.insert("key_id".into(), row.key_id.as_str().into());
    object.insert("secret_hash".into(), row.key_hash.as_str().into());
    object.insert("status".into(), row.status.as_str().into());
    object.insert("tier".into(), row.tier.into());
    object.insert("description".into(), row.description.as_str().into());
    object.insert("created_at".into(), time_json(row.created_at));
    add_facts(&mut object, row.facts_in_force());
    object.insert("defects".into(), defects_json(&row.defects));
    Value::Object(object)
}

/// A key of an organization, for programs.
pub(super) fn organization_key_json(row: &OrganizationKeyRow, state: &State) -> Value {
    let mut object = state_json(state);
    object.insert("organization".into(), row.organization.as_str().into());
    object.insert("fingerprint".into(), row.key_hash.to_hex().into());
    object.insert("created_at".into(), time_json(row.created_at));
    add_facts(&mut object, row.facts.readable().map(|stored| &stored.facts));
    object.insert("defects".into(), defects_json(&row.defects));
    Value::Object(object)
}

/// A key of an integration, for people: a name and a value a line.
pub(super) fn integration_key_text(
    row: &IntegrationKeyRow,
    state: &State,
    now: Timestamp,
) -> String {
    let mut lines = vec![
        ("integration id", row.integration_id.clone()),
        ("key id", row.key_id.clone()),
        ("state", words(state, now)),
    ];
    match state {
        State::Dead(reason) => lines.push(("because", reason.clone())),
        State::Unknown(defect) => lines.push(("because", defect.to_string())),
        State::Orphaned => lines.push(("because", "its integration is missing".to_owned())),
        _ => {}
    }
    lines.push(("tier", row.tier.to_string()));
    if !row.description.is_empty() {
        lines.push(("description", row.description.clone()));
    }
    lines.extend(row.created_at.map(|at| ("created", time(at, now))));
    lines.extend(fact_lines(row.facts_in_force(), now));
    lines.extend(row.defects.iter().map(|defect| ("defect", defect.to_string())));
    facts(lines)
}

fn fact_lines(known: Option<&Facts>, now: Timestamp) -> Vec<(&'static str, String)> {
    let Some(known) = known else { return Vec::new() };
    let mut lines = Vec::new();
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("created by", known.created_by.clone());
    add("not before", known.not_before.map(|at| time(at, now)));
    add("expires", known.expires_at.map(|at| time(at, now)));
    add("revoked", known.revoked.as_ref().map(|revoked| time(revoked.at, now)));
    add("reason", known.revoked.as_ref().map(|revoked| revoked.reason.clone()));
    add("replaces", known.replaces.clone());
    add("replaced by", known.replaced_by.clone());
    add("note", known.note.clone());
    add("changed", known.changed_at.map(|at| time(at, now)));
    add("changed by", known.changed_by.clone());
    lines
}

fn state_json(state: &State) -> Map<String, Value> {
    // A key that expires some day is active until then; `expires_at` says when.
    let word = match state {
        State::Expiring(_) => State::Active.to_string(),
        other => other.to_string(),
    };
    let reason = match state {
        State::Dead(reason) => Value::from(reason.as_str()),
        State::Unknown(defect) => defect.to_string().into(),
        _ => Value::Null,
    };
    Map::from_iter([("state".to_owned(), word.into()), ("because".to_owned(), reason)])
}

fn add_facts(object: &mut Map<String, Value>, known: Option<&Facts>) {
    let default = Facts::default();
    let known = known.unwrap_or(&default);
    let revoked = known.revoked.as_ref();
    for (name, value) in [
        ("created_by", json!(known.created_by)),
        ("not_before", time_json(known.not_before)),
        ("expires_at", time_json(known.expires_at)),
        ("revoked_at", time_json(revoked.map(|revoked| revoked.at))),
        ("revoked_reason", json!(revoked.map(|revoked| &revoked.reason))),
        ("replaces", json!(known.replaces)),
        ("replaced_by", json!(known.replaced_by)),
        ("note", json!(known.note)),
        ("changed_at", time_json(known.changed_at)),
        ("changed_by", json!(known.changed_by)),
    ] {
        object.insert(name.to_owned(), value);
    }
}

fn defects_json(defects: &[Defect]) -> Value {
    defects.iter().map(|defect| Value::from(defect.to_string())).collect()
}

/// RFC 3339, or null.
pub(super) fn time_json(time: Option<Timestamp>) -> Value {
    time.map_or(Value::Null, |time| time.to_string().into())
}
