//! A service in this process, for what no real one has: stores that panic or say nothing, clocks on
//! which signing fails, a drain that is over soon.

use std::sync::Arc;

use token_exchange::http::server::Drain;
use token_exchange::key_store::KeyStore;
use tokio::runtime::Runtime;

use super::stage::{AT_REST, KEYS, Stage, WITHIN};
use crate::support::http_client::{Connection, Request};
use crate::support::in_process::{InProcess, Setting};

/// It ends when it is dropped.
pub struct Here {
    address: String,
    metrics_address: String,
    pub drain: Drain,
    // Its tasks end with it.
    _runtime: Runtime,
}

/// A request is under way, and nothing else.
pub const ONE_WAITS: [(&str, f64); 2] =
    [("tokenexchange_connections_open", 1.0), ("tokenexchange_exchanges_in_flight", 1.0)];

impl Here {
    pub fn serve(store: Arc<dyn KeyStore>, setting: Setting) -> Self {
        let runtime = Runtime::new().unwrap();
        let _entered = runtime.enter();
        let InProcess { address, metrics_address, drain, .. } = InProcess::serve(store, setting);
        Self { address, metrics_address, drain, _runtime: runtime }
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
