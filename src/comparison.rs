//! Whether two services answer alike: harmless requests, their two answers, and what differs.
//!
//! The requests are recorded ones of the Go service (`tests/golden`), those that an ordinary client
//! can send through any front end and that no key of anybody is in. A recording also says where
//! this service differs on purpose; there is no other list of exceptions.
//!
//! What may not enter: HTTP clients, printing, API keys.

mod case;
mod token;

use std::collections::BTreeSet;

pub use self::case::{Body, Case, cases};
pub use self::token::{Presented, compare_tokens};

/// The headers that are compared (`tests/golden/README.md`).
pub const COMPARED_HEADERS: [&str; 6] = [
    "content-type",
    "cache-control",
    "access-control-allow-origin",
    "x-content-type-options",
    "location",
    "allow",
];

/// The most of a body that a difference shows, in characters.
const MAX_SHOWN: usize = 60;

/// A whole answer; names of headers are in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Something in which two answers differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the case.
    pub case: String,
    /// The part of the answer.
    pub part: String,
    pub reference: String,
    pub candidate: String,
    /// Why this is meant to be so, if it is.
    pub declared: Option<String>,
}

impl Difference {
    pub(crate) fn undeclared(
        case: &str,
        part: &str,
        reference: impl Into<String>,
        candidate: impl Into<String>,
    ) -> Self {
        Self {
            case: case.to_owned(),
            part: part.to_owned(),
            reference: reference.into(),
            candidate: candidate.into(),
            declared: None,
        }
    }
}

/// Why a header of the candidate may be there that the reference lacks.
const MORE_IS_FREE: &str = "more headers are free";
/// Why `Allow` may have more methods.
const MORE_METHODS_ARE_FREE: &str = "more methods may be named";
/// Why the key sets may differ in this member.
const USE_IS_WRITTEN: &str = "a key whose file has no use is published with \"use\":\"sig\"";

/// Compares the answers of the reference (the Go service) and of the candidate.
#[must_use]
pub fn compare(case: &Case, reference: &Answer, candidate: &Answer) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut found = |part: &str, one: String, other: String, declared: Option<&str>| {
        let mut difference = Difference::undeclared(case.name(), part, one, other);
        difference.declared = declared.map(str::to_owned);
        differences.push(difference);
    };
    if reference.status != candidate.status {
        found("status", reference.status.to_string(), candidate.status.to_string(), None);
    }
    for name in COMPARED_HEADERS {
        let (one, other) = (reference.header(name), candidate.header(name));
        if one == other {
            continue;
        }
        let declared = match (one, other) {
            (None, Some(_)) => Some(MORE_IS_FREE),
            (Some(one), Some(other)) if name == "allow" && methods(other) == methods(one) => {
                continue;
            }
            (Some(one), Some(other))
                if name == "allow" && methods(other).is_superset(&methods(one)) =>
            {
                Some(MORE_METHODS_ARE_FREE)
            }
            _ => None,
        };
        let shown = |value: Option<&str>| value.unwrap_or("-").to_owned();
        found(name, shown(one), shown(other), declared);
    }
    if reference.body != candidate.body {
        let declared = is_key_set_with_use(reference, candidate).then_some(USE_IS_WRITTEN);
        let (one, other) = excerpts(&reference.body, &candidate.body);
        found("body", one, other, declared);
    }
    if let Some(why) = case.declares(reference, candidate) {
        for difference in &mut differences {
            difference.declared.get_or_insert_with(|| why.to_owned());
        }
    }
    differences
}

fn methods(allow: &str) -> BTreeSet<&str> {
    allow.split(',').map(str::trim).collect()
}

/// Whether two bodies are key sets, equal but for a `use` that the reference leaves out.
fn is_key_set_with_use(reference: &Answer, candidate: &Answer) -> bool {
    let keys = |answer: &Answer| -> Option<Vec<serde_json::Map<String, serde_json::Value>>> {
        let mut set: serde_json::Map<_, _> = serde_json::from_slice(&answer.body).ok()?;
        serde_json::from_value(set.remove("keys")?).ok()
    };
    let (Some(mut one), Some(other)) = (keys(reference), keys(candidate)) else { return false };
    for key in &mut one {
        key.entry("use").or_insert_with(|| "sig".into());
    }
    one == other
}

/// Both bodies from shortly before where they part.
fn excerpts(one: &[u8], other: &[u8]) -> (String, String) {
    const BEFORE: usize = 10;
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let from = same.saturating_sub(BEFORE);
    let shown = |body: &[u8]| {
        let text = String::from_utf8_lossy(body.get(from..).unwrap_or_default()).into_owned();
        let more = text.chars().nth(MAX_SHOWN).map_or("", |_| "…");
        let text: String = text.chars().take(MAX_SHOWN).collect();
        let before = if from > 0 { "…" } else { "" };
        format!("{} bytes: {before}{text}{more}", body.len())
    };
    (shown(one), shown(other))
}
