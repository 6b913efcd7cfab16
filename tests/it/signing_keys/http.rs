//! The key set over HTTP, and signing keys of a service that runs.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use super::file::{DAY_ZERO, HOUR, dated, key, key_from, revoked, set};
use crate::support::eventually::eventually;
use crate::support::http_client::{Answer, Request};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service, Signal};

const WITHIN: Duration = Duration::from_secs(30);
const KEY_SET: &str = "/.well-known/jwks.json";
const IN_2100: u64 = 4_102_444_800;

/// A service with keys of its own and an empty store.
struct Fixture {
    folder: TempDir,
    service: Service,
}

impl Fixture {
    fn start(content: &[u8], flags: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("keys.json");
        fs::write(&file, content).unwrap();
        let store = folder.path().join("store.db");
        let launch = Launch::token_exchange()
            .arg(&format!("-private-key-path={}", file.display()))
            .arg(&format!("-key-store=sqlite:{}", store.display()));
        let service = flags.iter().fold(launch, |launch, flag| launch.arg(flag)).serve();
        Self { folder, service }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// As a mounted secret changes: at once.
    fn replace(&self, content: &[u8]) {
        let beside = self.folder.path().join("beside");
        fs::write(&beside, content).unwrap();
        fs::rename(beside, self.file()).unwrap();
    }

    fn ask(&self, request: &Request) -> Answer {
        request.send(self.service.address(), WITHIN).unwrap()
    }

    fn kids(&self) -> Vec<String> {
        let set: Value = serde_json::from_slice(&self.ask(&Request::get(KEY_SET)).body).unwrap();
        let keys = set["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits for words in the log.
    fn says(&self, words: &str) {
        eventually(words, WITHIN, || self.service.process.stderr().contains(words).then_some(()));
    }

    fn metrics(&self) -> String {
        let answer = Request::get("/metrics").send(self.service.metrics_address(), WITHIN).unwrap();
        String::from_utf8(answer.body).unwrap()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn one_key() -> Vec<u8> {
    set(&[key("only")])
}

#[test]
fn the_key_set_has_a_strong_tag_that_spares_sending_it_again() {
    let test = Fixture::start(&one_key(), &[]);
    let first = test.ask(&Request::get(KEY_SET));
    let tag = first.header("ETag").unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
    let lists = [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()];
    for known in &lists {
        let again = test.ask(&Request::get(KEY_SET).header("If-None-Match", known));
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("ETag"), Some(tag.as_str()));
        for kept in ["Cache-Control", "Access-Control-Allow-Origin"] {
            assert_eq!(again.header(kept), first.header(kept), "{kept}");
        }
    }
    for unknown in ["\"other\"", "", tag.trim_matches('"')] {
        let again = test.ask(&Request::get(KEY_SET).header("If-None-Match", unknown));
        assert_eq!((again.status, &again.body), (200, &first.body), "{unknown}");
    }
}

#[test]
fn head_is_get_without_the_body() {
    let test = Fixture::start(&one_key(), &[]);
    let get = test.ask(&Request::get(KEY_SET));
    let mut request = Request::get(KEY_SET);
    request.method = "HEAD".to_owned();
    let head = test.ask(&request);
    assert_eq!((head.status, head.body.len()), (200, 0));
    for name in ["ETag", "Content-Type", "Content-Length", "Cache-Control"] {
        assert!(head.header(name).is_some(), "{name}");
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
}

#[test]
fn instances_with_one_file_send_the_same_bytes_and_the_same_tag() {
    let file = set(&[key_from("a", DAY_ZERO), key_from("b", DAY_ZERO - 99)]);
    let (one, other) = (Fixture::start(&file, &[]), Fixture::start(&file, &[]));
    let (one, other) = (one.ask(&Request::get(KEY_SET)), other.ask(&Request::get(KEY_SET)));
    assert_eq!(one.body, other.body);
    assert_eq!(one.header("ETag"), other.header("ETag"));
}

#[test]
fn sighup_reads_the_file_at_once_and_a_bad_one_changes_nothing() {
    let only = key("only");
    let test = Fixture::start(&set(std::slice::from_ref(&only)), &["-key-reload-interval=1h"]);
    let tag = test.ask(&Request::get(KEY_SET)).header("ETag").unwrap().to_owned();
    test.replace(&set(&[only, dated(key("next"), DAY_ZERO, IN_2100)]));
    test.service.process.signal(Signal::HUP);
    eventually("both keys", WITHIN, || (test.kids() == ["only", "next"]).then_some(()));
    assert_ne!(test.ask(&Request::get(KEY_SET)).header("ETag"), Some(tag.as_str()));

    test.replace(b"{\"keys\":[{\"kty\":\"RSA\"");
    test.service.process.signal(Signal::HUP);
    eventually("the failure is counted", WITHIN, || {
        test.metrics().contains("tokenexchange_signing_key_reload_failures_total 1").then_some(())
    });
    assert_eq!(test.kids(), ["only", "next"]);
    test.says("it ends too early");
}

#[test]
fn a_request_sees_the_new_file_without_any_signal() {
    let only = key("only");
    let test = Fixture::start(&set(std::slice::from_ref(&only)), &["-key-reload-interval", "1s"]);
    test.replace(&set(&[only, dated(key("next"), DAY_ZERO, IN_2100)]));
    eventually("both keys", WITHIN, || (test.kids() == ["only", "next"]).then_some(()));
}

#[test]
fn a_token_request_sees_the_new_file_too() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("keys.json");
    let leaked = key("leaked");
    fs::write(&file, set(std::slice::from_ref(&leaked))).unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("store.db"));
    let api_key = operator.organization_with_key("mlab");
    let launch = Launch::token_exchange()
        .arg(&format!("-private-key-path={}", file.display()))
        .arg("-key-reload-interval=1s");
    let service = operator.serve(launch);
    // No key set is asked for: nothing but the token request can look at the file.
    let signed_by = || {
        let token = service.token("autojoin", &api_key);
        jsonwebtoken::decode_header(&token).unwrap().kid.unwrap()
    };
    assert_eq!(signed_by(), "leaked");
    let beside = folder.path().join("beside");
    fs::write(&beside, set(&[revoked(leaked, DAY_ZERO), key("next")])).unwrap();
    fs::rename(beside, &file).unwrap();
    eventually("a token of the next key", WITHIN, || (signed_by() == "next").then_some(()));
}

#[test]
fn that_a_key_is_past_its_exp_is_told_once() {
    let mut expired = key_from("expired", DAY_ZERO);
    expired["exp"] = (DAY_ZERO + 1).into();
    let test = Fixture::start(&set(&[expired]), &["-key-reload-interval=1h"]);
    let count = |words: &str| test.service.process.stderr().matches(words).count();
    for reload in 1..=2 {
        test.service.process.signal(Signal::HUP);
        eventually("the reload", WITHIN, || {
            (count("signing keys read again") == reload).then_some(())
        });
    }
    assert_eq!(count("past its exp"), 1);
}

#[test]
fn the_log_tells_when_a_key_begins_to_sign_and_when_one_leaves_the_key_set() {
    let now = now();
    // In eight seconds a key retires, in ten another signs: a slow machine has started by then.
    let keys = [
        key_from("retires", now - 100 * HOUR),
        key_from("signs", now + 8 - 3720),
        key_from("next", now + 10),
    ];
    let test = Fixture::start(&set(&keys), &["-key-reload-interval=1s"]);
    assert_eq!(test.kids(), ["signs", "retires", "next"]);
    eventually("the next key signs", WITHIN, || (test.kids() == ["next", "signs"]).then_some(()));
    let told = eventually("a line of it", WITHIN, || {
        test.kids();
        let log = test.service.process.stderr();
        log.lines().find(|line| line.contains("another key signs")).map(str::to_owned)
    });
    for words in ["next", "signs", "INFO"] {
        assert!(told.contains(words), "{told}");
    }
    test.says("a signing key has left the key set");
    let begun = "\"signing keys read\"";
    let log = test.service.process.stderr();
    let line = log.lines().find(|line| line.contains(begun)).unwrap();
    let start: jiff::Timestamp = line
        .split_once("\"next_start\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(time, _)| time.parse().unwrap())
        .unwrap();
    assert_eq!(start.as_second(), i64::try_from(now + 10).unwrap());
}

#[test]
fn an_unsafe_rotation_publishes_both_keys_and_is_called_so() {
    let bare = |kid| serde_json::to_vec(&key(kid)).unwrap();
    let test = Fixture::start(&bare("old"), &[]);
    test.replace(&bare("new"));
    test.service.process.signal(Signal::HUP);
    eventually("both keys", WITHIN, || (test.kids() == ["old", "new"]).then_some(()));
    test.says("unsafe rotation");
    test.says("signing-key rotate");
}

#[test]
fn a_key_that_signs_as_soon_as_it_is_seen_is_told_and_one_that_waits_is_not() {
    let words = "a key signs that was not published before";
    let old = key("old");
    let test = Fixture::start(&set(std::slice::from_ref(&old)), &["-key-reload-interval=1h"]);
    let waiting = dated(key("waiting"), DAY_ZERO, IN_2100);
    test.replace(&set(&[old.clone(), waiting.clone()]));
    test.service.process.signal(Signal::HUP);
    eventually("both keys", WITHIN, || (test.kids() == ["old", "waiting"]).then_some(()));
    assert!(!test.service.process.stderr().contains(words));
    // Without dates, the first in the file signs.
    test.replace(&set(&[key("hasty"), old, waiting]));
    test.service.process.signal(Signal::HUP);
    eventually("all keys", WITHIN, || (test.kids() == ["hasty", "old", "waiting"]).then_some(()));
    test.says(words);
}

#[test]
fn the_metrics_tell_which_set_it_is_and_what_comes_next() {
    let mut signs = key_from("signs", DAY_ZERO);
    signs["exp"] = (DAY_ZERO + 1).into();
    let test = Fixture::start(&set(&[signs, dated(key("next"), DAY_ZERO, IN_2100)]), &[]);
    let tag = test.ask(&Request::get(KEY_SET)).header("ETag").unwrap().to_owned();
    let page = test.metrics();
    let info = format!("tokenexchange_signing_key_set_info{{hash={tag}}} 1");
    assert!(page.contains(&info), "{info} is not in\n{page}");
    let value = |name: &str| -> u64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    let start = value("tokenexchange_signing_key_next_start_seconds ");
    assert_eq!(value("tokenexchange_signing_key_next_retirement_seconds "), start + 3720);
    assert!(value("tokenexchange_signing_key_past_expiry_seconds ") > 0);
    assert_eq!(value("tokenexchange_signing_key_reload_failures_total "), 0);
    test.says("past its exp");
    test.says("Cloud Endpoints refuses");
}

#[test]
fn check_compares_what_is_published_with_the_file() {
    let only = key("only");
    let test = Fixture::start(&set(std::slice::from_ref(&only)), &["-key-reload-interval=1h"]);
    let url = format!("http://{}{KEY_SET}", test.service.address());
    let file = test.file();
    let check = |samples: &str| {
        Launch::token_exchange()
            .arg("signing-key")
            .arg("check")
            .arg(&url)
            .arg(file.to_str().unwrap())
            .arg(samples)
            .run(WITHIN)
    };
    let same = check("--samples=3");
    assert_eq!(same.status.code(), Some(0), "{same:?}");
    assert!(same.stdout.contains("3 of 3 answers"), "{}", same.stdout);
    test.replace(&set(&[only, dated(key("next"), DAY_ZERO, IN_2100)]));
    let differs = check("--samples=1");
    assert_eq!(differs.status.code(), Some(3), "{differs:?}");
    assert!(differs.stdout.contains("next of the file is not published"), "{}", differs.stdout);
}

#[test]
fn a_key_that_waits_is_safe_after_its_last_hour_for_an_upload_if_it_is_published() {
    let now = now();
    let keys = set(&[key("only"), dated(key("next"), now - 15 * HOUR, now + HOUR)]);
    let test = Fixture::start(&keys, &[]);
    let (file, url) = (test.file(), format!("http://{}{KEY_SET}", test.service.address()));
    let check = || Launch::token_exchange().arg("signing-key").arg("check");
    let file = file.to_str().unwrap();
    assert_eq!(check().arg(file).run(WITHIN).status.code(), Some(3));
    let both = check().arg(file).arg(&url).run(WITHIN);
    assert_eq!(both.status.code(), Some(0), "{both:?}");
}

#[test]
fn an_interval_that_would_break_the_promise_is_refused() {
    for interval in ["0s", "500ms", "61m", "soon"] {
        let finished =
            Launch::token_exchange().arg("-key-reload-interval").arg(interval).run(WITHIN);
        assert!(matches!(finished.status.code(), Some(1 | 2)), "{interval}: {finished:?}");
    }
}
