//! The service in this process, for what no real one has: stores, clocks and logs of a test's own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use token_exchange::environment::{Clock, System};
use token_exchange::exchange::Exchange;
use token_exchange::http::server::{self, Drain, Limits, Listener, Schedule};
use token_exchange::http::{metrics, service, too_late};
use token_exchange::key_store::KeyStore;
use token_exchange::signer::{KeyFile, Signer, SigningLimits};
use token_exchange::telemetry::audit::Audit;
use token_exchange::telemetry::metrics::Metrics;
use token_exchange::telemetry::traces::Traces;
use tokio::task::JoinHandle;

pub const RS256: &str = "signing-key.jwk";
pub const EDDSA: &str = "keys/eddsa.jwk";

/// What need not be as it is in production.
pub struct Setting {
    /// Among the recorded ones.
    pub key_file: &'static str,
    /// By which tokens are signed.
    pub clock: Arc<dyn Clock>,
    pub signing: SigningLimits,
    pub max_in_flight: usize,
    pub limits: Limits,
    pub schedule: Schedule,
    pub audit: Audit,
    pub traces: Traces,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            key_file: RS256,
            clock: Arc::new(System),
            signing: SigningLimits::default(),
            max_in_flight: 2048,
            limits: Limits::PRODUCTION,
            schedule: Schedule::PRODUCTION,
            audit: Audit::default(),
            traces: Traces::off(),
        }
    }
}

/// A service on ports of its own. It ends with its runtime.
pub struct InProcess {
    pub address: String,
    pub metrics_address: String,
    pub drain: Drain,
    /// What answers on the service port.
    pub server: JoinHandle<io::Result<()>>,
}

impl InProcess {
    /// Starts it on the runtime that this is called on.
    pub fn serve(store: Arc<dyn KeyStore>, setting: Setting) -> Self {
        let Setting { key_file, clock, signing, max_in_flight, limits, schedule, audit, traces } =
            setting;
        let key_file = format!("{}/tests/golden/{key_file}", env!("CARGO_MANIFEST_DIR"));
        let source = Arc::new(KeyFile::at(key_file));
        let signer = Signer::start_within(signing, source, Duration::from_secs(30), clock);
        let signer = Arc::new(signer.unwrap());
        let exchange = Exchange::new(store, signer.clone(), Arc::new(System), Arc::new(System))
            .at_most(max_in_flight);
        let figures = Metrics::new().unwrap();
        let drain = Drain::new(schedule);
        let routes = service(&exchange, signer.clone(), &figures, &drain, &audit, &traces).unwrap();
        let listen = || Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let (port, metrics_port) = (listen(), listen());
        let address = |of: &Listener| of.local_addr().unwrap().to_string();
        let (address, metrics_address) = (address(&port), address(&metrics_port));
        figures.watch_load(&exchange, signer, port.figures()).unwrap();
        let server = tokio::spawn(server::serve(port, routes, limits, drain.clone(), too_late));
        // It goes on when the other ends, so that it can be looked at.
        let goes_on = Drain::new(Schedule::PRODUCTION);
        let page = metrics(figures);
        tokio::spawn(server::serve(metrics_port, page, Limits::PRODUCTION, goes_on, too_late));
        Self { address, metrics_address, drain, server }
    }
}
