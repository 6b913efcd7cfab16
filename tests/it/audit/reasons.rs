//! Each reason: one record, with what is known and nothing else, and one more in the metrics.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use serde_json::Value;
use token_exchange::exchange::Reason;

use super::house::{House, WITHIN, body, integration_key};
use crate::support::eventually::eventually;
use crate::support::http_client::Request;
use crate::support::token::Token;

const AUTOJOIN: &str = "autojoin";
const INTEGRATION: &str = "integration";

/// What an exchange comes to.
struct Case {
    family: &'static str,
    body: String,
    status: u16,
    severity: &'static str,
    reason: Reason,
    detail: &'static str,
    /// The members of the record beside those of every record.
    members: &'static [&'static str],
}

const NONE: &[&str] = &[];
const NAMED: &[&str] = &["integration", "key", "store_seconds"];
const ANSWERED: &[&str] = &["integration", "key", "source", "store_seconds"];

fn refused(reason: Reason, detail: &'static str, members: &'static [&'static str]) -> Case {
    let body = body(&integration_key(reason.as_str()));
    Case { family: INTEGRATION, body, status: 401, severity: "INFO", reason, detail, members }
}

fn cases() -> Vec<Case> {
    let unreadable = |body: &str, status, reason, detail| Case {
        family: AUTOJOIN,
        body: body.to_owned(),
        status,
        severity: "INFO",
        reason,
        detail,
        members: NONE,
    };
    let malformed = unreadable(&body(""), 401, Reason::Malformed, "malformed: the key is empty");
    let wrong_secret = Case {
        body: body("mlabk.cii_acme.ki_wrong.x"),
        ..refused(Reason::WrongSecret, "the secret is wrong", ANSWERED)
    };
    let unavailable = Case {
        status: 503,
        severity: "WARNING",
        ..refused(Reason::Unavailable, "the key store cannot be reached: as it was told", NAMED)
    };
    let crowded = Case {
        status: 503,
        ..refused(Reason::Crowded, "crowded: the key store is asked too much at once", NAMED)
    };
    let failed = Case {
        family: AUTOJOIN,
        body: body("failed"),
        status: 500,
        severity: "ERROR",
        ..refused(
            Reason::Failed,
            "the organization has a numeric id, and a token can only state a name",
            &[
                "jti",
                "issued_at",
                "expires_at",
                "lifetime_seconds",
                "fingerprint",
                "source",
                "store_seconds",
            ],
        )
    };
    let panic = Case {
        status: 500,
        severity: "ERROR",
        ..refused(Reason::Panic, "", &["integration", "key", "store_seconds"])
    };
    vec![
        unreadable("", 400, Reason::BodyEmpty, "there is no body"),
        unreadable("{", 400, Reason::BadJson, "the body is not JSON"),
        unreadable(
            "[]",
            400,
            Reason::BadJson,
            "the body is JSON, but no object with text as its api_key",
        ),
        unreadable(
            &"x".repeat(17_000),
            413,
            Reason::BodyTooLarge,
            "the body is larger than 16384 bytes",
        ),
        malformed,
        refused(Reason::Unknown, "there is no such key", ANSWERED),
        refused(
            Reason::Unusable,
            "the record of the key cannot be used: there is a property that no reader knows",
            ANSWERED,
        ),
        wrong_secret,
        refused(Reason::NotActive, "the key is not active", ANSWERED),
        refused(Reason::NotYetValid, "the key is not yet valid", ANSWERED),
        refused(Reason::Expired, "the key has expired", ANSWERED),
        refused(Reason::Revoked, "the key was revoked", ANSWERED),
        unavailable,
        crowded,
        failed,
        panic,
    ]
}

#[test]
fn every_exchange_without_a_token_leaves_one_record_with_its_reason_and_is_counted_once() {
    let house = House::open();
    for (number, case) in cases().iter().enumerate() {
        let before = house.counted(case.family, case.reason.as_str());
        let id = format!("case-{number}");
        let target = format!("/v0/token/{}", case.family);
        let request = Request::post(&target, case.body.as_str()).header("X-Request-Id", &id);
        let answer = house.send(&request);
        let reason = case.reason.as_str();
        assert_eq!(answer.status, case.status, "{reason}");
        let record = house.record(&id);
        assert_eq!(record["severity"], case.severity, "{record}");
        let audit = record["audit"].as_object().unwrap();
        assert_eq!(audit["schema"], 1);
        assert_eq!(audit["reason"], reason);
        assert_eq!(audit["decision"], case.reason.decision().as_str());
        assert_eq!(audit["family"], case.family);
        let detail = audit.get("detail").map_or("", |detail| detail.as_str().unwrap());
        assert_eq!(detail, case.detail);
        let own = audit.keys().map(String::as_str).filter(|name| {
            !["schema", "decision", "reason", "family", "request_id", "detail"].contains(name)
        });
        let mut members = case.members.to_vec();
        members.sort_unstable();
        assert_eq!(own.collect::<Vec<_>>(), members, "{reason}");
        let http = &record["httpRequest"];
        assert_eq!(http["requestMethod"], "POST");
        assert_eq!(http["requestUrl"], target);
        assert_eq!(http["status"], case.status);
        assert_eq!(http["protocol"], "HTTP/1.1");
        let latency = http["latency"].as_str().and_then(|latency| latency.strip_suffix('s'));
        assert!(latency.is_some_and(|seconds| seconds.parse::<f64>().is_ok()), "{http}");
        let labels = &record["logging.googleapis.com/labels"];
        assert_eq!(labels["audit"], "1");
        assert_eq!(labels["family"], case.family);
        assert_eq!(record["@type"].is_string(), case.reason == Reason::Failed, "{record}");
        // The marker of the house is counted, too.
        if case.reason != Reason::BodyEmpty {
            assert_eq!(house.counted(case.family, reason), before + 1, "{reason}");
        }
    }
}

#[test]
fn a_token_leaves_a_record_of_what_it_says_and_how_it_was_made() {
    let house = House::open();
    for (family, key, lifetime) in
        [(INTEGRATION, integration_key("fine"), 20), (AUTOJOIN, "fine".to_owned(), 3600)]
    {
        let target = format!("/v0/token/{family}");
        let request = Request::post(&target, body(&key)).header("X-Request-Id", family);
        let answer = house.send(&request);
        assert_eq!(answer.status, 200);
        let answer = answer.text();
        let token = Token::from_body(&answer).unwrap();
        let record = house.record(family);
        let audit = &record["audit"];
        assert_eq!(record["severity"], "INFO");
        assert_eq!((&audit["decision"], &audit["reason"]), (&"granted".into(), &"granted".into()));
        assert_eq!(audit["jti"], token.claims["jti"]);
        assert_eq!(audit["issued_at"], token.claims["iat"]);
        assert_eq!(audit["expires_at"], token.claims["exp"]);
        assert_eq!(audit["lifetime_seconds"], lifetime);
        assert_eq!(audit["algorithm"], "EdDSA");
        assert!(token.header_raw.contains(audit["kid"].as_str().unwrap()), "{record}");
        assert_eq!(audit["source"], "store");
        for seconds in ["store_seconds", "signing_wait_seconds", "signing_seconds"] {
            assert!(audit[seconds].as_f64().is_some_and(|took| took < 30.0), "{record}");
        }
        if family == INTEGRATION {
            let (integration, key) = (&audit["integration"], &audit["key"]);
            assert_eq!((integration, key), (&"acme".into(), &"ki_fine".into()));
        } else {
            assert_eq!(audit["organization"], "mlab");
            // SHA-256 of the key, its first 16 digits.
            assert_eq!(audit["fingerprint"], "d14a58bae804a2b8");
        }
    }
}

#[test]
fn a_body_that_breaks_off_is_told_from_one_that_is_no_json() {
    let house = House::open();
    let mut request = Request::post("/v0/token/autojoin", r#"{"api_"#);
    request.headers.retain(|(name, _)| name != "Content-Length");
    request.half_close = true;
    let answer =
        house.send(&request.header("Content-Length", "50").header("X-Request-Id", "broken"));
    assert_eq!(answer.status, 400);
    let record = house.record("broken");
    assert_eq!(record["audit"]["reason"], "body_broken");
    assert_eq!(record["audit"]["detail"], "the body broke off");
}

#[test]
fn an_exchange_that_is_cut_off_leaves_a_record_too() {
    let house = House::open();
    let request = Request::post("/v0/token/integration", body(&integration_key("abandoned")))
        .header("X-Request-Id", "gone");
    let mut socket = TcpStream::connect(&house.service.address).unwrap();
    socket.write_all(&[request.head(), request.body].concat()).unwrap();
    eventually("the store is asked", WITHIN, || {
        (house.hanging.load(Ordering::SeqCst) == 1).then_some(())
    });
    let gone = |record: &Value| record["audit"]["request_id"] == "gone";
    assert!(!house.records().iter().any(gone), "it is still under way");
    house.close();
    let record =
        eventually("the record is written", WITHIN, || house.records().into_iter().find(gone));
    assert_eq!(record["audit"]["decision"], "abandoned");
    assert_eq!(record["audit"]["key"], "ki_abandoned");
    assert_eq!(record["httpRequest"].get("status"), None, "nobody was told anything: {record}");
    assert_eq!(house.counted(INTEGRATION, "abandoned"), 1);
}
