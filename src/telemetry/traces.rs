//! Traces: spans of an exchange, made from its record when it is over, and sent by OTLP.
//!
//! Nothing is drawn on a request's path. The record is handed over, if the trace is sampled and
//! there is room in a queue; a task makes spans of it and exports them. A collector that is dead,
//! slow or silent costs spans, and nothing else. No secret gets here: records have none.
//!
//! ```text
//! context     where a request stands in its caller's trace, by its headers
//! sampler     which traces are recorded
//! spans       a record to spans
//! exporter    the queue's other end: batches, and the way to the collector
//! ```

mod context;
mod exporter;
mod sampler;
mod spans;

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, Uri};
use tokio::sync::mpsc;

pub use self::context::TraceContext;
pub use self::exporter::Exporter;
pub use self::sampler::{Ratio, Sampler};
use super::audit::Record;
use crate::environment::Random;

/// How traces are made and where they go.
#[derive(Debug, Clone)]
pub struct TracesConfig {
    /// `http://host:port` or `https://host:port`.
    pub endpoint: Uri,
    /// Sent with each export; they may hold credentials, and are marked so.
    pub headers: HeaderMap,
    /// One export, with all its retries.
    pub timeout: Duration,
    pub sampler: Sampler,
    /// What is said of this process with every span.
    pub resource: Vec<(String, String)>,
    pub batch: Batch,
}

/// How spans are gathered before they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Requests that wait for their spans to be made.
    pub queue: usize,
    /// Spans of one export, or a few more: those of one request stay together.
    pub spans: usize,
    /// The longest wait for more of them.
    pub delay: Duration,
}

impl Batch {
    /// The standard's.
    pub const DEFAULT: Self = Self { queue: 2048, spans: 512, delay: Duration::from_secs(5) };
}

/// What makes spans. Clones share one queue.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Recorder>>);

struct Recorder {
    sampler: Sampler,
    random: Arc<dyn Random>,
    queue: mpsc::Sender<Arc<Record>>,
    figures: Arc<TraceFigures>,
}

/// Where a request stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestTrace {
    /// The span of the request; its caller's, where no spans are made.
    pub context: TraceContext,
    /// The span that the request was made in.
    parent: Option<NonZeroU64>,
}

impl Traces {
    /// None are made; what callers say of theirs is still understood.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Makes traces, and sends them from a task of its own. Has to be called inside a Tokio runtime;
    /// the collector is not reached for before there is something to send.
    ///
    /// # Errors
    /// When there can be no connection to such an endpoint.
    pub fn start(
        config: TracesConfig,
        random: Arc<dyn Random>,
        figures: Arc<TraceFigures>,
    ) -> Result<(Self, Exporter), exporter::Unusable> {
        let (queue, queued) = mpsc::channel(config.batch.queue);
        let sampler = config.sampler;
        let exporter = Exporter::start(config, queued, Arc::clone(&random), Arc::clone(&figures))?;
        let recorder = Recorder { sampler, random, queue, figures };
        Ok((Self(Some(Arc::new(recorder))), exporter))
    }

    /// Where a request stands: in the trace of its caller, else at the beginning of one. `None` when
    /// it stands in none.
    #[must_use]
    pub fn enter(&self, headers: &HeaderMap) -> Option<RequestTrace> {
        let caller = TraceContext::of_headers(headers);
        let Some(recorder) = &self.0 else {
            return caller.map(|context| RequestTrace { context, parent: None });
        };
        // Without randomness there is no token either, and that is told elsewhere.
        recorder.enter(caller)
    }

    /// Takes down an exchange that is over, if its trace is sampled. Never waits: what finds no room
    /// is counted and dropped.
    pub fn record(&self, record: &Arc<Record>) {
        if let (Some(recorder), Some(trace)) = (&self.0, record.trace)
            && trace.context.sampled
            && recorder.queue.try_send(Arc::clone(record)).is_err()
        {
            recorder.figures.count_dropped();
        }
    }
}

impl Recorder {
    fn enter(&self, caller: Option<TraceContext>) -> Option<RequestTrace> {
        let trace_id = match caller {
            Some(caller) => caller.trace_id,
            None => new_trace_id(&*self.random)?,
        };
        let span_id = new_span_id(&*self.random)?;
        let sampled = self.sampler.samples(trace_id, caller.map(|caller| caller.sampled));
        Some(RequestTrace {
            context: TraceContext { trace_id, span_id, sampled },
            parent: caller.map(|caller| caller.span_id),
        })
    }
}

/// `None` without randomness.
fn new_trace_id(random: &dyn Random) -> Option<NonZeroU128> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).ok()?;
    NonZeroU128::new(u128::from_be_bytes(bytes))
}

/// `None` without randomness.
fn new_span_id(random: &dyn Random) -> Option<NonZeroU64> {
    let mut bytes = [0; 8];
    random.fill(&mut bytes).ok()?;
    NonZeroU64::new(u64::from_be_bytes(bytes))
}

/// What became of traces since the start: each counts once, however many spans it has.
#[derive(Debug, Default)]
pub struct TraceFigures {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl TraceFigures {
    /// Taken by the collector.
    #[must_use]
    pub fn exported(&self) -> u64 {
        self.exported.load(Ordering::Relaxed)
    }

    /// For want of room in the queue.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Not taken by the collector.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn count_exported(&self, traces: u64) {
        self.exported.fetch_add(traces, Ordering::Relaxed);
    }

    fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    fn count_failed(&self, traces: u64) {
        self.failed.fetch_add(traces, Ordering::Relaxed);
    }
}
