//! What callers do: right and wrong keys and bodies, and requests that are counted nowhere.

use super::Row;
use super::stage::{
    FAMILIES, KEYS, WITHIN, answers, asked, once, present, rejected, rejection, send, source,
    stage, times, tokens,
};
use crate::support::http_client::{Connection, Request};

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in FAMILIES {
        rows.extend([
            a_token(family),
            body(family, "", "body_empty", 400),
            body(family, "[", "bad_json", 400),
            body(family, &"x".repeat(17_000), "body_too_large", 413),
            body(family, r#"{"api_key":""}"#, "malformed", 401),
            a_slow_body(family),
            refused(family, "unknown", "absence", || unknown(family).to_owned()),
            refused(family, "not_yet_valid", "key", || key(family, "not_yet_valid")),
            refused(family, "expired", "key", || key(family, "expired")),
            remembered_for_a_moment(family),
        ]);
    }
    rows.extend([
        refused("integration", "revoked", "key", || key("integration", "revoked")),
        // The record has gone with the key, and only its facts are left.
        refused("autojoin", "revoked", "absence", || key("autojoin", "revoked")),
        refused("integration", "not_active", "key", || key("integration", "not_active")),
        refused("integration", "wrong_secret", "key", || key("integration", "valid") + "x"),
        not_counted("404", Request::get("/nothing"), 404),
        not_counted("405", Request::get("/v0/token/integration"), 405),
        not_counted("405 on the key set", Request::post("/.well-known/jwks.json", ""), 405),
        not_counted("301", Request::post("//v0/token/autojoin", "{}"), 301),
        not_counted("health", Request::get("/health"), 200),
        not_counted("ready", Request::get("/ready"), 200),
        not_counted("the key set", Request::get("/.well-known/jwks.json"), 200),
        not_counted(
            "the key set, which is known",
            Request::get("/.well-known/jwks.json").header("If-None-Match", "*"),
            304,
        ),
        the_page_itself(),
    ]);
    rows
}

fn key(family: &str, name: &str) -> String {
    KEYS.key(family, name).to_owned()
}

fn unknown(family: &str) -> &'static str {
    if family == "integration" { "mlabk.cii_nobody.ki_none.secret" } else { "nobody's" }
}

fn a_token(family: &'static str) -> Row {
    Row::new(
        format!("a token, {family}"),
        move || {
            let act = move |service: &_| present(service, family, &key(family, "valid"), 200);
            Some(stage(KEYS.serve(&[]), act))
        },
        [tokens(1, family), asked("key")],
    )
}

/// Nobody asks the store.
fn body(family: &'static str, body: &str, reason: &str, code: u16) -> Row {
    let request = Request::post(&format!("/v0/token/{family}"), body);
    Row::new(
        format!("{reason}, {family}"),
        move || Some(stage(KEYS.serve(&[]), move |service| send(service, &request, code))),
        [rejected(family, reason, code)],
    )
}

fn a_slow_body(family: &'static str) -> Row {
    let mut request = Request::post(&format!("/v0/token/{family}"), r#"{"api_"#);
    request.headers.retain(|(name, _)| name != "Content-Length");
    let request = request.header("Content-Length", "50");
    Row::new(
        format!("body_too_slow, {family}"),
        move || Some(stage(KEYS.serve(&[]), move |service| send(service, &request, 408))),
        [rejected(family, "body_too_slow", 408)],
    )
}

/// The store says what it knows of the key, and that is remembered.
fn refused(
    family: &'static str,
    reason: &str,
    remembered: &str,
    key: impl FnOnce() -> String + Send + 'static,
) -> Row {
    Row::new(
        format!("{reason}, {family}"),
        move || {
            let key = key();
            Some(stage(KEYS.serve(&[]), move |service| present(service, family, &key, 401)))
        },
        [rejected(family, reason, 401), asked(remembered)],
    )
}

/// Twice in one go, so that it is the same moment on any machine.
fn remembered_for_a_moment(family: &'static str) -> Row {
    Row::new(
        format!("unknown twice, {family}"),
        move || {
            Some(stage(KEYS.serve(&[]), move |service| {
                let key = serde_json::json!({ "api_key": unknown(family) }).to_string();
                let mut request = Request::post(&format!("/v0/token/{family}"), key);
                request.headers.retain(|(name, _)| name != "Connection");
                let mut connection = Connection::open(service.address(), WITHIN).unwrap();
                let one = [request.head(), request.body.clone()].concat();
                connection.sender().unwrap().write(&one.repeat(2));
                for _ in 0..2 {
                    assert_eq!(connection.read_answer(&request).unwrap().status, 401);
                }
            }))
        },
        [
            answers(2, family, 401),
            times(2, rejection(family, "unknown")),
            asked("absence"),
            once(source("absence")),
        ],
    )
}

fn not_counted(what: &str, request: Request, status: u16) -> Row {
    let act = move |service: &_| send(service, &request, status);
    Row::new(what, move || Some(stage(KEYS.serve(&[]), act)), [])
}

fn the_page_itself() -> Row {
    let act = |service: &crate::support::service::Service| service.metrics_page();
    Row::new("the metrics page", move || Some(stage(KEYS.serve(&[]), act)), [])
}
