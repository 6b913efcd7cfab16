//! Reloads while every core is busy with tokens.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::file::{DAY_ZERO, dated, key, set};
use crate::support::eventually::{eventually, poll};
use crate::support::http_client::{Connection, Request};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service, Signal};
use crate::support::skip::announce;

const WITHIN: Duration = Duration::from_secs(30);
const WHOLE_TEST: Duration = Duration::from_mins(2);
const CLIENTS: usize = 4;
const ROUNDS: usize = 10;
const RELOADS_A_ROUND: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);
const IN_2100: u64 = 4_102_444_800;

/// Requests and pauses, without and with reloads.
#[derive(Default)]
struct Counts {
    requests: [AtomicUsize; 2],
    pauses: [AtomicUsize; 2],
    longest_micros: [AtomicUsize; 2],
}

#[test]
fn no_request_fails_under_full_load_while_the_keys_are_read_200_times() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys.json");
    let first = key("first");
    let files =
        [set(std::slice::from_ref(&first)), set(&[first, dated(key("next"), DAY_ZERO, IN_2100)])];
    fs::write(&file, &files[0]).unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let api_key = operator.integration_with_key("acme");
    let path = format!("-private-key-path={}", file.display());
    // The log is read again and again for what it says of reloads: without records it stays short.
    let launch = Launch::token_exchange().arg(&path).env("RUST_LOG", "token_exchange::audit=off");
    let service = operator.serve(launch);

    let (counts, reloading, done) =
        (Counts::default(), AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| exchange_until(&done, &service, &api_key, &reloading, &counts));
        }
        for round in 0..ROUNDS {
            reloading.store(false, Ordering::SeqCst);
            let quiet = Instant::now() + Duration::from_millis(500);
            poll(WITHIN, || (Instant::now() >= quiet).then_some(()));
            reloading.store(true, Ordering::SeqCst);
            for reload in 0..RELOADS_A_ROUND {
                fs::write(folder.path().join("beside"), &files[reload % 2]).unwrap();
                fs::rename(folder.path().join("beside"), &file).unwrap();
                let expected = round * RELOADS_A_ROUND + reload + 1;
                service.process.signal(Signal::HUP);
                eventually("the reload", WITHIN, || (reloads(&service) >= expected).then_some(()));
            }
        }
        done.store(true, Ordering::SeqCst);
    });
    let figure = |counts: &[AtomicUsize; 2], phase: usize| counts[phase].load(Ordering::SeqCst);
    for (phase, name) in ["without reloads", "during 200 reloads"].iter().enumerate() {
        let requests = figure(&counts.requests, phase);
        assert!(requests > 100, "{name}: {requests} requests are no load");
        announce(&format!(
            "{name}: {requests} tokens, {} took over 5 ms, the longest {} us",
            figure(&counts.pauses, phase),
            figure(&counts.longest_micros, phase)
        ));
    }
}

fn reloads(service: &Service) -> usize {
    service.process.stderr().matches("signing keys read again").count()
}

/// On one connection, one request after the other; each has to get its token.
fn exchange_until(
    done: &AtomicBool,
    service: &Service,
    api_key: &str,
    reloading: &AtomicBool,
    counts: &Counts,
) {
    let body = serde_json::json!({ "api_key": api_key }).to_string();
    // Without `Connection: close`.
    let request = Request::new("POST", "/v0/token/integration");
    let length = body.len();
    let bytes = format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut connection = Connection::open(service.address(), WHOLE_TEST).unwrap();
    let mut sender = connection.sender().unwrap();
    while !done.load(Ordering::SeqCst) {
        let phase = usize::from(reloading.load(Ordering::SeqCst));
        let begun = Instant::now();
        sender.write(bytes.as_bytes());
        let answer = connection.read_answer(&request).unwrap();
        let took = begun.elapsed();
        assert_eq!(answer.status, 200, "{}", answer.text());
        counts.requests[phase].fetch_add(1, Ordering::SeqCst);
        counts.pauses[phase].fetch_add(usize::from(took > PAUSE), Ordering::SeqCst);
        let micros = usize::try_from(took.as_micros()).unwrap();
        counts.longest_micros[phase].fetch_max(micros, Ordering::SeqCst);
    }
}
