//! Every request of `tests/golden/http.json`, byte for byte, and the answer the Go service gave.
//!
//! What differs on purpose stands in the recording itself (`deliberate`, `expect`); there is no
//! list of exceptions here, and none may be added.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::support::emulator::{self, Emulator};
use crate::support::equal::equal;
use crate::support::golden::{
    self, BodyCompare, Expect, HttpCase, RecordedAnswer, RecordedResponse, RecordedToken, Store,
};
use crate::support::http_client::{Answer, Failure, Request};
use crate::support::service::{Launch, Service};
use crate::support::skip::announce;
use crate::support::stand_in::{FailingStore, RefusingStore};
use crate::support::token::Token;

/// No answer takes longer: an exchange gives up on its store after a few seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Requests in flight at once.
const CLIENTS: usize = 8;
const PERMISSION_DENIED: u8 = 7;

/// The headers that are compared; more of them are free (README, "Compared for a replacement").
const COMPARED_HEADERS: [&str; 6] = [
    "Content-Type",
    "Cache-Control",
    "Access-Control-Allow-Origin",
    "X-Content-Type-Options",
    "Location",
    "Allow",
];

#[test]
fn the_recording_is_whole_and_every_difference_is_declared() {
    let cases = golden::http_cases();
    assert_eq!(cases.len(), 429);
    for case in cases {
        assert_eq!(case.deliberate.is_some(), case.expect.is_some(), "{}", case.name);
    }
}

#[test]
fn every_request_is_answered_as_recorded_on_firestore() {
    if let Some(emulator) = emulator::firestore() {
        replay_on(emulator, "Firestore in Datastore mode");
    }
}

#[test]
fn every_request_is_answered_as_recorded_on_the_datastore_emulator() {
    if let Some(emulator) = emulator::datastore() {
        replay_on(emulator, "the Datastore emulator");
    }
}

#[test]
fn every_request_is_answered_as_recorded_while_the_store_refuses_connections() {
    let store = RefusingStore::start();
    let service = serve(&store.host(), "golden");
    replay(&[(Store::Refuses, &service)], "a store that refuses connections");
}

#[test]
fn every_request_is_answered_as_recorded_while_the_store_denies_every_call() {
    let store = FailingStore::start(PERMISSION_DENIED);
    let service = serve(store.host(), "golden");
    replay(&[(Store::Denies, &service)], "a store that denies every call");
}

fn replay_on(emulator: &Emulator, what: &str) {
    let stores = golden::stores();
    let serve_rows = |rows: &[golden::Row]| {
        let project = emulator.load_into_new_project(rows.iter().map(|row| &row.entity));
        serve(emulator.host(), &project)
    };
    let standard = serve_rows(&stores.standard);
    let empty_key = serve_rows(&stores.empty_key);
    replay(&[(Store::Standard, &standard), (Store::EmptyKey, &empty_key)], what);
}

fn serve(store_host: &str, project: &str) -> Service {
    Launch::token_exchange().keys_in(store_host, project).recorded_signing_key().serve()
}

