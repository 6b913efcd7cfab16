//! A service with one key, and what there is to see of it.

use std::time::Duration;

use tempfile::TempDir;

use crate::support::http_client::{Answer, Request};
use crate::support::load::{Arrivals, Numbers, Plan, Probe};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};

pub const WITHIN: Duration = Duration::from_secs(30);
pub const PROBES: [&str; 3] = ["/.well-known/jwks.json", "/health", "/ready"];

pub struct Scene {
    pub service: Service,
    pub api_key: String,
    _folder: TempDir,
}

impl Scene {
    /// Signs with the recorded key.
    pub fn new(flags: &[&str]) -> Self {
        Self::with_key_file(
            &std::fs::read_to_string("tests/golden/signing-key.jwk").unwrap(),
            flags,
        )
    }

    /// Signs with RSA of 4,096 bits on one thread: some hundred signatures a second.
    pub fn slow_to_sign(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.jwk");
        let made = Launch::token_exchange()
            .arg("signing-key")
            .arg("generate")
            .arg(path.to_str().unwrap())
            .arg("-bits=4096")
            .run(Duration::from_mins(2));
        assert!(made.status.success(), "{}", made.stderr);
        let key = std::fs::read_to_string(path).unwrap();
        Self::with_key_file(&key, &[&["-signing-threads=1"], flags].concat())
    }

    fn with_key_file(key: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.jwk");
        std::fs::write(&path, key).unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        let api_key = operator.integration_with_key("acme");
        let launch = Launch::token_exchange().arg(&format!("-private-key-path={}", path.display()));
        let launch = flags.iter().fold(launch, |launch, flag| launch.arg(flag));
        Self { service: operator.serve(launch), api_key, _folder: folder }
    }

    pub fn get(&self, path: &str) -> Answer {
        get(&self.service, path)
    }

    pub fn exchange(&self) -> Answer {
        self.service.exchange("integration", &self.api_key)
    }

    /// The value of a metric, by its name and labels as they stand on the page.
    pub fn metric(&self, series: &str) -> u64 {
        metric(&self.service, series)
    }

    /// An exchange, all of it.
    pub fn request(&self) -> String {
        let body = serde_json::json!({ "api_key": self.api_key }).to_string();
        let length = body.len();
        format!(
            "POST /v0/token/integration HTTP/1.1\r\nHost: load\r\nContent-Length: {length}\r\n\r\n\
             {body}"
        )
    }

    pub fn plan(&self, arrivals: Arrivals, connections: usize, measure: Duration) -> Plan {
        let probe = |path: &str| Probe { path: path.to_owned(), a_second: 20.0 };
        Plan {
            address: self.service.address().to_owned(),
            requests: vec![self.request()],
            numbers: Numbers::Counting,
            arrivals,
            connections,
            warm_up: Duration::ZERO,
            measure,
            probes: PROBES.map(probe).into(),
            process: None,
            awake: false,
        }
    }
}

pub fn get(service: &Service, path: &str) -> Answer {
    Request::get(path).send(service.address(), WITHIN).expect("every request gets an answer")
}

pub fn metric(service: &Service, series: &str) -> u64 {
    let page = Request::get("/metrics").send(service.metrics_address(), WITHIN).unwrap().text();
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series}:\n{page}"))
}

/// A number that the environment makes larger than the suite has time for.
pub fn scaled(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}
