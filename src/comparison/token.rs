//! Two tokens for one API key: both have to verify by both key sets, and to say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Difference;
use crate::verifier::{CompactToken, Outcome, PublicKeySet, signature};

/// The name of this case.
const CASE: &str = "a right API key";
/// Claims that differ from token to token.
const VARYING: [&str; 4] = ["exp", "iat", "jti", "nbf"];

/// A token, and the key set of the service that gave it.
#[derive(Debug)]
pub struct Presented {
    pub token: CompactToken,
    pub keys: PublicKeySet,
}

/// Compares what two services gave for the same key.
#[must_use]
pub fn compare_tokens(reference: &Presented, candidate: &Presented) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (part, keys) in [
        ("signature, by the key set of the reference", &reference.keys),
        ("signature, by the key set of the candidate", &candidate.keys),
    ] {
        let [one, other] =
            [reference, candidate].map(|presented| signature(&presented.token, Some(keys)));
        if [&one, &other].iter().any(|check| check.outcome != Outcome::Passed) {
            differences.push(Difference::undeclared(CASE, part, one.words, other.words));
        }
    }
    let (one, other) = (&reference.token, &candidate.token);
    // The kid follows from the signing key; by which both were verified above.
    let header = |token: &CompactToken| {
        let mut header = token.header().clone();
        header.remove("kid");
        Value::Object(header)
    };
    if header(one) != header(other) {
        let [one, other] = [one, other].map(|token| header(token).to_string());
        differences.push(Difference::undeclared(CASE, "header", one, other));
    }
    let names: BTreeSet<&String> = one.claims().keys().chain(other.claims().keys()).collect();
    for name in names.into_iter().filter(|name| !VARYING.contains(&name.as_str())) {
        let [one, other] = [one, other].map(|token| shown(token.claims().get(name)));
        if one != other {
            differences.push(Difference::undeclared(CASE, &format!("claim {name}"), one, other));
        }
    }
    for name in VARYING {
        let [one, other] = [one, other].map(|token| kind(token.claims().get(name)));
        if one != other {
            differences.push(Difference::undeclared(CASE, &format!("claim {name}"), one, other));
        }
    }
    let [one, other] = [one, other].map(lifetime);
    if one != other {
        differences.push(Difference::undeclared(CASE, "lifetime", one, other));
    }
    differences
}

fn shown(claim: Option<&Value>) -> String {
    claim.map_or_else(|| "-".to_owned(), Value::to_string)
}

/// What varies has to be of one type at least.
fn kind(claim: Option<&Value>) -> &'static str {
    match claim {
        None => "-",
        Some(Value::Number(number)) if number.is_u64() => "a whole number",
        Some(Value::String(_)) => "a text",
        Some(_) => "something else",
    }
}

fn lifetime(token: &CompactToken) -> String {
    let times = token.times();
    match (times.issued, times.expires) {
        (Some(issued), Some(expires)) => format!("{} s", expires - issued),
        _ => "-".to_owned(),
    }
}