/// Sends every case that belongs to one of the services, and reports all failures together.
fn replay(services: &[(Store, &Service)], what: &str) {
    let cases: Vec<(HttpCase, &str)> = golden::http_cases()
        .into_iter()
        .filter_map(|case| {
            let (_, service) = services.iter().find(|(store, _)| *store == case.store)?;
            Some((case, service.address()))
        })
        .collect();
    let signing_key = golden::signing_key();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some((case, address)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let since = unix_seconds();
                    let answer = Request::from(&case.request).send(address, ANSWER_WITHIN);
                    if let Err(why) = check(case, answer, &signing_key, since) {
                        failures.lock().unwrap().push(format!("{}: {why}", case.name));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    announce(&format!("replayed {} recorded requests on {what}", cases.len()));
    assert!(!cases.is_empty());
    assert!(
        failures.is_empty(),
        "{} of {} answers differ from the recording:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}

fn check(
    case: &HttpCase,
    answer: Result<Answer, Failure>,
    signing_key: &Value,
    since: u64,
) -> Result<(), String> {
    let may_close = case.expect.as_ref().is_some_and(|expect| expect.closed_ok);
    let answer = match answer {
        Err(Failure::Closed) if may_close => return Ok(()),
        answer => answer.map_err(|failure| format!("no answer: {failure:?}"))?,
    };
    match (&case.expect, &case.response) {
        (Some(expect), _) => check_expected(expect, &answer)?,
        (None, RecordedResponse::Answer(recorded)) => check_recorded(recorded, &answer)?,
        (None, RecordedResponse::Nothing { .. }) => return Err("nothing to compare".to_owned()),
    }
    match &case.token {
        Some(token) if answer.status == 200 => check_token(token, &answer, signing_key, since),
        _ => Ok(()),
    }
}

fn check_recorded(recorded: &RecordedAnswer, answer: &Answer) -> Result<(), String> {
    equal("status", &answer.status, &recorded.status)?;
    equal("interim answers", &answer.interim, &recorded.interim)?;
    let compared = |name: &str| COMPARED_HEADERS.iter().any(|n| n.eq_ignore_ascii_case(name));
    check_headers(recorded.headers.iter().filter(|(name, _)| compared(name)), answer)?;
    match recorded.body_compare {
        Some(BodyCompare::Json) => {
            let json = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
            equal("body", &json(&answer.text())?, &json(&recorded.body_utf8)?)
        }
        // The token varies; all around it does not.
        None if recorded.body_utf8.contains("${token}") => {
            Token::from_body(&answer.text()).map(drop)
        }
        None => equal("body", &answer.text(), &recorded.body_utf8),
    }
}

fn check_expected(expect: &Expect, answer: &Answer) -> Result<(), String> {
    let statuses = expect.statuses();
    if !statuses.contains(&answer.status) {
        return Err(format!("status is {}, expected is one of {statuses:?}", answer.status));
    }
    check_headers(expect.headers.iter(), answer)?;
    expect.body_utf8.as_ref().map_or(Ok(()), |body| equal("body", &answer.text(), body))
}

fn check_headers<'a>(
    expected: impl Iterator<Item = &'a (String, String)>,
    answer: &Answer,
) -> Result<(), String> {
    for (name, expected) in expected {
        let actual = answer.header(name).ok_or_else(|| format!("there is no {name}"))?;
        if name.eq_ignore_ascii_case("Allow") {
            if !methods(actual).is_superset(&methods(expected)) {
                return Err(format!("Allow is {actual:?}, expected at least {expected:?}"));
            }
        } else {
            equal(name, &actual, &expected.as_str())?;
        }
    }
    Ok(())
}

fn methods(allow: &str) -> BTreeSet<&str> {
    allow.split(',').map(str::trim).collect()
}

fn check_token(
    recorded: &RecordedToken,
    answer: &Answer,
    signing_key: &Value,
    since: u64,
) -> Result<(), String> {
    let body = answer.text();
    let mut token = Token::from_body(&body)?;
    token.verify(signing_key)?;
    equal("JOSE header", &token.header_raw, &recorded.header_raw)?;
    let mut take = |name: &str| token.claims.remove(name).ok_or_else(|| format!("no {name}"));
    let (iat, nbf, exp, jti) = (take("iat")?, take("nbf")?, take("exp")?, take("jti")?);
    equal("claims that do not vary", &token.claims, &recorded.claims.fixed)?;
    let iat = iat.as_u64().ok_or("iat is no whole number")?;
    let times = TokenTimes { iat, nbf, exp, since };
    for relation in &recorded.relations {
        check_relation(relation, &times, &jti, recorded.ttl_seconds)
            .map_err(|why| format!("{relation}: {why}"))?;
    }
    Ok(())
}

struct TokenTimes {
    iat: u64,
    nbf: Value,
    exp: Value,
    since: u64,
}

fn check_relation(
    relation: &str,
    times: &TokenTimes,
    jti: &Value,
    ttl_seconds: u64,
) -> Result<(), String> {
    match relation {
        "nbf == iat" => equal("nbf", &times.nbf, &times.iat.into()),
        "exp == iat + ttl_seconds" => equal("exp", &times.exp, &(times.iat + ttl_seconds).into()),
        "iat is the time of the answer in whole seconds" => {
            let (since, until) = (times.since, unix_seconds());
            if (since..=until).contains(&times.iat) {
                Ok(())
            } else {
                Err(format!("iat is {}, the answer came from {since} to {until}", times.iat))
            }
        }
        "jti is a version 4 UUID in lower case" => {
            let text = jti.as_str().unwrap_or_default();
            let uuid = uuid::Uuid::parse_str(text).map_err(|error| error.to_string())?;
            equal("version", &uuid.get_version_num(), &4)?;
            equal("variant", &uuid.get_variant(), &uuid::Variant::RFC4122)?;
            equal("jti", &text, &uuid.hyphenated().to_string().as_str())
        }
        unknown => Err(format!("a relation that this test does not know: {unknown}")),
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
