//! `explain-token`: what a token states, who takes it now, and why not. It is never shown.

mod hostile;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use token_exchange::signer::{Algorithm, KeySet};

use crate::signing_keys::file::{key, key_for, set};
use crate::support::operator::Operator;
use crate::support::service::{Finished, Launch};

const WITHIN: Duration = Duration::from_secs(30);

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// The claims of an integration's token that was issued so many seconds from now.
fn claims(issued: i64) -> Value {
    let iat = now() + issued;
    json!({
        "aud": "integration", "iss": "token-exchange", "jti": "jti-1", "int_id": "acme",
        "key_id": "ki_1", "tier": 0, "iat": iat, "nbf": iat, "exp": iat + 20,
    })
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn header(key: &Value) -> Value {
    json!({ "alg": key["alg"], "kid": key["kid"] })
}

/// Signs whatever the header says.
fn signed(key: &Value, header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let keys = KeySet::parse(key.to_string().as_bytes()).unwrap();
    let signature = keys.members()[0].key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn file(keys: &[Value]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), set(keys)).unwrap();
    file
}

fn explain(token: &str, more: &[&str]) -> Finished {
    let launch = Launch::token_exchange().arg("explain-token").arg("-");
    let finished = more.iter().fold(launch, |launch, arg| launch.arg(arg));
    let finished = finished.run_on(token.as_bytes(), WITHIN);
    for part in token.split('.').filter(|part| part.len() > 12) {
        let said = [&finished.stdout, &finished.stderr];
        assert!(!said.iter().any(|said| said.contains(part)), "a part of the token is shown");
    }
    finished
}

/// What is said of a token by a key set, in one line, and the exit code.
fn told(token: &str, keys: &[Value]) -> (String, Option<i32>) {
    let file = file(keys);
    let finished = explain(token, &["-jwks", file.path().to_str().unwrap()]);
    assert_eq!(finished.stderr, "");
    (in_one_line(&finished.stdout), finished.status.code())
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_token_of_every_algorithm_is_accepted_by_its_key_set() {
    for alg in Algorithm::NAMES.split(", ") {
        let key = key_for(alg, "k1");
        let (told, code) = told(&signed(&key, &header(&key), &claims(-1)), &[key]);
        assert_eq!(code, Some(0), "{alg}: {told}");
        assert!(told.contains("ACCEPTED"), "{alg}: {told}");
        let is_taken = ["RS256", "RS384", "RS512", "ES256"].contains(&alg);
        let endpoints = if is_taken { "yes" } else { "no: it does not take this alg" };
        assert!(told.contains(&format!("Cloud Endpoints {endpoints}")), "{alg}: {told}");
    }
}

#[test]
fn what_a_token_states_is_shown_with_times_for_people() {
    let key = key("k1");
    let claims = with(claims(-3600), "exp", json!(4_102_444_800_u64));
    let (told, _) = told(&signed(&key, &header(&key), &claims), &[key]);
    for words in ["alg EdDSA", "kid k1", "int_id acme", "2100-01-01T00:00:00Z (in", "= 4102444800"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn the_token_of_a_service_is_accepted_by_what_it_publishes_and_the_clocks_agree() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let (integration, organization) =
        (operator.integration_with_key("acme"), operator.organization_with_key("mlab"));
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    for (family, key) in [("integration", integration), ("autojoin", organization)] {
        // As it comes: the whole answer.
        let answer = service.exchange(family, &key).text();
        let finished = explain(&answer, &["-jwks", &service.jwks_url()]);
        assert_eq!(finished.status.code(), Some(0), "{finished:?}");
        let told = in_one_line(&finished.stdout);
        assert!(
            told.contains("the clock here and the one of the key set's server agree"),
            "{told}"
        );
    }
}

#[test]
fn every_reason_to_refuse_a_token_is_told() {
    let (good, other) = (key("k1"), key("k2"));
    let rsa = key_for("RS256", "k1");
    let head = header(&good);
    let token = |claims: &Value| signed(&good, &head, claims);
    let headed =
        |name: &str, value: Value| signed(&good, &with(head.clone(), name, value), &claims(0));
    let changed = {
        let whole = token(&claims(0));
        let parts: Vec<&str> = whole.split('.').collect();
        format!("{}.{}.{}", parts[0], encoded(&with(claims(0), "tier", json!(9))), parts[2])
    };
    for (token, keys, why) in [
        (token(&claims(-3600)), [&good], "times: NO: it expired 3"),
        (token(&claims(3600)), [&good], "it is valid only in 3"),
        (token(&with(claims(0), "iat", json!(now() + 90))), [&good], "it was issued in"),
        (token(&with(claims(0), "exp", json!("soon"))), [&good], "it lacks a time"),
        (token(&with(claims(0), "iss", json!("else"))), [&good], "issuer: NO: iss is not"),
        (token(&with(claims(0), "iss", json!(7))), [&good], "there is no iss"),
        (token(&with(claims(0), "aud", json!("else"))), [&good], "aud is neither"),
        (token(&with(claims(0), "aud", json!(["integration"]))), [&good], "not one text"),
        (token(&claims(0)), [&other], "its kid is not in the key set, which has k2"),
        (token(&claims(0)), [&rsa], "the key of this kid is of another type"),
        (
            signed(&rsa, &json!({"alg": "RS512", "kid": "k1"}), &claims(0)),
            [&rsa],
            "is for another alg",
        ),
        (changed, [&good], "it does not fit the key of this kid"),
        (headed("kid", Value::Null), [&good], "names no key (kid)"),
        (headed("crit", json!(["exp"])), [&good], "demands extensions"),
        (headed("alg", json!("none")), [&good], "alg is none"),
        (headed("alg", json!("HS256")), [&good], "alg is symmetric"),
        (headed("alg", json!("ES256K")), [&good], "alg is none of RS256"),
        (headed("alg", Value::Null), [&good], "no alg"),
    ] {
        let (told, code) = told(&token, &[keys[0].clone()]);
        assert!(told.contains(why), "{why}: {told}");
        assert!(told.contains("REFUSED") && code == Some(3), "{why}: {told}");
    }
}

#[test]
fn a_curve_that_is_not_the_algorithms_is_told() {
    let key = key_for("ES256", "k1");
    let other = with(key_for("ES384", "k1"), "alg", json!("ES256"));
    let (told, code) = told(&signed(&key, &header(&key), &claims(0)), &[other]);
    assert!(told.contains("is on another curve") && code == Some(3), "{told}");
}

#[test]
fn a_verifier_that_allows_for_wrong_clocks_takes_a_token_for_a_minute_longer() {
    let key = key("k1");
    let (told, code) = told(&signed(&key, &header(&key), &claims(-40)), &[key]);
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("go-jose yes"), "{told}");
    assert!(told.contains("(PyJWT, jose) no: it expired 2"), "{told}");
}

#[test]
fn a_key_of_a_type_that_nobody_knows_takes_the_whole_set_from_go_jose() {
    let key = key("k1");
    let alien = json!({ "kty": "AKP", "kid": "new" });
    let (told, code) = told(&signed(&key, &header(&key), &claims(0)), &[key, alien]);
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("go-jose no: it cannot read a key set"), "{told}");
}

