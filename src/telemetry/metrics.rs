//! Metrics in the words of the Go service; dashboards and alerts go on as they are.

mod cache;
mod clock;
mod family;
mod key_store;
mod load;
mod log;
mod process;
mod signing_keys;
mod traces;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{
    DEFAULT_BUCKETS, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};

use self::cache::KeyCache;
use self::clock::ClockJumps;
use self::key_store::Datastore;
use self::load::Load;
use self::log::Log;
use self::process::Process;
use self::signing_keys::SigningKeys;
use self::traces::TraceExports;
use crate::environment::{Moment, System, WatchedClock};
use crate::exchange::{Exchange, Reason, TokenFamily};
use crate::http::server::PortFigures;
use crate::key_store::cached::Cached;
use crate::key_store::datastore::DatastoreStore;
use crate::signer::Signer;
use crate::telemetry::logs::LineFigures;
use crate::telemetry::traces::TraceFigures;
use crate::version::{COMMIT, VERSION};

/// Everything that is counted. Clones share the same figures.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    rejections: IntCounterVec,
}

/// The two families of metrics that each token family has, and its part of the rejections.
pub struct FamilyMetrics {
    rejections: [IntCounter; Reason::ALL.len()],
    requests: IntCounterVec,
    durations: HistogramVec,
    usual: [OnceLock<Answers>; USUAL_CODES.len()],
}

/// The series of one status.
struct Answers {
    requests: IntCounter,
    durations: Histogram,
}

/// The statuses of a token route. Their series are looked up once each: with the first answer, with
/// which they appear.
const USUAL_CODES: [u16; 7] = [200, 400, 401, 408, 413, 500, 503];

/// The labels of the kept families. `method` is always `post`: nothing else reaches a handler.
const LABELS: [&str; 2] = ["code", "method"];

impl Metrics {
    /// # Errors
    /// When two metrics have the same name, which is a defect.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let rejections = IntCounterVec::new(
            Opts::new(
                "tokenexchange_rejections_total",
                "Requests for a token that got none, by token family and reason.",
            ),
            &["family", "reason"],
        )?;
        let build = IntGauge::with_opts(
            Opts::new("tokenexchange_build_info", "Always 1; the labels say which build this is.")
                .const_label("version", VERSION)
                .const_label("commit", COMMIT.unwrap_or("unknown")),
        )?;
        build.set(1);
        registry.register(Box::new(rejections.clone()))?;
        registry.register(Box::new(build))?;
        Ok(Self { registry, rejections })
    }

    /// The metrics of one token family, on the page from now on.
    ///
    /// # Errors
    /// When the family is asked for twice, which is a defect.
    pub fn family<F: TokenFamily>(&self) -> prometheus::Result<FamilyMetrics> {
        let name = F::NAME;
        let rejections =
            Reason::ALL.map(|why| self.rejections.with_label_values(&[name, why.as_str()]));
        let requests = IntCounterVec::new(
            Opts::new(
                format!("tokenexchange_{name}_requests_total"),
                format!("Total number of {name} token requests."),
            ),
            &LABELS,
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                format!("tokenexchange_{name}_request_duration_seconds"),
                format!("Duration of {name} token requests."),
            )
            .buckets(DEFAULT_BUCKETS.to_vec()),
            &LABELS,
        )?;
        self.registry.register(Box::new(requests.clone()))?;
        self.registry.register(Box::new(durations.clone()))?;
        Ok(FamilyMetrics { rejections, requests, durations, usual: Default::default() })
    }

    /// The signing keys, on the page from now on.
    ///
    /// # Errors
    /// When they are on it already, which is a defect.
    pub fn watch_signing_keys(&self, signer: Arc<Signer>) -> prometheus::Result<()> {
        self.registry.register(Box::new(SigningKeys::of(signer)?))
    }

    /// What there is to do, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_load(
        &self,
        exchange: &Exchange,
        signer: Arc<Signer>,
        port: Arc<PortFigures>,
    ) -> prometheus::Result<()> {
        self.registry.register(Box::new(Load::of(exchange.clone(), signer, port)?))
    }

    /// The way to Datastore, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_datastore(&self, store: Arc<DatastoreStore>) -> prometheus::Result<()> {
        self.registry.register(Box::new(Datastore::of(store)?))
    }

    /// The cache of keys, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_cache(&self, cache: Arc<Cached>) -> prometheus::Result<()> {
        self.registry.register(Box::new(KeyCache::of(cache)?))
    }

    /// What became of traces, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_traces(&self, figures: Arc<TraceFigures>) -> prometheus::Result<()> {
        self.registry.register(Box::new(TraceExports::of(figures)?))
    }

    /// The wall clock, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_clock(&self, clock: Arc<WatchedClock<System>>) -> prometheus::Result<()> {
        self.registry.register(Box::new(ClockJumps::of(clock)?))
    }

    /// The lines of the log, on the page from now on.
    ///
    /// # Errors
    /// When they are on it already, which is a defect.
    pub fn watch_log(&self, lines: Arc<LineFigures>) -> prometheus::Result<()> {
        self.registry.register(Box::new(Log::of(lines)?))
    }

    /// This process, which has been there since `started`, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_process(&self, started: Moment) -> prometheus::Result<()> {
        self.registry.register(Box::new(Process::since(started)?))
    }

    /// The page in the text format of Prometheus, version 0.0.4.
    ///
    /// # Errors
    /// When a metric cannot be written as text, which is a defect.
    pub fn page(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl FamilyMetrics {
    /// Counts a request that got no token.
    pub fn count_rejection(&self, why: Reason) {
        self.rejections[why as usize].inc();
    }

    /// Counts one answer and the time it took.
    pub fn record(&self, status: StatusCode, took: Duration) {
        let look_up = || self.answers(status);
        match USUAL_CODES.iter().position(|code| *code == status.as_u16()) {
            Some(place) => self.usual[place].get_or_init(look_up).count(took),
            None => look_up().count(took),
        }
    }

    fn answers(&self, status: StatusCode) -> Answers {
        let labels = [status.as_str(), "post"];
        Answers {
            requests: self.requests.with_label_values(&labels),
            durations: self.durations.with_label_values(&labels),
        }
    }
}

impl Answers {
    fn count(&self, took: Duration) {
        self.requests.inc();
        self.durations.observe(took.as_secs_f64());
    }
}
