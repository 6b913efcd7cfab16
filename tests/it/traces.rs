//! Spans, from the side of the collector that takes them, or does not.

mod collectors;
pub mod otlp;
mod sampling;
mod trees;

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::http_client::{Answer, Request};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};

const WITHIN: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

/// A service on a file, with a key of each family.
struct Scene {
    service: Service,
    integration_key: String,
    organization_key: String,
    _folder: TempDir,
}

impl Scene {
    fn new(launch: impl FnOnce(Launch) -> Launch) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        let integration_key = operator.integration_with_key("acme");
        let organization_key = operator.organization_with_key("mlab");
        let launch = launch(Launch::token_exchange().recorded_signing_key());
        let service = operator.serve(launch);
        Self { service, integration_key, organization_key, _folder: folder }
    }

    /// Presents the integration's key, with these headers.
    fn exchange(&self, headers: &[(&str, &str)]) -> Answer {
        exchange(&self.service, &self.integration_key, headers)
    }
}

fn exchange(service: &Service, api_key: &str, headers: &[(&str, &str)]) -> Answer {
    let request = Request::post("/v0/token/integration", json!({ "api_key": api_key }).to_string());
    headers
        .iter()
        .fold(request, |request, (name, value)| request.header(name, value))
        .send(service.address(), WITHIN)
        .expect("every request gets an answer")
}

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

/// The value of a metric, by its name and labels as they stand on the page.
fn metric(service: &Service, series: &str) -> u64 {
    let page = service.metrics_page();
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series}:\n{page}"))
}
