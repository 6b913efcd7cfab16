//! Four languages' libraries judge the tokens of a running service, and tokens that are not its.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::programs::{self, Program};
use crate::support::golden;
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};

#[test]
fn go_jose_accepts_our_tokens_and_refuses_all_others() {
    let Some(verifier) = programs::go_verifier() else { return };
    accepts_ours_and_refuses_all_others(&verifier);
}

#[test]
fn pyjwt_accepts_our_tokens_and_refuses_all_others() {
    let Some(verifier) = programs::python_verifier() else { return };
    accepts_ours_and_refuses_all_others(&verifier);
}

#[test]
fn jose_accepts_our_tokens_and_refuses_all_others() {
    let Some(verifier) = programs::node_verifier() else { return };
    accepts_ours_and_refuses_all_others(&verifier);
}

#[test]
fn nimbus_accepts_our_tokens_and_refuses_all_others() {
    let Some(verifier) = programs::java_verifier() else { return };
    accepts_ours_and_refuses_all_others(&verifier);
}

fn accepts_ours_and_refuses_all_others(verifier: &Program) {
    let stage = Stage::set();
    let ours = [
        ("an integration's token", "integration", &stage.integration),
        ("an organization's token", "autojoin", &stage.organization),
    ];
    let others = [
        ("a tampered payload", "integration", tampered(&stage.integration)),
        ("a token for another audience", "integration", stage.organization.clone()),
        ("our token at another audience", "autojoin", stage.integration.clone()),
        ("an expired token", "integration", expired("integration")),
        ("an expired token of an organization", "autojoin", expired("autojoin")),
        ("no algorithm", "integration", unsigned(&stage.integration)),
        ("another key of the same kid", "integration", stage.from_elsewhere.clone()),
    ];
    let case = |name: &str, audience: &str, token: &str| json!({ "name": name, "audience": audience, "issuer": "token-exchange", "token": token });
    let cases: Vec<Value> = ours
        .iter()
        .map(|(name, audience, token)| case(name, audience, token))
        .chain(others.iter().map(|(name, audience, token)| case(name, audience, token)))
        .collect();

    let verdicts = verifier
        .run(&[&stage.service.jwks_url()], &[], &json!(cases).to_string())
        .expect("the verifier judges every case");
    let verdicts = verdicts.as_array().expect("an array of verdicts");
    assert_eq!(verdicts.len(), cases.len());
    for (verdict, (name, _, token)) in verdicts.iter().zip(&ours) {
        assert_eq!(verdict["accepted"], true, "{name}: {verdict}");
        assert_eq!(verdict["header"], segment(token, 0), "{name}");
        assert_eq!(verdict["claims"], segment(token, 1), "{name}: {verdict}");
    }
    for (verdict, (name, ..)) in verdicts.iter().skip(ours.len()).zip(&others) {
        assert_eq!(verdict["accepted"], false, "{name}: {verdict}");
        assert!(verdict["error"].is_string(), "{name}: {verdict}");
    }
}

/// A service with the recorded signing key, one token of each family, and a token that another
/// service signed with a key of its own under the same `kid`.
struct Stage {
    service: Service,
    integration: String,
    organization: String,
    from_elsewhere: String,
    _folder: TempDir,
}

impl Stage {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        operator.integration_with_key("acme");
        // The largest tier: a verifier that reads it as a float would change it.
        let api_key = operator.integration_key("acme", i64::MAX);
        let service = operator.serve(Launch::token_exchange().recorded_signing_key());

        let other_key = folder.path().join("elsewhere.jwk");
        std::fs::write(&other_key, same_kid_elsewhere()).unwrap();
        let path = format!("-private-key-path={}", other_key.display());
        let elsewhere = operator.serve(Launch::token_exchange().arg(&path));

        Self {
            integration: service.token("integration", &api_key),
            organization: service.token("autojoin", &operator.organization_with_key("mlab")),
            from_elsewhere: elsewhere.token("integration", &api_key),
            service,
            _folder: folder,
        }
    }
}

fn same_kid_elsewhere() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keys/rsa3072.jwk");
    let mut jwk: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    jwk["kid"] = golden::signing_key()["kid"].clone();
    jwk.to_string()
}

/// A token that the Go service signed on the day of the recording, with the same key.
fn expired(family: &str) -> String {
    let recorded: Vec<Value> = serde_json::from_str(&golden::text("tokens.json")).unwrap();
    let one = recorded.iter().find(|one| one["family"] == family).unwrap();
    one["token"].as_str().unwrap().to_owned()
}

fn tampered(token: &str) -> String {
    let mut claims = segment(token, 1);
    claims["int_id"] = "mallory".into();
    let mut parts: Vec<&str> = token.split('.').collect();
    let payload = URL_SAFE_NO_PAD.encode(claims.to_string());
    parts[1] = &payload;
    parts.join(".")
}

fn unsigned(token: &str) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    format!("{header}.{}.", token.split('.').nth(1).unwrap())
}

fn segment(token: &str, number: usize) -> Value {
    let encoded = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
}