#[test]
fn without_a_key_set_nothing_is_verified_and_that_is_said() {
    let key = key("k1");
    let finished = explain(&signed(&key, &header(&key), &claims(0)), &[]);
    assert_eq!(finished.status.code(), Some(3), "{finished:?}");
    assert!(finished.stdout.contains("NOT VERIFIED"), "{finished:?}");
}

#[test]
fn a_clock_that_differs_from_the_one_of_the_key_set_is_told_with_what_it_changes() {
    let key = key("k1");
    let public = with(key.clone(), "d", Value::Null);
    // Two minutes behind ours: there the token is good.
    let url = publish(&set(&[public]), now() - 120);
    let finished = explain(&signed(&key, &header(&key), &claims(-130)), &["-jwks", &url]);
    let told = in_one_line(&finished.stdout);
    assert_eq!(finished.status.code(), Some(3), "{told}");
    assert!(told.contains("s ahead of the one of the key set's server"), "{told}");
    assert!(told.contains("by that one the token is good: set the clock here right"), "{told}");
}

/// Answers one request with a key set, dated.
fn publish(body: &[u8], date: i64) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let date = jiff::Timestamp::from_second(date).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let head = format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = [head.as_bytes(), body].concat();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let _ = stream.write_all(&answer);
    });
    url
}

#[test]
fn a_private_key_file_serves_as_a_key_set_and_is_not_shown() {
    let key = key("k1");
    let token = signed(&key, &header(&key), &claims(0));
    let bare = NamedTempFile::new().unwrap();
    std::fs::write(bare.path(), key.to_string()).unwrap();
    let finished = explain(&token, &["-jwks", bare.path().to_str().unwrap(), "-output=json"]);
    assert_eq!(finished.status.code(), Some(0), "{finished:?}");
    assert!(!finished.stdout.contains(key["d"].as_str().unwrap()), "{finished:?}");
    let told: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((&told["accepted"], &told["claims"]["int_id"]), (&json!(true), &json!("acme")));
}

#[test]
fn a_key_set_that_is_none_is_an_error() {
    let file = NamedTempFile::new().unwrap();
    let key = key("k1");
    let token = signed(&key, &header(&key), &claims(0));
    for content in ["", "[]", "{}", "{\"keys\":7}"] {
        std::fs::write(file.path(), content).unwrap();
        let finished = explain(&token, &["-jwks", file.path().to_str().unwrap()]);
        assert_eq!(finished.status.code(), Some(1), "{content}: {finished:?}");
        assert!(finished.stderr.contains("neither a JWK Set nor a JWK"), "{content}: {finished:?}");
    }
}
