//! A service on an emulator behind the proxy, and as many keys as a test wants to present.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::emulator::{self, Emulator, unique_project};
use crate::support::eventually::eventually;
use crate::support::fault_proxy::FaultProxy;
use crate::support::http_client::Request;
use crate::support::service::{Launch, Service};

pub const WITHIN: Duration = Duration::from_secs(30);
/// A commit of an emulator takes no more entities.
const AT_ONCE: usize = 250;

pub struct Scene {
    pub proxy: FaultProxy,
    pub project: String,
}

impl Scene {
    /// Keys with numbers below `keys`, of both families.
    pub fn with_keys(keys: usize) -> Option<Self> {
        let emulator = emulator::firestore()?;
        let project = load_keys(emulator, keys);
        Some(Self { proxy: FaultProxy::start(emulator.host()), project })
    }

    /// How to start the service; it signs fast.
    pub fn launch(&self) -> Launch {
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keys/eddsa.jwk");
        Launch::token_exchange()
            .keys_in(&self.proxy.host(), &self.project)
            .arg(&format!("-private-key-path={key}"))
    }
}

/// Keys with numbers below `keys`, of both families, in a project that nobody else uses.
pub fn load_keys(emulator: &Emulator, keys: usize) -> String {
    let project = unique_project();
    let entities: Vec<Value> = (0..keys).flat_map(key_entities).collect();
    for some in entities.chunks(AT_ONCE) {
        emulator.load(&project, some);
    }
    project
}

pub fn integration_key(number: usize) -> String {
    format!("mlabk.cii_acme.ki_{number}.{}", secret(number))
}

pub fn secret(number: usize) -> String {
    format!("c2VjcmV0LW9mLWFuLWludGVncmF0aW9u-{number}")
}

pub fn organization_key(number: usize) -> String {
    format!("a2V5LW9mLWFuLW9yZ2FuaXphdGlvbg-{number}")
}

/// The key with a number, of a family.
pub fn api_key(family: &str, number: usize) -> String {
    if family == "integration" { integration_key(number) } else { organization_key(number) }
}

fn key_entities(number: usize) -> [Value; 2] {
    let entity = |namespace: &str, path: Value, properties: Value| {
        json!({
            "key": { "partitionId": { "projectId": "", "namespaceId": namespace }, "path": path },
            "properties": properties,
        })
    };
    let hash = hex::encode(Sha256::digest(secret(number)));
    let organization_key = organization_key(number);
    [
        entity(
            "client-integration",
            json!([
                { "kind": "IntegrationMeta", "name": "acme" },
                { "kind": "IntegrationAPIKey", "name": format!("ki_{number}") },
            ]),
            json!({
                "key_hash": { "stringValue": hash },
                "status": { "stringValue": "active" },
                "tier": { "integerValue": "1" },
            }),
        ),
        entity(
            "platform-credentials",
            json!([
                { "kind": "Organization", "name": "mlab" },
                { "kind": "APIKey", "name": organization_key },
            ]),
            json!({ "key": { "stringValue": organization_key } }),
        ),
    ]
}

/// The value of a metric without labels.
pub fn figure(service: &Service, name: &str) -> Option<f64> {
    let page = Request::get("/metrics").send(service.metrics_address(), WITHIN).unwrap().text();
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until the retry budget is enough for what comes.
pub fn save_up(service: &Service) {
    eventually("there is a retry budget", WITHIN, || {
        (figure(service, "tokenexchange_datastore_retry_budget")? >= 5.0).then_some(())
    });
}
