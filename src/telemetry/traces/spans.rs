//! From a record to spans: a request, and below it parse, find with each attempt, verify, sign.
//!
//! Names and attributes are an interface, and told in README.md; those that OpenTelemetry has a name
//! for have that (semantic conventions for HTTP and databases, stable). No secret, no token and no
//! organization's key can get here: a record has none.

use std::time::{Duration, Instant, SystemTime};

use axum::http::Version;
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::new_span_id;
use crate::environment::Random;
use crate::exchange::{Asked, Reason, Report, Stage, Subject};
use crate::key_store::{Attempt, AttemptOutcome};
use crate::signer::Signature;
use crate::telemetry::audit::Record;

/// Draws the spans of an exchange that stands in a trace, the outermost first; `None` when there is
/// no randomness for them all.
pub(super) fn draw(
    record: &Record,
    scope: &InstrumentationScope,
    random: &dyn Random,
    spans: &mut Vec<SpanData>,
) -> Option<()> {
    let trace = record.trace?;
    let mut drawing = Drawing {
        trace_id: TraceId::from(trace.context.trace_id.get()),
        ended: record.begun + record.latency,
        ended_at: record.ended_at.into(),
        scope,
        random,
        spans,
    };
    let request = SpanId::from(trace.context.span_id.get());
    let caller = trace.parent.map(|parent| SpanId::from(parent.get()));
    drawing.request(request, caller, record);
    let report = &record.report;
    if let Some(parse) = &report.parse {
        drawing.stage(request, "parse", parse, Vec::new())?;
    }
    for asked in report.questions() {
        drawing.question(request, asked)?;
    }
    if let Some(sign) = &report.sign {
        let attributes = report.signature.as_ref().map(of_signature).unwrap_or_default();
        drawing.stage(request, "sign", sign, attributes)?;
    }
    Some(())
}

/// The spans of one request, as they come to be.
struct Drawing<'a> {
    trace_id: TraceId,
    /// The same moment by two clocks: all others are told by the first.
    ended: Instant,
    ended_at: SystemTime,
    scope: &'a InstrumentationScope,
    random: &'a dyn Random,
    spans: &'a mut Vec<SpanData>,
}

