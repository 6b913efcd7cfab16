//! `serve`: from a checked configuration to a service, until a signal ends it.

use std::sync::Arc;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Outcome;
use crate::config::{LimitsConfig, OpenStore, Platform, ServeConfig, ServeFlags};
use crate::environment::{Clock as _, System, WatchedClock};
use crate::exchange::Exchange;
use crate::http::server::{self, Drain, Limits, ListenAddress, Listener, Schedule};
use crate::http::{metrics, service, too_late};
use crate::key_store::KeyStore;
use crate::key_store::cached::Cached;
use crate::key_store::datastore::DatastoreStore;
use crate::signer::{Lull, Signer};
use crate::telemetry::logs::{self, Log};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::{Exporter, TraceFigures, Traces};
use crate::version::version;

/// Files that are no connections of callers: the ports and the log, the runtime, the key file, the
/// store and the connections to it. A process at rest has some fifteen.
const OTHER_FILES: usize = 64;

pub(super) async fn run(flags: &ServeFlags, platform: &Platform, lull: &Lull) -> Outcome {
    let signals = Signals::of_a_service()?;
    let log = logs::start(flags.log(platform)?)?;
    let config = flags.resolve(platform)?;
    let service = Service::prepare(&config)?;
    lull.follow(&service.signer);
    let listeners = Listeners::bind(&config)?;
    service.run(listeners, signals, &log).await
}

/// Everything but the ports.
pub(super) struct Service {
    clock: Arc<WatchedClock<System>>,
    signer: Arc<Signer>,
    store: Arc<Cached>,
    exchange: Exchange,
    limits: Limits,
    /// What is there to watch over, when the keys are in Datastore.
    datastore: Option<Arc<DatastoreStore>>,
    traces: Traces,
    trace_figures: Arc<TraceFigures>,
    /// Of traces, when they are wanted.
    exporter: Option<Exporter>,
}

impl Service {
    /// Reads the signing keys, tries them, and prepares the store. A store that cannot be reached
    /// does not stop the start.
    pub(super) fn prepare(
        config: &ServeConfig,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let key_file = Arc::new(config.key_file.clone());
        let clock = Arc::new(WatchedClock::new(System));
        let LimitsConfig { signing, max_in_flight, max_connections } = config.limits;
        let interval = config.key_reload_interval;
        let signer = Signer::start_within(signing, key_file, interval, clock.clone())?;
        let signer = Arc::new(signer);
        let (store, datastore): (Arc<dyn KeyStore>, _) = match config.store.open_observed()? {
            OpenStore::Datastore(store) => (Arc::clone(&store) as _, Some(store)),
            OpenStore::Sqlite(store) => (store, None),
        };
        let store = Arc::new(Cached::new(store, config.cache, clock.clone()));
        let random = Arc::new(System);
        let exchange = Exchange::new(store.clone(), Arc::clone(&signer), clock.clone(), random)
            .at_most(max_in_flight)
            .allowing(config.clock_skew_allowance);
        let limits = Limits { connections: max_connections, ..Limits::PRODUCTION };
        let trace_figures = Arc::<TraceFigures>::default();
        let (traces, exporter) = match config.traces.clone() {
            Some(config) => {
                let (random, figures) = (Arc::new(System), Arc::clone(&trace_figures));
                let (traces, exporter) = Traces::start(config, random, figures)?;
                (traces, Some(exporter))
            }
            None => (Traces::off(), None),
        };
        Ok(Self {
            clock,
            signer,
            store,
            exchange,
            limits,
            datastore,
            traces,
            trace_figures,
            exporter,
        })
    }

    /// Serves until SIGTERM or SIGINT, then drains.
    pub(super) async fn run(self, listeners: Listeners, signals: Signals, log: &Log) -> Outcome {
        raise_open_file_limit(self.limits.connections);
        if let Err(error) = forbid_core_dumps() {
            tracing::warn!(%error, "a crash would leave the signing keys in a core dump");
        }
        let figures = Metrics::new()?;
        figures.watch_process(self.clock.moment())?;
        figures.watch_log(log.written.figures())?;
        figures.watch_traces(self.trace_figures)?;
        figures.watch_clock(self.clock)?;
        figures.watch_signing_keys(Arc::clone(&self.signer))?;
        figures.watch_cache(self.store)?;
        let port = listeners.service.figures();
        figures.watch_load(&self.exchange, Arc::clone(&self.signer), port)?;
        if let Some(datastore) = self.datastore {
            figures.watch_datastore(datastore)?;
        }
        let drain = Drain::new(Schedule::PRODUCTION);
        let signer = Arc::clone(&self.signer);
        let routes = service(&self.exchange, signer, &figures, &drain, &log.audit, &self.traces)?;
        let Signals { terminate, interrupt, hangup } = signals;
        tokio::spawn(drain_on_signal(drain.clone(), terminate, interrupt));
        if let Some(hangup) = hangup {
            tokio::spawn(reload_on_hangup(self.signer, hangup));
        }
        tracing::info!(
            address = %listeners.service.local_addr()?,
            metrics_address = %listeners.metrics.local_addr()?,
            version = version(),
            "listening"
        );
        tokio::try_join!(
            server::serve(listeners.service, routes, self.limits, drain.clone(), too_late),
            server::serve(listeners.metrics, metrics(figures), Limits::METRICS, drain, too_late),
        )?;
        if let Some(exporter) = self.exporter {
            exporter.finish().await;
        }
        tracing::info!("ended");
        Ok(())
    }
}

/// A connection for which there is no file is not lost: it waits for another to end.
fn raise_open_file_limit(connections: usize) {
    let needed = (connections + Limits::METRICS.connections + OTHER_FILES) as u64;
    match server::raise_open_file_limit() {
        Ok(Some(limit)) if limit < needed => tracing::warn!(
            limit,
            needed,
            "fewer files may be open than -max-connections needs: raise the hard limit of open \
             files, or lower -max-connections"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// A core dump would hold the signing keys and the API keys of the moment.
fn forbid_core_dumps() -> std::io::Result<()> {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    Ok(setrlimit(Resource::Core, none)?)
}

/// The two ports of a service, open.
pub(super) struct Listeners {
    pub(super) service: Listener,
    pub(super) metrics: Listener,
}

impl Listeners {
    pub(super) fn bind(config: &ServeConfig) -> Result<Self, String> {
        Ok(Self { service: bind(&config.address)?, metrics: bind(&config.metrics_address)? })
    }
}

pub(super) fn bind(address: &ListenAddress) -> Result<Listener, String> {
    Listener::bind(address).map_err(|error| cannot_listen(address, &error))
}

pub(super) fn cannot_listen(address: &ListenAddress, error: &std::io::Error) -> String {
    format!("cannot listen on {address}: {error}")
}

/// The signals that are listened to. They are caught from the moment this is made: one that comes
/// while the service still starts is heeded once it runs.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// SIGHUP reads the signing keys again.
    fn of_a_service() -> std::io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..Self::of_a_terminal()? })
    }

    /// SIGHUP means that the terminal is gone, and ends the process as it ends any other.
    pub(super) fn of_a_terminal() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
        })
    }
}

async fn drain_on_signal(drain: Drain, mut terminate: Signal, mut interrupt: Signal) {
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    tracing::warn!(signal = name, "shutting down: requests under way are finished");
    drain.start();
}

async fn reload_on_hangup(signer: Arc<Signer>, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        signer.reload().await;
    }
}
