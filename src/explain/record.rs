//! One record of an exchange, as the service prints it or as Google Cloud Logging gives it back.
//!
//! Cloud Logging moves some members to other places, and its numbers may come back as floating
//! point. Members that are not known are left out; those that are not known here are skipped.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The version of the record that is known here.
pub const SCHEMA: u32 = 1;

/// What stands in the `audit` member of a record (`docs/audit.md`). Numbers are as JSON has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Audit {
    /// `granted`, `refused`, `unavailable`, `shed` or `failed`.
    pub decision: String,
    /// `granted`, or why there is no token, in a word.
    pub reason: String,
    pub family: Option<String>,
    pub request_id: Option<String>,
    pub jti: Option<String>,
    pub kid: Option<String>,
    pub algorithm: Option<String>,
    /// Seconds since the Unix epoch.
    pub issued_at: Option<f64>,
    /// Seconds since the Unix epoch.
    pub expires_at: Option<f64>,
    pub lifetime_seconds: Option<f64>,
    pub integration: Option<String>,
    pub key: Option<String>,
    pub organization: Option<String>,
    pub fingerprint: Option<String>,
    /// What the answer of the key store rested on.
    pub source: Option<String>,
    pub store_seconds: Option<f64>,
    pub signing_wait_seconds: Option<f64>,
    pub signing_seconds: Option<f64>,
    /// The cause, for the operator.
    pub detail: Option<String>,
}

/// The request as the platform shows it (`httpRequest` of a Cloud Logging entry).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Request {
    pub request_method: Option<String>,
    pub request_url: Option<String>,
    pub status: Option<f64>,
    /// Seconds, with an `s` after them.
    pub latency: Option<String>,
}

/// A record, and where its line stood.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub time: Option<Timestamp>,
    pub audit: Audit,
    pub request: Request,
    /// The id of its trace, without the project's name.
    pub trace: Option<String>,
}

/// What a piece of a log turned out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    Record(Box<Record>),
    /// A record of another schema; the ids that it has in the places of this one.
    OtherSchema {
        schema: u64,
        ids: Vec<String>,
    },
    /// A record without the form of one.
    Unreadable,
    /// So many lines found no room.
    Dropped(u64),
    Other,
    NotJson,
}

impl Record {
    /// Whether it is of the request with this id, or with this `jti` on its token.
    #[must_use]
    pub fn is_of(&self, id: &str) -> bool {
        let is = |known: &Option<String>| known.as_deref() == Some(id);
        is(&self.audit.request_id) || is(&self.audit.jti)
    }
}

impl Audit {
    /// What the answer of the key store rested on, in words.
    #[must_use]
    pub fn rests_on(&self) -> Option<&str> {
        Some(match self.source.as_deref()? {
            "store" => "the key store, which was asked",
            "fresh" => "memory",
            "refreshing" => "memory, while the key store was asked again",
            "stale" => "memory past its time, because the key store did not answer",
            "absence" => "memory of two seconds that there is no such key",
            other => other,
        })
    }
}

pub(super) fn read(piece: &[u8]) -> Reading {
    let Ok(value) = serde_json::from_slice::<Value>(piece) else { return Reading::NotJson };
    let Value::Object(entry) = value else { return Reading::Other };
    let payload = entry.get("jsonPayload").and_then(Value::as_object).unwrap_or(&entry);
    let Some(audit) = payload.get("audit") else { return other(payload) };
    let Some(schema) = audit.get("schema").and_then(whole) else { return Reading::Unreadable };
    if schema != u64::from(SCHEMA) {
        let id = |name| audit.get(name).and_then(Value::as_str).map(str::to_owned);
        return Reading::OtherSchema {
            schema,
            ids: ["request_id", "jti"].into_iter().filter_map(id).collect(),
        };
    }
    let Ok(audit) = Audit::deserialize(audit) else { return Reading::Unreadable };
    let request = entry.get("httpRequest").and_then(|request| Request::deserialize(request).ok());
    let trace = text(&entry, &["logging.googleapis.com/trace", "trace"]);
    Reading::Record(Box::new(Record {
        time: text(&entry, &["time", "timestamp"]).and_then(|time| time.parse().ok()),
        audit,
        request: request.unwrap_or_default(),
        trace: trace.map(|name| name.rsplit('/').next().unwrap_or_default().to_owned()),
    }))
}

/// A line of the service that is no record may still say that records are missing.
fn other(payload: &Map<String, Value>) -> Reading {
    let message = payload.get("message").and_then(Value::as_str).unwrap_or_default();
    match payload.get("lines").and_then(whole) {
        Some(lines) if message.contains("dropped") => Reading::Dropped(lines),
        _ => Reading::Other,
    }
}

fn text<'a>(entry: &'a Map<String, Value>, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| entry.get(*name)?.as_str())
}

/// A whole number, however it is written.
fn whole(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0)?;
    // Saturates, and is exact as far as JSON is everywhere (RFC 8259, section 6).
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "see above")]
    Some(number as u64)
}