impl Drawing<'_> {
    fn request(&mut self, id: SpanId, caller: Option<SpanId>, record: &Record) {
        let path = format!("/v0/token/{}", record.family);
        let name = format!("POST {path}");
        let reason = record.rejected.map_or("granted", Reason::as_str);
        let mut attributes = vec![
            KeyValue::new("http.request.method", "POST"),
            KeyValue::new("http.route", path.clone()),
            KeyValue::new("url.path", path),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("token_exchange.request_id", record.request_id.as_str().to_owned()),
            KeyValue::new("token_exchange.family", record.family),
            KeyValue::new("token_exchange.decision", record.decision().as_str()),
            KeyValue::new("token_exchange.reason", reason),
        ];
        if let Some(status) = record.status {
            let status = i64::from(status.as_u16());
            attributes.push(KeyValue::new("http.response.status_code", status));
        }
        if let Some(version) = version_of(record.version) {
            attributes.push(KeyValue::new("network.protocol.version", version));
        }
        // What a caller did wrong is no error of the server (semantic conventions, HTTP spans).
        let is_error = record.status.is_none_or(|status| status.is_server_error());
        if is_error {
            attributes.push(KeyValue::new("error.type", reason));
        }
        add_report(&mut attributes, &record.report);
        let span = self.span(id, (record.begun, self.ended));
        self.spans.push(SpanData {
            parent_span_id: caller.unwrap_or(SpanId::INVALID),
            parent_span_is_remote: caller.is_some(),
            span_kind: SpanKind::Server,
            name: name.into(),
            attributes,
            status: if is_error { Status::error(reason) } else { Status::Unset },
            ..span
        });
    }

    fn question(&mut self, request: SpanId, asked: &Asked) -> Option<()> {
        let mut attributes = Vec::with_capacity(3);
        if let Some(source) = asked.source {
            attributes.push(KeyValue::new("token_exchange.source", source.name()));
        }
        if asked.attempts.is_joined() {
            attributes.push(KeyValue::new("token_exchange.joined", true));
        }
        let find = self.stage(request, "find", &asked.find, attributes)?;
        if asked.source.is_none() && asked.find.ended.is_some() {
            find.status = Status::error("unavailable");
        }
        let find = find.span_context.span_id();
        for attempt in asked.attempts.as_slice() {
            self.attempt(find, attempt)?;
        }
        if let Some(verify) = &asked.verify {
            self.stage(request, "verify", verify, Vec::new())?;
        }
        Some(())
    }

    fn attempt(&mut self, find: SpanId, attempt: &Attempt) -> Option<()> {
        let outcome = attempt.outcome.as_str();
        let mut attributes = vec![
            KeyValue::new("db.operation.name", attempt.operation),
            KeyValue::new("token_exchange.outcome", outcome),
        ];
        let failed = matches!(attempt.outcome, AttemptOutcome::Failed(_));
        if failed {
            attributes.push(KeyValue::new("error.type", outcome));
        }
        let span = self.span(self.new_id()?, (attempt.begun, attempt.ended));
        self.spans.push(SpanData {
            parent_span_id: find,
            span_kind: SpanKind::Client,
            name: "attempt".into(),
            attributes,
            status: if failed { Status::error(outcome) } else { Status::Unset },
            ..span
        });
        Some(())
    }

    /// One that was never over ended with its request.
    fn stage(
        &mut self,
        request: SpanId,
        name: &'static str,
        stage: &Stage,
        attributes: Vec<KeyValue>,
    ) -> Option<&mut SpanData> {
        let ended = stage.ended.unwrap_or(self.ended);
        let span = self.span(self.new_id()?, (stage.begun, ended));
        self.spans.push(SpanData {
            parent_span_id: request,
            name: name.into(),
            attributes,
            ..span
        });
        self.spans.last_mut()
    }

    fn new_id(&self) -> Option<SpanId> {
        new_span_id(self.random).map(|id| SpanId::from(id.get()))
    }

    fn span(&self, id: SpanId, (begun, ended): (Instant, Instant)) -> SpanData {
        let (sampled, state) = (TraceFlags::SAMPLED, TraceState::default());
        SpanData {
            span_context: SpanContext::new(self.trace_id, id, sampled, false, state),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "".into(),
            start_time: self.at(begun),
            end_time: self.at(ended),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn at(&self, instant: Instant) -> SystemTime {
        let before = self.ended.saturating_duration_since(instant);
        let after = instant.saturating_duration_since(self.ended);
        self.ended_at.checked_sub(before).unwrap_or(SystemTime::UNIX_EPOCH) + after
    }
}

fn add_report(attributes: &mut Vec<KeyValue>, report: &Report) {
    if let Some(source) = report.source() {
        attributes.push(KeyValue::new("token_exchange.source", source.name()));
    }
    match &report.subject {
        Some(Subject::IntegrationKey { integration, key }) => {
            let integration = integration.as_str().to_owned();
            attributes.push(KeyValue::new("token_exchange.integration", integration));
            attributes.push(KeyValue::new("token_exchange.key", key.as_str().to_owned()));
        }
        Some(Subject::OrganizationKey { hash, organization }) => {
            attributes.push(KeyValue::new("token_exchange.fingerprint", hash.fingerprint()));
            if let Some(organization) = organization {
                let organization = organization.to_string();
                attributes.push(KeyValue::new("token_exchange.organization", organization));
            }
        }
        None => {}
    }
    if let (Some(claimed), Some(_)) = (&report.claimed, &report.signature) {
        attributes.push(KeyValue::new("token_exchange.jti", claimed.jti.to_string()));
    }
}

fn of_signature(signature: &Signature) -> Vec<KeyValue> {
    let seconds = |time: Duration| time.as_secs_f64();
    vec![
        KeyValue::new("token_exchange.kid", signature.kid.to_string()),
        KeyValue::new("token_exchange.algorithm", signature.algorithm),
        KeyValue::new("token_exchange.signing_wait_seconds", seconds(signature.waited())),
        KeyValue::new("token_exchange.signing_seconds", seconds(signature.took())),
    ]
}

/// As the conventions write it.
fn version_of(version: Version) -> Option<&'static str> {
    match version {
        Version::HTTP_10 => Some("1.0"),
        Version::HTTP_11 => Some("1.1"),
        Version::HTTP_2 => Some("2"),
        _ => None,
    }
}
