//! A record in words: JSON for Google Cloud Logging, text for people.

use std::fmt;
use std::io::Write as _;
use std::time::Duration;

use axum::http::Version;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use uuid::Uuid;

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
enum Value<'a> {
    Word(&'a str),
    /// Any text, as somebody else chose it.
    Name(&'a str),
    Id(Uuid),
    Number(u64),
    Time(Duration),
}

/// Tells all that is known, in the order in which it is written.
fn tell<E>(
    record: &Record,
    mut member: impl FnMut(&'static str, Value<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Report { subject, claimed, signature, .. } = &record.report;
    member("decision", Value::Word(record.decision().as_str()))?;
    member("reason", Value::Word(record.rejected.map_or("granted", Reason::as_str)))?;
    member("family", Value::Word(record.family))?;
    member("request_id", Value::Word(record.request_id.as_str()))?;
    if let Some(claimed) = claimed {
        member("jti", Value::Id(claimed.jti))?;
    }
    if let Some(signature) = signature {
        member("kid", Value::Name(&signature.kid))?;
        member("algorithm", Value::Word(signature.algorithm))?;
    }
    if let Some(claimed) = claimed {
        member("issued_at", Value::Number(claimed.issued_at))?;
        member("expires_at", Value::Number(claimed.expires_at))?;
        let lifetime = claimed.expires_at.saturating_sub(claimed.issued_at);
        member("lifetime_seconds", Value::Number(lifetime))?;
    }
    match subject {
        Some(Subject::IntegrationKey { integration, key }) => {
            member("integration", Value::Name(integration.as_str()))?;
            member("key", Value::Name(key.as_str()))?;
        }
        Some(Subject::OrganizationKey { hash, organization }) => {
            if let Some(name) = organization {
                member("organization", Value::Name(name))?;
            }
            member("fingerprint", Value::Word(&hash.fingerprint()))?;
        }
        None => {}
    }
    if let Some(source) = record.report.source() {
        member("source", Value::Word(source.name()))?;
    }
    if let Some(finding) = record.report.finding() {
        member("store_seconds", Value::Time(finding))?;
    }
    if let Some(signature) = signature {
        member("signing_wait_seconds", Value::Time(signature.waited()))?;
        member("signing_seconds", Value::Time(signature.took()))?;
    }
    if let Some(cause) = &record.cause {
        member("detail", Value::Name(&cause.to_string()))?;
    }
    Ok(())
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
        tell(self.0, |name, value| map.serialize_entry(name, &value))?;
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
            Self::Id(id) => {
                serializer.serialize_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
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
    tell(record, |name, value| write!(lines, " {name}={value}"))?;
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
            Self::Id(id) => write!(f, "{id}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Time(time) => write!(f, "{}", in_seconds(*time)),
        }
    }
}
