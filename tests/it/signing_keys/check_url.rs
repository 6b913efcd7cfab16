//! `signing-key check URL`, against key sets that are not as they should be.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::file::{DAY_ZERO, key, key_from, revoked, set};
use crate::support::service::{Finished, Launch};

const WITHIN: Duration = Duration::from_mins(1);
const OURS: &str = "public, max-age=3600, must-revalidate";

/// Answers one request on each connection, each time with the next body, the last one for ever.
struct Publisher {
    address: SocketAddr,
}

impl Publisher {
    fn of(bodies: &[Vec<u8>]) -> Self {
        Self::start(bodies, 200, OURS)
    }

    /// Its thread ends with the tests.
    fn start(bodies: &[Vec<u8>], status: u16, cache_control: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let answers: Vec<Vec<u8>> = bodies
            .iter()
            .map(|body| {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nCache-Control: {cache_control}\r\n\
                     Content-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                [head.as_bytes(), body].concat()
            })
            .collect();
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                answer(stream, &answers[number.min(answers.len() - 1)]);
            }
        });
        Self { address }
    }

    fn check(&self, more: &[&str]) -> Finished {
        let url = format!("http://{}/.well-known/jwks.json", self.address);
        let launch = Launch::token_exchange().arg("signing-key").arg("check").arg(&url);
        more.iter().fold(launch, |launch, arg| launch.arg(arg)).run(WITHIN)
    }

    /// What it finds; there has to be something.
    fn findings(&self, more: &[&str]) -> Vec<String> {
        let finished = self.check(&[more, &["--output=json"]].concat());
        assert_eq!(finished.status.code(), Some(3), "{finished:?}");
        let report: Value = serde_json::from_str(&finished.stdout).unwrap();
        serde_json::from_value(report["findings"].clone()).unwrap()
    }
}

fn answer(mut stream: TcpStream, answer: &[u8]) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
    // Who asked may have heard enough.
    let _ = stream.write_all(answer);
}

fn public(key: &Value) -> Value {
    let mut key = key.clone();
    key.as_object_mut().unwrap().remove("d");
    key
}

fn file(folder: &TempDir, keys: &[Value]) -> String {
    let path = folder.path().join("keys.json");
    fs::write(&path, set(keys)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn instances_that_publish_different_sets_are_found() {
    let (old, new) = (public(&key("old")), public(&key("new")));
    let sets = [set(std::slice::from_ref(&old)), set(&[old, new])];
    let publisher = Publisher::of(&sets);
    let findings = publisher.findings(&["--samples=3"]);
    assert!(findings[0].contains("the instances publish 2 different key sets"), "{findings:?}");
    assert_eq!(findings.len(), 1, "{findings:?}");
}

#[test]
fn a_private_key_that_is_published_is_found_and_not_repeated() {
    let leaked = key("leaked");
    let finished = Publisher::of(&[set(std::slice::from_ref(&leaked))]).check(&[]);
    assert_eq!(finished.status.code(), Some(3), "{finished:?}");
    assert!(finished.stdout.contains("the PRIVATE key leaked is published"), "{finished:?}");
    let secret = leaked["d"].as_str().unwrap();
    assert!(!finished.stdout.contains(secret) && !finished.stderr.contains(secret));
}

#[test]
fn an_empty_key_set_is_found() {
    let findings = Publisher::of(&[set(&[])]).findings(&[]);
    assert!(findings[0].contains("the key set is empty"), "{findings:?}");
}

#[test]
fn a_revoked_key_that_is_still_published_and_one_that_the_file_lacks_are_found() {
    let folder = TempDir::new().unwrap();
    let (leaked, good, alien) = (key_from("leaked", DAY_ZERO), key("good"), key("alien"));
    let published = [&leaked, &good, &alien].map(public);
    let path = file(&folder, &[revoked(leaked, DAY_ZERO + 1), good]);
    let findings = Publisher::of(&[set(&published)]).findings(&[&path]);
    assert_eq!(
        findings,
        ["alien is published and not in the file.", "leaked is revoked and still published."]
    );
}

#[test]
fn another_key_of_the_same_kid_is_not_taken_for_the_one_of_the_file() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, &[key("same")]);
    let findings = Publisher::of(&[set(&[public(&key("same"))])]).findings(&[&path]);
    assert_eq!(
        findings,
        ["same is published and not in the file.", "same of the file is not published."]
    );
}

#[test]
fn a_cache_control_that_outlasts_a_rotation_is_found() {
    let sets = [set(&[public(&key("only"))])];
    for (cache_control, is_found) in [
        (OURS, false),
        ("no-cache", false),
        ("public, max-age=3601", true),
        ("max-age=60, S-MaxAge=\"86400\"", true),
    ] {
        let finished = Publisher::start(&sets, 200, cache_control).check(&[]);
        let says = finished.stdout.contains("verifiers are told to keep the key set for");
        assert_eq!(says, is_found, "{cache_control}: {finished:?}");
        assert_eq!(finished.status.code(), Some(if is_found { 3 } else { 0 }), "{cache_control}");
    }
}

#[test]
fn what_is_no_key_set_is_an_error() {
    let too_much = vec![b' '; 300 * 1024];
    let no_set = json!({ "error": "x" }).to_string().into_bytes();
    for (body, status, words) in [
        (no_set, 200, "does not answer with a key set"),
        (too_much, 200, "more than a key set can be"),
        (set(&[]), 503, "answers 503"),
    ] {
        let finished = Publisher::start(&[body], status, OURS).check(&[]);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains(words), "{finished:?}");
    }
}

#[test]
fn what_a_stranger_publishes_does_not_act_on_the_terminal() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, &[key("only")]);
    let sets = [set(&[public(&key("\u{1b}[2J\nNothing found."))])];
    let finished = Publisher::of(&sets).check(&[&path]);
    assert!(!finished.stdout.contains('\u{1b}'), "{finished:?}");
    assert!(!finished.stdout.lines().any(|line| line == "Nothing found."), "{finished:?}");
}
