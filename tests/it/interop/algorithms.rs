//! Four languages' libraries accept tokens of all ten algorithms.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use token_exchange::signer::Algorithm;

use super::programs::{self, Program};
use crate::signing_keys::file::{key_for, set};
use crate::support::eventually::eventually;
use crate::support::http_client::Request;
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service, Signal};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn go_jose_accepts_all_ten_algorithms() {
    let Some(verifier) = programs::go_verifier() else { return };
    accepts_all(&verifier);
}

#[test]
fn pyjwt_accepts_all_ten_algorithms() {
    let Some(verifier) = programs::python_verifier() else { return };
    accepts_all(&verifier);
}

#[test]
fn jose_accepts_all_ten_algorithms() {
    let Some(verifier) = programs::node_verifier() else { return };
    accepts_all(&verifier);
}

#[test]
fn nimbus_accepts_all_ten_algorithms() {
    let Some(verifier) = programs::java_verifier() else { return };
    accepts_all(&verifier);
}

/// One service publishes a key for each algorithm; of keys without dates the first in the file
/// signs, so each gets its turn by being put first.
fn accepts_all(verifier: &Program) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let mut keys: Vec<Value> =
        Algorithm::NAMES.split(", ").map(|alg| key_for(alg, &format!("key-{alg}"))).collect();
    fs::write(&file, set(&keys)).unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let api_key = operator.integration_with_key("acme");
    let launch = Launch::token_exchange()
        .arg(&format!("-private-key-path={}", file.display()))
        .arg("-key-reload-interval=1h");
    let service = operator.serve(launch);

    let mut cases = Vec::new();
    for _ in 0..keys.len() {
        keys.rotate_left(1);
        let beside = folder.path().join("beside");
        fs::write(&beside, set(&keys)).unwrap();
        fs::rename(&beside, &file).unwrap();
        service.process.signal(Signal::HUP);
        eventually("its turn", WITHIN, || (first_kid(&service) == keys[0]["kid"]).then_some(()));
        let token = service.token("integration", &api_key);
        cases.push(json!({
            "name": keys[0]["alg"], "audience": "integration", "issuer": "token-exchange", "token": token
        }));
    }
    let verdicts = verifier.run(&[&service.jwks_url()], &[], &json!(cases).to_string()).unwrap();
    let verdicts = verdicts.as_array().unwrap();
    assert_eq!(verdicts.len(), 10);
    for (verdict, case) in verdicts.iter().zip(&cases) {
        assert_eq!(verdict["accepted"], true, "{verdict}");
        assert_eq!(verdict["header"]["alg"], case["name"]);
    }
}

fn first_kid(service: &Service) -> Value {
    let answer = Request::get("/.well-known/jwks.json").send(service.address(), WITHIN).unwrap();
    let set: Value = serde_json::from_slice(&answer.body).unwrap();
    set["keys"][0]["kid"].clone()
}
