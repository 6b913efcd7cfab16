//! A stand-in for the collector of traces: takes every export, and shows what it was sent.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio::runtime::Runtime;

use crate::stores::grpc::{Call, StandIn, reply};
use crate::support::eventually::eventually;
use crate::support::service::Launch;

const WITHIN: Duration = Duration::from_secs(30);

pub struct Collector {
    server: StandIn,
    // Its tasks end when it is dropped.
    _runtime: Runtime,
}

impl Collector {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let server =
            runtime.block_on(StandIn::start(|_, _| reply(&ExportTraceServiceResponse::default())));
        Self { server, _runtime: runtime }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The headers of each export.
    pub fn headers(&self) -> Vec<HeaderMap> {
        self.server.calls().into_iter().map(|call| call.headers).collect()
    }

    /// All that was sent, for who looks for something in it.
    pub fn quoted(&self) -> String {
        self.server.calls().iter().map(Call::quoted).collect()
    }

    /// The traces so far, in the order of their requests.
    pub fn traces(&self) -> Vec<Trace> {
        let exports = self.exports();
        let scopes = exports
            .into_iter()
            .flat_map(|export| export.resource_spans)
            .flat_map(|resource| resource.scope_spans);
        let spans: Vec<Span> = scopes.flat_map(|scope| scope.spans).collect();
        let requests = spans.iter().filter(|span| span.kind() == SpanKind::Server);
        requests.map(|request| Trace::of(request, &spans)).collect()
    }

    /// What is said of the process with each export.
    pub fn resources(&self) -> Vec<BTreeMap<String, String>> {
        let resources = self.exports().into_iter().flat_map(|export| export.resource_spans);
        resources
            .filter_map(|resource| resource.resource)
            .map(|resource| attributes_of(&resource.attributes))
            .collect()
    }

    /// Waits for so many traces; there must not be more.
    pub fn wait_for(&self, traces: usize) -> Vec<Trace> {
        let found = eventually("the traces arrive", WITHIN, || {
            let found = self.traces();
            (found.len() >= traces).then_some(found)
        });
        assert_eq!(found.len(), traces, "{found:#?}");
        found
    }

    fn exports(&self) -> Vec<ExportTraceServiceRequest> {
        self.server.calls().iter().map(Call::message).collect()
    }
}

impl Launch {
    /// Sends its traces there, soon.
    #[must_use]
    pub fn tracing_to(self, endpoint: &str) -> Self {
        self.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "20")
    }
}

/// The spans of one request.
#[derive(Debug, Clone)]
pub struct Trace {
    /// 32 hex digits.
    pub id: String,
    /// The span that the request was made in: 16 hex digits, or nothing.
    pub caller: String,
    pub request: Node,
}

/// A span, and those below it in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct Node {
    /// 16 hex digits.
    pub id: String,
    pub name: String,
    pub kind: SpanKind,
    /// The words of an error.
    pub error: Option<String>,
    pub attributes: BTreeMap<String, String>,
    pub begins: u64,
    pub ends: u64,
    pub below: Vec<Node>,
}

impl Trace {
    fn of(request: &Span, all: &[Span]) -> Self {
        let trace: Vec<&Span> =
            all.iter().filter(|span| span.trace_id == request.trace_id).collect();
        let request_node = Node::of(request, &trace);
        Self {
            id: hex::encode(&request.trace_id),
            caller: hex::encode(&request.parent_span_id),
            request: request_node,
        }
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.request.attributes.get(name).map(String::as_str)
    }

    /// The tree as text: a line a span, with what is the same in every run.
    pub fn drawn(&self) -> String {
        let mut text = String::new();
        self.request.draw(0, &mut text);
        text
    }
}

impl Node {
    fn of(span: &Span, trace: &[&Span]) -> Self {
        let below = trace.iter().filter(|below| below.parent_span_id == span.span_id);
        let status = span.status.clone().unwrap_or_default();
        Self {
            id: hex::encode(&span.span_id),
            name: span.name.clone(),
            kind: span.kind(),
            error: (status.code() == StatusCode::Error).then_some(status.message),
            attributes: attributes_of(&span.attributes),
            begins: span.start_time_unix_nano,
            ends: span.end_time_unix_nano,
            below: below.map(|below| Self::of(below, trace)).collect(),
        }
    }

    fn draw(&self, depth: usize, text: &mut String) {
        let varies = ["_seconds", ".jti", ".request_id", ".key", ".fingerprint"];
        text.extend([&"  ".repeat(depth), self.name.as_str()]);
        for (name, value) in &self.attributes {
            let short = name.strip_prefix("token_exchange.").unwrap_or(name);
            let varies = varies.iter().any(|end| name.ends_with(end));
            text.extend([" ", short]);
            if !varies {
                text.extend(["=", value]);
            }
        }
        if let Some(error) = &self.error {
            text.extend([" !", error]);
        }
        text.push('\n');
        self.below.iter().for_each(|below| below.draw(depth + 1, text));
    }
}

fn attributes_of(
    attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue],
) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(is) => is.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => panic!("{other:?} is promised nowhere"),
    };
    let pairs = attributes.iter().map(|pair| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        (pair.key.clone(), text(value.expect("an attribute has a value")))
    });
    pairs.collect()
}
