//! `explain`: a log in, and what became of a request out, whatever the log is like.

mod hostile;
mod live;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::service::{Finished, Launch};

const WITHIN: Duration = Duration::from_secs(30);
/// JSON lines as the service prints them.
const LINES: &str = include_str!("explain/lines.ndjson");
/// The same as `gcloud logging read --format=json` gives them, the newest first.
const ENTRIES: &str = include_str!("explain/entries.json");
const GRANTED_JTI: &str = "a7f99545-493d-44f7-8b1f-fb0f1030cd68";

fn explain(id: &str, log: &str) -> Finished {
    Launch::token_exchange().arg("explain").arg(id).run_on(log.as_bytes(), WITHIN)
}

/// The words of a log that has the request, in one line.
fn told(id: &str, log: &str) -> String {
    let finished = explain(id, log);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(told: &str, words: &[&str]) {
    for words in words {
        assert!(told.contains(words), "{words:?} is not in: {told}");
    }
}

/// A log of one record with these members.
fn record(audit: &Value) -> String {
    let mut whole = json!({ "schema": 1, "decision": "refused", "request_id": "req" });
    whole.as_object_mut().unwrap().extend(audit.as_object().unwrap().clone());
    json!({ "time": "2026-11-22T12:00:00Z", "audit": whole }).to_string() + "\n"
}

#[test]
fn a_granted_request_is_told_by_its_id_and_by_the_jti_of_its_token() {
    for id in ["req-granted", GRANTED_JTI] {
        let told = told(id, LINES);
        assert_says(
            &told,
            &[
                "2026-11-22T12:00:01Z (",
                "GRANTED: a token was given.",
                "integration acme",
                "key ki_first",
                "POST /v0/token/integration, answered 200, after 0.001234s",
                "signed with RS256, key 2026-11",
                "issued 2026-11-22T12:00:01Z (",
                "valid until 2026-11-22T12:00:21Z (",
                "answer from memory",
                "key store 1.2 ms, wait for the signature 0.1 ms, signature 0.4 ms",
                "trace 0af7651916cd43dd8448eb211c80319c",
                "What to do: nothing; if a verifier refused the token, `explain-token` says why.",
            ],
        );
    }
}

#[test]
fn a_refused_key_of_an_organization_is_told_with_its_reason_and_what_to_do() {
    let told = told("req-refused", LINES);
    assert_says(
        &told,
        &[
            "REFUSED: the key has expired.",
            "organization mlab",
            "fingerprint 3e5be4e4b5c91055",
            "What to do: make another; `roll` makes one in time.",
        ],
    );
}

#[test]
fn the_tries_of_a_client_are_told_from_the_first_to_the_last() {
    for log in [LINES, ENTRIES] {
        let told = told("req-again", log);
        assert_says(&told, &["2 records of this request: the client tried again."]);
        let (first, second) = (told.find("UNAVAILABLE").unwrap(), told.find("GRANTED").unwrap());
        assert!(first < second, "{told}");
        assert_says(&told, &["cause the key store cannot be reached: transport error"]);
    }
}

#[test]
fn what_cloud_logging_gives_back_tells_the_same_story() {
    for id in ["req-granted", "req-refused", "req-again"] {
        assert_eq!(told(id, ENTRIES), told(id, LINES), "{id}");
    }
}

#[test]
fn the_log_can_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.json");
    std::fs::write(&file, ENTRIES).unwrap();
    let file = file.to_str().unwrap();
    let launch = Launch::token_exchange().arg("explain").arg("req-refused").arg(file);
    assert!(launch.run(WITHIN).stdout.contains("REFUSED"));
    let launch = Launch::token_exchange().arg("explain").arg("req-refused").arg("/nothing.json");
    let refused = launch.run(WITHIN);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot read /nothing.json"), "{}", refused.stderr);
}

#[test]
fn programs_get_the_same_as_json() {
    let launch = Launch::token_exchange().arg("explain").arg("req-again").arg("-output=json");
    let finished = launch.run_on(LINES.as_bytes(), WITHIN);
    let told: Value = serde_json::from_str(&finished.stdout).unwrap();
    let reasons: Vec<_> =
        told["records"].as_array().unwrap().iter().map(|r| &r["reason"]).collect();
    assert_eq!(reasons, ["unavailable", "granted"]);
    assert_eq!(
        told["records"][0]["remedy"],
        "the store, or the network to it; the caller tries again"
    );
}

