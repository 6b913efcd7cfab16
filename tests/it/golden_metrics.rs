//! The metrics page after the recorded sequence of requests (`tests/golden/metrics.txt`).

use std::time::Duration;

use serde_json::json;

use crate::support::emulator;
use crate::support::golden::{self, Stores};
use crate::support::http_client::{Answer, Request};
use crate::support::service::{Launch, Service};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const FAMILIES: [&str; 4] = [
    "tokenexchange_autojoin_request_duration_seconds",
    "tokenexchange_autojoin_requests_total",
    "tokenexchange_integration_request_duration_seconds",
    "tokenexchange_integration_requests_total",
];

#[test]
fn the_four_families_count_and_measure_as_recorded() {
    let Some(emulator) = emulator::firestore() else { return };
    let stores = golden::stores();
    let project = emulator.load_into_new_project(stores.standard.iter().map(|row| &row.entity));
    let service = serve(emulator.host(), &project);
    assert_eq!(families(&page(&service)), [""; 0], "before the first request");

    let recording = golden::text("metrics.txt");
    let mut sent = 0;
    for line in recording.lines().filter_map(|line| line.strip_prefix("# > request: ")) {
        let Recorded { times, request, status } = Recorded::parse(line, &stores);
        for _ in 0..times {
            assert_eq!(send(&request, service.address()).status, status, "{line}");
            sent += 1;
        }
    }
    assert_eq!(sent, 16);

    let page = page(&service);
    let recorded: Vec<&str> = recording.lines().filter(|line| !line.starts_with("# >")).collect();
    let actual = families(&page);
    for (actual, recorded) in actual.iter().zip(&recorded) {
        assert!(is_as_recorded(actual, recorded), "{actual}\nrecorded:\n{recorded}");
    }
    assert_eq!(actual.len(), recorded.len(), "{page}");
}

#[test]
fn the_metrics_page_has_the_recorded_content_type_whatever_is_accepted() {
    let service = serve("127.0.0.1:1", "unused");
    for accept in ["*/*", "application/openmetrics-text; version=1.0.0"] {
        let answer =
            send(&Request::get("/metrics").header("Accept", accept), service.metrics_address());
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Content-Type"), Some(CONTENT_TYPE), "Accept: {accept}");
    }
}

#[test]
fn the_metrics_page_is_compressed_on_request_and_only_then() {
    let service = serve("127.0.0.1:1", "unused");
    // Something to measure, for which no store is needed.
    assert_eq!(send(&Request::post("/v0/token/autojoin", "["), service.address()).status, 400);
    let plain = send(&Request::get("/metrics"), service.metrics_address());
    assert_eq!(plain.header("Content-Encoding"), None);

    let request = Request::get("/metrics").header("Accept-Encoding", "gzip");
    let compressed = send(&request, service.metrics_address());
    assert_eq!(compressed.header("Content-Encoding"), Some("gzip"));
    assert_eq!(compressed.header("Content-Type"), Some(CONTENT_TYPE));
    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(compressed.body.as_slice()),
        &mut text,
    )
    .expect("the body is gzip");
    assert!(text.contains("tokenexchange_autojoin_requests_total{"), "{text}");
}

#[test]
fn the_metrics_port_serves_no_other_path() {
    let service = serve("127.0.0.1:1", "unused");
    for path in ["/", "/metrics/", "/health", "/v0/token/integration", "/debug/pprof/"] {
        assert_eq!(send(&Request::get(path), service.metrics_address()).status, 404, "{path}");
    }
}

/// One line of the recorded sequence, such as `3 x POST integration: acme generated -> 200`.
struct Recorded {
    times: usize,
    request: Request,
    status: u16,
}

impl Recorded {
    fn parse(line: &str, stores: &Stores) -> Self {
        let (times, rest) = line.split_once(" x ").expect("a number of times");
        let (request, status) = rest.rsplit_once(" -> ").expect("a status");
        let (method, what) = request.split_once(' ').expect("a method");
        let request = match what.split_once(": ") {
            Some((family, what)) => {
                // Either a body as it stands, or the entity whose API key is sent.
                let body = if what.starts_with(['{', '[']) {
                    what.to_owned()
                } else {
                    json!({ "api_key": stores.api_key(what) }).to_string()
                };
                Request::post(&format!("/v0/token/{family}"), body)
            }
            None => Request { method: method.to_owned(), ..Request::get(what) },
        };
        let number = |text: &str| text.parse().expect("a number");
        Self { times: number(times), request, status: status.parse().expect("a status") }
    }
}

fn serve(store_host: &str, project: &str) -> Service {
    Launch::token_exchange().keys_in(store_host, project).recorded_signing_key().serve()
}

fn send(request: &Request, address: &str) -> Answer {
    request.send(address, ANSWER_WITHIN).expect("an answer")
}

fn page(service: &Service) -> String {
    let answer = send(&Request::get("/metrics"), service.metrics_address());
    assert_eq!(answer.status, 200);
    answer.text()
}

/// The lines that belong to the four families, HELP and TYPE included, in the order of the page.
fn families(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|line| {
            let comment = line.strip_prefix("# HELP ").or(line.strip_prefix("# TYPE "));
            FAMILIES.iter().any(|family| comment.unwrap_or(line).starts_with(family))
        })
        .collect()
}

/// Byte for byte, but for `${n}`, some whole number, and `${seconds}`, some duration.
fn is_as_recorded(actual: &str, recorded: &str) -> bool {
    let value_of = |series: &str| actual.strip_prefix(series);
    if let Some(series) = recorded.strip_suffix("${n}") {
        value_of(series).is_some_and(|n| n.parse::<u64>().is_ok())
    } else if let Some(series) = recorded.strip_suffix("${seconds}") {
        let seconds = value_of(series).and_then(|seconds| seconds.parse::<f64>().ok());
        seconds.is_some_and(|seconds| (0.0..60.0).contains(&seconds))
    } else {
        actual == recorded
    }
}
