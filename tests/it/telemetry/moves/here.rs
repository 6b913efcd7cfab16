//! A service in this process, for what no real one has: stores that panic or say nothing, clocks on
//! which signing fails, a drain that is over soon.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use token_exchange::environment::System;
use token_exchange::http::server::Drain;
use token_exchange::key_store::KeyStore;
use token_exchange::telemetry::audit::{Audit, AuditMode};
use token_exchange::telemetry::logs::Written;
use token_exchange::telemetry::traces::{Batch, Exporter, Ratio, Sampler, Traces, TracesConfig};
use tokio::runtime::Runtime;

use super::stage::{AT_REST, KEYS, Stage, WITHIN};
use super::witnesses::Witnesses;
use crate::support::http_client::{Connection, Request};
use crate::support::in_process::{InProcess, Setting};
use crate::support::log::KeptLog;
use crate::traces::otlp::Collector;

/// It ends when it is dropped.
pub struct Here {
    address: String,
    metrics_address: String,
    pub drain: Drain,
    log: KeptLog,
    collector: Rc<Collector>,
    _written: Written,
    _exporter: Exporter,
    // Its tasks end with it.
    _runtime: Runtime,
}

impl Here {
    pub fn serve(store: Arc<dyn KeyStore>, setting: Setting) -> Self {
        let runtime = Runtime::new().unwrap();
        let _entered = runtime.enter();
        let log = KeptLog::default();
        let (audit, written) = Audit::to(log.clone(), AuditMode::BestEffort).unwrap();
        let collector = Rc::new(Collector::start());
        let (traces, exporter) =
            Traces::start(traces_to(&collector), Arc::new(System), Arc::default()).unwrap();
        let setting = Setting { audit, traces, ..setting };
        let InProcess { address, metrics_address, drain, .. } = InProcess::serve(store, setting);
        Self {
            address,
            metrics_address,
            drain,
            log,
            collector,
            _written: written,
            _exporter: exporter,
            _runtime: runtime,
        }
    }

    pub fn stage<T: 'static>(self, act: impl FnOnce(&Self) -> T + 'static) -> Stage {
        let log = self.log.clone();
        Stage {
            metrics_address: self.metrics_address.clone(),
            // There is no memory before its store.
            before: AT_REST[..2].to_vec(),
            witnesses: Witnesses {
                log: Box::new(move || log.text()),
                hears_records_only: true,
                collector: Some(Rc::clone(&self.collector)),
                address: Some(self.address.clone()),
            },
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

fn traces_to(collector: &Collector) -> TracesConfig {
    TracesConfig {
        endpoint: collector.endpoint().parse().unwrap(),
        headers: axum::http::HeaderMap::new(),
        timeout: WITHIN,
        sampler: Sampler { heeds_parent: true, ratio: Ratio::ALL },
        resource: Vec::new(),
        batch: Batch { delay: Duration::from_millis(20), ..Batch::DEFAULT },
    }
}
