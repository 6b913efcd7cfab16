//! The other end of the queue: gathers spans, and brings them to the collector.
//!
//! One export at a time, so that a collector in trouble is not pressed; what comes meanwhile waits
//! in the queue, or is dropped there.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Batch, TraceFigures, TracesConfig, spans};
use crate::environment::Random;
use crate::telemetry::audit::Record;
use crate::version::version;

/// How long the last spans may take at the end of the process: what its deadline of eight seconds
/// leaves after the drain and before the last lines of the log.
const LAST_SPANS_WITHIN: Duration = Duration::from_millis(300);
/// Between two lines of the log about exports that fail: a collector may be away for hours, and it
/// costs no request.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// An endpoint to which there can be no connection.
#[derive(Debug, thiserror::Error)]
#[error("traces cannot be exported: {0}")]
pub struct Unusable(String);

/// The task that exports.
#[must_use = "what is still to be sent is lost"]
pub struct Exporter {
    task: JoinHandle<()>,
    ending: CancellationToken,
}

impl Exporter {
    pub(super) fn start(
        config: TracesConfig,
        queue: mpsc::Receiver<Arc<Record>>,
        random: Arc<dyn Random>,
        figures: Arc<TraceFigures>,
    ) -> Result<Self, Unusable> {
        let TracesConfig { endpoint, headers, timeout, resource, batch, .. } = config;
        let exporter = span_exporter(&endpoint.to_string(), headers, timeout, resource)?;
        let ending = CancellationToken::new();
        let worker = Worker {
            queue,
            exporter,
            timeout,
            batch,
            scope: InstrumentationScope::builder("token-exchange").with_version(version()).build(),
            random,
            figures,
            ending: ending.clone(),
            failures: FailureLog::default(),
        };
        Ok(Self { task: tokio::spawn(worker.run()), ending })
    }

    /// Sends what there is, and ends. Takes no longer than a moment, whatever the collector does.
    pub async fn finish(self) {
        self.ending.cancel();
        let abort = self.task.abort_handle();
        if timeout(LAST_SPANS_WITHIN, self.task).await.is_err() {
            abort.abort();
            tracing::warn!("the last spans were lost: the collector did not take them in time");
        }
    }
}

/// The library reads `OTEL_EXPORTER_OTLP_*` too; what is given here goes before it, but for headers,
/// which it reads as `config` does.
fn span_exporter(
    endpoint: &str,
    headers: HeaderMap,
    timeout: Duration,
    resource: Vec<(String, String)>,
) -> Result<SpanExporter, Unusable> {
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(timeout)
        .with_metadata(MetadataMap::from_headers(headers));
    if endpoint.starts_with("https:") {
        exporter = exporter.with_tls_config(ClientTlsConfig::new().with_webpki_roots());
    }
    let mut exporter = exporter.build().map_err(|error| Unusable(error.to_string()))?;
    let attributes = resource.into_iter().map(|(name, value)| KeyValue::new(name, value));
    exporter.set_resource(&Resource::builder_empty().with_attributes(attributes).build());
    Ok(exporter)
}

struct Worker {
    queue: mpsc::Receiver<Arc<Record>>,
    exporter: SpanExporter,
    timeout: Duration,
    batch: Batch,
    scope: InstrumentationScope,
    random: Arc<dyn Random>,
    figures: Arc<TraceFigures>,
    ending: CancellationToken,
    failures: FailureLog,
}

impl Worker {
    async fn run(mut self) {
        while let Some(first) = self.next().await {
            let mut spans = Vec::with_capacity(self.batch.spans);
            let mut traces = 0;
            let due = Instant::now() + self.batch.delay;
            let mut next = Some(first);
            while let Some(record) = next {
                traces += 1;
                spans::draw(&record, &self.scope, &*self.random, &mut spans);
                let is_full = spans.len() >= self.batch.spans;
                next =
                    if is_full { None } else { timeout_at(due, self.next()).await.ok().flatten() };
            }
            self.export(spans, traces).await;
        }
    }

    /// The next record; at the end those that wait, and then none.
    async fn next(&mut self) -> Option<Arc<Record>> {
        tokio::select! {
            biased;
            () = self.ending.cancelled(), if !self.queue.is_closed() => {
                self.queue.close();
                self.queue.recv().await
            }
            next = self.queue.recv() => next,
        }
    }

    async fn export(&mut self, spans: Vec<SpanData>, traces: u64) {
        // The library bounds each attempt, but not the wait for a connection.
        let outcome = timeout(self.timeout, self.exporter.export(spans)).await;
        let why = match outcome {
            Ok(Ok(())) => return self.figures.count_exported(traces),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:?}", self.timeout),
        };
        self.figures.count_failed(traces);
        self.failures.tell(traces, &why);
    }
}

/// A line of the log now and then, however many exports fail.
#[derive(Default)]
struct FailureLog {
    told_at: Option<Instant>,
    untold: u64,
}

impl FailureLog {
    fn tell(&mut self, traces: u64, cause: &str) {
        self.untold += traces;
        if self.told_at.is_none_or(|told_at| told_at.elapsed() >= TELL_EVERY) {
            self.told_at = Some(Instant::now());
            let lost = std::mem::take(&mut self.untold);
            tracing::warn!(
                lost,
                cause,
                "traces cannot be exported: the collector does not take them"
            );
        }
    }
}
