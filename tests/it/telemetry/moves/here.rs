//! A service in this process, for what no real one has: stores that panic or say nothing, clocks on
//! which signing fails, a drain that is over soon.

use std::sync::Arc;
use std::time::Duration;

use token_exchange::environment::{Clock, System};
use token_exchange::exchange::Exchange;
use token_exchange::http::server::{self, Drain, Limits, Listener, Schedule};
use token_exchange::http::{metrics, service, too_late};
use token_exchange::key_store::KeyStore;
use token_exchange::signer::{KeyFile, Signer};
use token_exchange::telemetry::audit::Audit;
use token_exchange::telemetry::metrics::Metrics;
use token_exchange::telemetry::traces::Traces;
use tokio::runtime::Runtime;

use super::stage::{AT_REST, KEYS, Stage, WITHIN};
use crate::support::http_client::{Connection, Request};

/// It ends when it is dropped.
pub struct Here {
    address: String,
    metrics_address: String,
    pub drain: Drain,
    // Its tasks end with it.
    _runtime: Runtime,
}

/// What is not as usual.
pub struct Rules {
    pub schedule: Schedule,
    pub max_in_flight: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self { schedule: Schedule::PRODUCTION, max_in_flight: 2048 }
    }
}

/// A request is under way, and nothing else.
pub const ONE_WAITS: [(&str, f64); 2] =
    [("tokenexchange_connections_open", 1.0), ("tokenexchange_exchanges_in_flight", 1.0)];

impl Here {
    pub fn serve(store: Arc<dyn KeyStore>, clock: Arc<dyn Clock>, rules: &Rules) -> Self {
        let runtime = Runtime::new().unwrap();
        let entered = runtime.enter();
        let key_file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signing-key.jwk");
        let source = Arc::new(KeyFile::at(key_file));
        let signer = Arc::new(Signer::start(source, Duration::from_secs(30), clock).unwrap());
        let system = Arc::new(System);
        let exchange = Exchange::new(store, Arc::clone(&signer), system.clone(), system)
            .at_most(rules.max_in_flight);
        let figures = Metrics::new().unwrap();
        let drain = Drain::new(rules.schedule);
        let routes = service(
            &exchange,
            Arc::clone(&signer),
            &figures,
            &drain,
            &Audit::default(),
            &Traces::off(),
        )
        .unwrap();
        let listen = || Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let (port, metrics_port) = (listen(), listen());
        let address = |of: &Listener| of.local_addr().unwrap().to_string();
        let addresses = (address(&port), address(&metrics_port));
        figures.watch_load(&exchange, signer, port.figures()).unwrap();
        let limits = Limits::PRODUCTION;
        tokio::spawn(server::serve(port, routes, limits, drain.clone(), too_late));
        // It goes on when the other ends, so that it can be looked at.
        let goes_on = Drain::new(Schedule::PRODUCTION);
        tokio::spawn(server::serve(metrics_port, metrics(figures), limits, goes_on, too_late));
        drop(entered);
        Self { address: addresses.0, metrics_address: addresses.1, drain, _runtime: runtime }
    }

    pub fn stage<T: 'static>(self, act: impl FnOnce(&Self) -> T + 'static) -> Stage {
        Stage {
            metrics_address: self.metrics_address.clone(),
            // There is no memory before its store.
            before: AT_REST[..2].to_vec(),
            act: Box::new(move || {
                let kept = act(&self);
                Box::new((self, kept))
            }),
        }
    }

    pub fn present(&self, family: &str, status: u16) {
        let key = serde_json::json!({ "api_key": KEYS.key(family, "valid") }).to_string();
        let request = Request::post(&format!("/v0/token/{family}"), key);
        assert_eq!(request.send(&self.address, WITHIN).unwrap().status, status);
    }

    /// Begins a request that waits for as long as the store says nothing.
    pub fn wait_for_the_store(&self) -> (Connection, Request) {
        let connection = Connection::open(&self.address, WITHIN).unwrap();
        let request = Request::post("/v0/token/autojoin", r#"{"api_key":"any"}"#);
        connection.sender().unwrap().write(&[request.head(), request.body.clone()].concat());
        (connection, request)
    }
}
