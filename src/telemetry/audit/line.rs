//! A record in words: JSON for Google Cloud Logging, text for people.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use axum::http::Version;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::{Record, SCHEMA, TARGET};
use crate::exchange::{Decision, Reason, Report, Subject};
use crate::telemetry::logs::{ERROR_EVENT, Form, Origin, ServiceContext, coloured, severity};

/// Adds the line of a record.
pub(super) fn write(record: &Record, form: &Form, lines: &mut Vec<u8>) {
    let begins = lines.len();
    let outcome = match form {
        Form::Json(origin) => {
            serde_json::to_writer(&mut *lines, &Json { record, origin }).map_err(Into::into)
        }
        Form::Text { is_coloured } => text(record, *is_coloured, lines),
    };
    match outcome {
        Ok(()) => lines.push(b'\n'),
        // Nothing here can fail to be written to memory.
        Err(_) => lines.truncate(begins),
    }
}

/// One thing that a record says.
#[derive(Clone)]
enum Value<'a> {
    Word(&'a str),
    /// Any text, as somebody else chose it.
    Name(&'a str),
    Text(String),
    Number(u64),
    Time(Duration),
}

type Member<'a> = (&'static str, Value<'a>);

/// All that is known, in the order in which it is written.
fn members(record: &Record) -> Vec<Member<'_>> {
    let Report { subject, claimed, signature, .. } = &record.report;
    let reason = record.rejected.map_or("granted", Reason::as_str);
    let mut members = vec![
        ("decision", Value::Word(record.decision().as_str())),
        ("reason", Value::Word(reason)),
        ("family", Value::Word(record.family)),
        ("request_id", Value::Word(record.request_id.as_str())),
    ];
    if let Some(claimed) = claimed {
        members.push(("jti", Value::Text(claimed.jti.hyphenated().to_string())));
    }
    if let Some(signature) = signature {
        members.push(("kid", Value::Name(&signature.kid)));
        members.push(("algorithm", Value::Word(signature.algorithm)));
    }
    if let Some(claimed) = claimed {
        members.push(("issued_at", Value::Number(claimed.issued_at)));
        members.push(("expires_at", Value::Number(claimed.expires_at)));
        let lifetime = claimed.expires_at.saturating_sub(claimed.issued_at);
        members.push(("lifetime_seconds", Value::Number(lifetime)));
    }
    match subject {
        Some(Subject::IntegrationKey { integration, key }) => {
            members.push(("integration", Value::Name(integration.as_str())));
            members.push(("key", Value::Name(key.as_str())));
        }
        Some(Subject::OrganizationKey { hash, organization }) => {
            let organization = organization.as_deref().map(Value::Name);
            members.extend(organization.map(|name| ("organization", name)));
            members.push(("fingerprint", Value::Text(hash.fingerprint())));
        }
        None => {}
    }
    if let Some(source) = record.report.source() {
        members.push(("source", Value::Word(source.name())));
    }
    if let Some(finding) = record.report.finding() {
        members.push(("store_seconds", Value::Time(finding)));
    }
    if let Some(signature) = signature {
        members.push(("signing_wait_seconds", Value::Time(signature.waited())));
        members.push(("signing_seconds", Value::Time(signature.took())));
    }
    if let Some(cause) = &record.cause {
        members.push(("detail", Value::Text(cause.to_string())));
    }
    members
}

fn message(record: &Record) -> &'static str {
    match (record.decision(), record.rejected) {
        (Decision::Granted, _) => "a token was given",
        (Decision::Refused, _) if record.report.parse.is_some() => "a key was refused",
        (Decision::Refused, _) => "a request was refused",
        (_, Some(Reason::Audit)) => {
            "an exchange could not be recorded in time, and no token was given for it"
        }
        (Decision::Unavailable, _) => "it could not be found out whether a key is right",
        (Decision::Shed, _) => "an exchange was refused for want of time or room",
        (_, Some(Reason::Panic)) => {
            "a request handler panicked; this is a defect of the service, please report it"
        }
        (Decision::Failed, _) => "no token could be made for a key that is right",
        (Decision::Abandoned, _) => {
            "an exchange was cut off before its answer, since the service had to end"
        }
    }
}

fn protocol(version: Version) -> &'static str {
    if version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" }
}

struct Json<'a> {
    record: &'a Record,
    origin: &'a Origin,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { record, origin } = self;
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("severity", severity(record.level()))?;
        line.serialize_entry("time", &format_args!("{:.6}", record.ended_at))?;
        line.serialize_entry("target", TARGET)?;
        line.serialize_entry("message", message(record))?;
        // A panic was reported where it happened, with its place.
        if record.rejected == Some(Reason::Failed) {
            line.serialize_entry("@type", ERROR_EVENT)?;
            line.serialize_entry("serviceContext", &ServiceContext::of(origin))?;
        }
        line.serialize_entry("audit", &Members(record))?;
        line.serialize_entry("httpRequest", &HttpRequest(record))?;
        if let Some(trace) = record.trace.map(|trace| trace.context) {
            let name = match &origin.project {
                Some(project) => format!("projects/{project}/traces/{:032x}", trace.trace_id),
                None => format!("{:032x}", trace.trace_id),
            };
            line.serialize_entry("logging.googleapis.com/trace", &name)?;
            line.serialize_entry(
                "logging.googleapis.com/spanId",
                &format_args!("{:016x}", trace.span_id),
            )?;
            line.serialize_entry("logging.googleapis.com/trace_sampled", &trace.sampled)?;
        }
        line.serialize_entry("logging.googleapis.com/labels", &Labels(record))?;
        line.end()
    }
}

struct Members<'a>(&'a Record);

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", &SCHEMA)?;
        for (name, value) in members(self.0) {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// `HttpRequest` of Cloud Logging's `LogEntry`. The URL is the route's own: what a caller writes
/// there beside it can hold anything.
struct HttpRequest<'a>(&'a Record);

impl Serialize for HttpRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Record { family, version, status, latency, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("requestMethod", "POST")?;
        map.serialize_entry("requestUrl", &format_args!("/v0/token/{family}"))?;
        if let Some(status) = status {
            map.serialize_entry("status", &status.as_u16())?;
        }
        map.serialize_entry("latency", &format_args!("{:.6}s", latency.as_secs_f64()))?;
        map.serialize_entry("protocol", protocol(*version))?;
        map.end()
    }
}

/// By these a sink of Cloud Logging finds the records.
struct Labels<'a>(&'a Record);

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("audit", "1")?;
        map.serialize_entry("family", self.0.family)?;
        map.end()
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Word(text) | Self::Name(text) => serializer.serialize_str(text),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Time(time) => serializer.serialize_f64(in_seconds(*time)),
        }
    }
}

/// To the microsecond: what is below is noise.
fn in_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e6
}

fn text(record: &Record, is_coloured: bool, lines: &mut Vec<u8>) -> std::io::Result<()> {
    let at = record.ended_at;
    write!(lines, "{at:.6} {} {}", coloured(record.level(), is_coloured), message(record))?;
    for (name, value) in members(record) {
        write!(lines, " {name}={value}")?;
    }
    if let Some(status) = record.status {
        write!(lines, " status={}", status.as_u16())?;
    }
    write!(lines, " latency={:.6}s", record.latency.as_secs_f64())
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            // It may hold any character, also those that a terminal obeys.
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(time) => write!(f, "{}", in_seconds(*time)),
        }
    }
}
