//! `explain` on what a real service has just logged.

use std::time::Duration;

use super::{assert_says, told};
use crate::support::eventually::eventually;
use crate::support::http_client::Request;
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};

const WITHIN: Duration = Duration::from_secs(30);

/// Presents a key; the id that the service gave to the request.
fn ask(service: &Service, api_key: &str) -> String {
    let body = serde_json::json!({ "api_key": api_key }).to_string();
    let answer = Request::post("/v0/token/integration", body).send(service.address(), WITHIN);
    answer.unwrap().header("X-Request-Id").expect("a request has an id").to_owned()
}

/// The log, once it has the record of a request.
fn log_with(service: &Service, id: &str) -> String {
    eventually("the record is in the log", WITHIN, || {
        let log = service.process.stderr();
        let has = |line: &str| line.contains("\"audit\"") && line.contains(id);
        log.lines().any(has).then(|| log.clone())
    })
}

#[test]
fn a_real_service_logs_what_explain_tells() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let api_key = operator.integration_with_key("acme");
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());

    let granted = ask(&service, &api_key);
    let story = told(&granted, &log_with(&service, &granted));
    assert_says(&story, &["GRANTED: a token was given.", "integration acme", "golden-rsa-2048"]);

    let refused = ask(&service, &(api_key + "x"));
    let story = told(&refused, &log_with(&service, &refused));
    assert_says(&story, &["REFUSED: the key is there, and its secret is another.", "acme"]);

    let malformed = ask(&service, "no key");
    let story = told(&malformed, &log_with(&service, &malformed));
    assert_says(&story, &["does not have the form of a key", "the caller cut the key"]);
}
