//! Metrics in the words of the Go service; dashboards and alerts go on as they are.

mod cache;
mod clock;
mod family;
mod key_store;
mod load;
mod signing_keys;

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus::{
    DEFAULT_BUCKETS, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use self::cache::KeyCache;
use self::clock::ClockJumps;
use self::key_store::Datastore;
use self::load::Load;
use self::signing_keys::SigningKeys;
use crate::environment::{System, WatchedClock};
use crate::exchange::{Exchange, Refusal, TokenFamily};
use crate::http::server::PortFigures;
use crate::key_store::cached::Cached;
use crate::key_store::datastore::DatastoreStore;
use crate::signer::Signer;

/// Everything that is counted. Clones share the same figures.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    panics: IntCounter,
    refusals: IntCounterVec,
}

/// The two families of metrics that each token family has, and its part of the refusals.
#[derive(Clone)]
pub struct FamilyMetrics {
    name: &'static str,
    refusals: IntCounterVec,
    requests: IntCounterVec,
    durations: HistogramVec,
}

/// The labels of the kept families. `method` is always `post`: nothing else reaches a handler.
const LABELS: [&str; 2] = ["code", "method"];

impl Metrics {
    /// # Errors
    /// When two metrics have the same name, which is a defect.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let panics = IntCounter::new(
            "tokenexchange_panics_total",
            "Request handlers that panicked and were answered with 500; each is a defect.",
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "tokenexchange_refusals_total",
                "API keys that were refused with 401, by token family and reason.",
            ),
            &["family", "reason"],
        )?;
        registry.register(Box::new(panics.clone()))?;
        registry.register(Box::new(refusals.clone()))?;
        Ok(Self { registry, panics, refusals })
    }

    /// The metrics of one token family, on the page from now on.
    ///
    /// # Errors
    /// When the family is asked for twice, which is a defect.
    pub fn family<F: TokenFamily>(&self) -> prometheus::Result<FamilyMetrics> {
        let name = F::NAME;
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
        Ok(FamilyMetrics { name, refusals: self.refusals.clone(), requests, durations })
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

    /// The wall clock, on the page from now on.
    ///
    /// # Errors
    /// When it is on it already, which is a defect.
    pub fn watch_clock(&self, clock: Arc<WatchedClock<System>>) -> prometheus::Result<()> {
        self.registry.register(Box::new(ClockJumps::of(clock)?))
    }

    /// Counts a request handler that panicked.
    pub fn count_panic(&self) {
        self.panics.inc();
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
    /// Counts a refused key. The reasons are few: a series for each is no burden.
    pub fn count_refusal(&self, refusal: &Refusal) {
        self.refusals.with_label_values(&[self.name, refusal.reason()]).inc();
    }

    /// Counts one answer and the time it took.
    pub fn record(&self, status: StatusCode, took: Duration) {
        let labels = [status.as_str(), "post"];
        self.requests.with_label_values(&labels).inc();
        self.durations.with_label_values(&labels).observe(took.as_secs_f64());
    }
}