#[test]
fn programs_get_whole_numbers_and_times_whatever_the_log_made_of_them() {
    for log in [LINES, ENTRIES] {
        let launch = Launch::token_exchange().arg("explain").arg("req-granted").arg("-output=json");
        let finished = launch.run_on(log.as_bytes(), WITHIN);
        let told: Value = serde_json::from_str(&finished.stdout).unwrap();
        let record = &told["records"][0];
        assert_eq!(record["status"], 200);
        assert_eq!(record["latency"], "0.001234s");
        for time in ["store_seconds", "signing_wait_seconds", "signing_seconds"] {
            assert!(record[time].is_number(), "{time} in {record}");
        }
    }
}

#[test]
fn words_of_a_collector_before_each_line_are_passed_over() {
    for words in
        ["exchange-1  | ", "[pod/exchange-7d4b9c/exchange] ", "[2026-11-23T02:03:20Z] ", "[0] "]
    {
        let prefixed = LINES.trim_end().replace('\n', &format!("\n{words}"));
        let prefixed = format!("{words}{prefixed}");
        assert_eq!(told("req-granted", &prefixed), told("req-granted", LINES), "{words}");
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    for log in [LINES, ENTRIES] {
        assert_eq!(told("req-granted", &format!("\u{feff}{log}")), told("req-granted", log));
    }
}

#[test]
fn the_cause_decides_what_to_do_where_a_reason_has_several() {
    for (reason, detail, remedy) in [
        ("unavailable", "the key store refused the question: code 7", "permissions"),
        ("unavailable", "the key store failed: disk full", "SQLite's words"),
        (
            "failed",
            "the organization has a numeric id, and a token can only state a name",
            "a name",
        ),
        ("failed", "the signing key failed to sign", "report it"),
    ] {
        let told = told("req", &record(&json!({ "reason": reason, "detail": detail })));
        assert_says(&told, &[detail, remedy]);
    }
}

#[test]
fn a_reason_that_is_not_known_is_repeated_and_not_made_up() {
    let told = told("req", &record(&json!({ "reason": "weather" })));
    assert_says(&told, &["for a reason that this program does not know: weather"]);
}

#[test]
fn a_request_that_is_not_there_is_an_answer_with_hints() {
    let dropped = "{\"severity\":\"WARNING\",\"message\":\"log lines were dropped: they were not \
                   read fast enough\",\"lines\":17}\n";
    let finished = explain("nobody", &(LINES.to_owned() + dropped));
    assert_eq!((finished.status.code(), &*finished.stdout), (Some(1), ""));
    let told = finished.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_says(
        &told,
        &[
            "from 2026-11-22T12:00:01Z to 2026-11-22T12:00:05Z",
            "dropped 17 lines",
            "best effort",
            "error: there is no record of this request in the log",
        ],
    );
}

#[test]
fn a_log_without_any_record_says_what_it_should_have_been() {
    let text = "2026-11-22T13:40:27Z  INFO listening address=[::]:8080\n";
    for log in ["", "[]", "null", text, "{\"message\":\"listening\"}\n"] {
        let finished = explain("req", log);
        assert_eq!(finished.status.code(), Some(1), "{log}");
        assert!(finished.stderr.contains("-log-format json"), "{log}: {}", finished.stderr);
    }
    assert!(explain("req", text).stderr.contains("lines that are no JSON, and were skipped: 1"));
}

#[test]
fn a_record_of_a_later_schema_is_named_and_not_guessed_at() {
    let log = record(&json!({ "schema": 7, "reason": "granted" }));
    let finished = explain("req", &log);
    assert_eq!((finished.status.code(), &*finished.stdout), (Some(1), ""));
    let told = finished.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_says(&told, &["records of schema 7", "records of this request among them: 1"]);
}

#[test]
fn a_token_that_was_taken_back_is_one_story_whatever_the_order_of_its_lines() {
    let given = json!({ "schema": 1, "decision": "granted", "reason": "granted",
        "request_id": "req", "jti": "a7f99545-493d-44f7-8b1f-fb0f1030cd68" });
    let mut taken_back = given.clone();
    taken_back["decision"] = "unavailable".into();
    taken_back["reason"] = "audit".into();
    let (given, taken_back) = (record(&given), record(&taken_back));
    for log in [format!("{given}\n{taken_back}\n"), format!("{taken_back}\n{given}\n")] {
        let finished = explain("req", &log);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        let told = finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_says(&told, &["could not be written, so there is no token", "no token left"]);
        assert!(!told.contains("tried again") && !told.contains("GRANTED"), "{told}");
    }
}

#[test]
fn a_token_or_a_key_in_the_place_of_an_id_is_not_repeated() {
    for (word, hint) in
        [("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "explain-token"), ("mlabk.cii_a.ki_b.s", "API key")]
    {
        let refused = explain(word, LINES);
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains(hint), "{}", refused.stderr);
        assert!(!refused.stderr.contains(word), "{}", refused.stderr);
    }
}
