//! The log, from the side of whoever should read it and does not.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually::eventually;
use crate::support::http_client::Request;
use crate::support::service::Launch;
use crate::support::stand_in::FailingStore;

const WITHIN: Duration = Duration::from_secs(30);
/// Lines of some 500 bytes each, one a request: a pipe holds 64 KiB of them.
const MORE_THAN_A_PIPE_HOLDS: usize = 800;

#[test]
fn a_service_goes_on_and_ends_well_when_nobody_holds_the_other_end_of_its_log() {
    let (mut service, log) = Service::start();
    drop(log);
    assert_eq!(service.refuse(), 401);
    assert_eq!(service.refuse(), 401);
    assert!(service.terminate().success());
}

#[test]
fn a_service_goes_on_and_ends_in_time_when_nobody_reads_its_log() {
    let (mut service, _log) = Service::start();
    for _ in 0..MORE_THAN_A_PIPE_HOLDS {
        assert_eq!(service.refuse(), 401);
    }
    assert!(service.terminate().success());
}

#[test]
fn lines_that_found_no_room_are_counted_when_reading_goes_on() {
    let (mut service, log) = Service::start();
    // More than the pipe and the queue hold together.
    for _ in 0..3 * MORE_THAN_A_PIPE_HOLDS {
        assert_eq!(service.refuse(), 401);
    }
    let page = Request::get("/metrics").send(&service.metrics_address, WITHIN).unwrap().text();
    let series = r#"tokenexchange_log_lines_dropped_total{kind="audit"} "#;
    let counted = page.lines().find_map(|line| line.strip_prefix(series)?.parse::<u64>().ok());
    assert!(counted.is_some_and(|lines| lines > 0), "{page}");
    let none = r#"tokenexchange_log_lines_dropped_total{kind="log"} 0"#;
    assert!(page.contains(none), "{page}");
    let dropped = events(log).find_map(|event| event["lines"].as_u64());
    assert_eq!(dropped, counted);
    assert!(service.terminate().success());
}

#[test]
fn a_flood_of_records_pushes_out_no_error() {
    let (mut service, log) = Service::start();
    for _ in 0..3 * MORE_THAN_A_PIPE_HOLDS {
        assert_eq!(service.refuse(), 401);
    }
    std::fs::write(service.key_file(), "no key").unwrap();
    kill_process(Pid::from_child(&service.child), Signal::HUP).unwrap();
    // Until it has found out: what was there before is written first.
    eventually("the file is looked at", WITHIN, || {
        let page = Request::get("/metrics").send(&service.metrics_address, WITHIN).unwrap().text();
        page.contains("tokenexchange_signing_key_reload_failures_total 1").then_some(())
    });
    let words = "the signing keys stay as they were: the new file cannot be used";
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(events(log).find(|event| event["message"] == words)));
    let error = told.recv_timeout(WITHIN).expect("the error comes out").unwrap();
    assert_eq!(error["severity"], "ERROR");
    assert!(service.terminate().success());
}

#[test]
fn whatever_rust_log_says_a_library_is_heard_only_when_it_warns() {
    for rust_log in ["trace", "h2=trace,hyper=trace,tonic=trace,log=trace,token_exchange=trace"] {
        // Its protocol is one that libraries have much to say about.
        let store = FailingStore::start(7);
        let service = Launch::token_exchange()
            .recorded_signing_key()
            .keys_in(store.host(), "any")
            .env("RUST_LOG", rust_log)
            .serve();
        assert_eq!(service.exchange("autojoin", "any").status, 503);
        let log = eventually("the record is written", WITHIN, || {
            let log = service.process.stderr();
            log.contains("token_exchange::audit").then_some(log)
        });
        for event in events(log.as_bytes()) {
            let is_ours = event["target"].as_str().unwrap().starts_with("token_exchange");
            let is_loud = event["severity"] == "WARNING" || event["severity"] == "ERROR";
            assert!(is_ours || is_loud, "RUST_LOG={rust_log}: {event}");
        }
    }
}

#[test]
fn rust_log_turns_modules_off_and_what_is_no_filter_is_refused() {
    let store = FailingStore::start(7);
    let launch = || Launch::token_exchange().recorded_signing_key().keys_in(store.host(), "any");
    let mut service = launch().env("RUST_LOG", "token_exchange::audit=off").serve();
    assert_eq!(service.exchange("autojoin", "").status, 401);
    service.process.signal(Signal::TERM);
    assert!(service.process.wait_exit(WITHIN).success());
    let log = service.process.stderr();
    assert!(log.contains("listening") && !log.contains("token_exchange::audit"), "{log}");

    let refused = launch().env("RUST_LOG", "h2=loud").run(WITHIN);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("RUST_LOG: \"h2=loud\" is no filter"), "{}", refused.stderr);
}

#[test]
fn a_record_names_its_trace_and_the_project_that_it_is_in() {
    let store = FailingStore::start(7);
    let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    for (project, name) in [
        (Some("traces-are-here"), format!("projects/traces-are-here/traces/{trace}")),
        // That of the store, where somebody has named one.
        (None, format!("projects/store/traces/{trace}")),
    ] {
        let launch = Launch::token_exchange().recorded_signing_key().keys_in(store.host(), "store");
        let launch =
            project.into_iter().fold(launch, |launch, id| launch.env("GOOGLE_CLOUD_PROJECT", id));
        let service = launch.serve();
        let request = Request::post("/v0/token/autojoin", "");
        let request = request.header("traceparent", &format!("00-{trace}-{span}-01"));
        assert_eq!(request.send(service.address(), WITHIN).unwrap().status, 400);
        let record = eventually("the record is written", WITHIN, || {
            let log = service.process.stderr();
            events(log.as_bytes()).find(|event| event["target"] == "token_exchange::audit")
        });
        assert_eq!(record["logging.googleapis.com/trace"], name.as_str());
        assert_eq!(record["logging.googleapis.com/spanId"], span);
        assert_eq!(record["logging.googleapis.com/trace_sampled"], true);
    }
}

#[test]
fn a_record_in_text_is_one_line_that_a_terminal_obeys_nothing_of() {
    let store = FailingStore::start(7);
    let service = Launch::token_exchange()
        .recorded_signing_key()
        .keys_in(store.host(), "any")
        .serve_logging_text();
    let body = r#"{"api_key":"mlabk.cii_a\u001b[2Jb\n.ki_1.x"}"#;
    let request = Request::post("/v0/token/integration", body).header("X-Request-Id", "mine");
    assert_eq!(request.send(service.address(), WITHIN).unwrap().status, 503);
    let line = eventually("the record is written", WITHIN, || {
        let log = service.process.stderr();
        log.lines().find(|line| line.contains("request_id=mine")).map(str::to_owned)
    });
    let words = " WARN it could not be found out whether a key is right decision=unavailable \
                 reason=unavailable family=integration request_id=mine \
                 integration=\"a\\u{1b}[2Jb\\n\" key=\"ki_1\" store_seconds=";
    assert!(line.contains(words), "{line}");
    assert!(line.contains(" status=503 latency="), "{line}");
}

/// A process with a log of which nothing is read but what a test reads.
struct Service {
    child: Child,
    address: String,
    metrics_address: String,
    folder: TempDir,
}

impl Service {
    fn start() -> (Self, BufReader<ChildStderr>) {
        let folder = tempfile::tempdir().unwrap();
        let key_file = folder.path().join("key.jwk");
        std::fs::write(&key_file, crate::support::golden::text("signing-key.jwk")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_token-exchange"))
            .env_clear()
            .arg(format!("-key-store=sqlite:{}", folder.path().join("keys.db").display()))
            .arg(format!("-private-key-path={}", key_file.display()))
            .args(["-port=0", "-prometheusx.listen-address=127.0.0.1:0", "-log-format=json"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let listening = events(&mut log).find(|event| event["message"] == "listening");
        let listening = listening.expect("it listens");
        let (_, port) = listening["address"].as_str().unwrap().rsplit_once(':').unwrap();
        let address = format!("127.0.0.1:{port}");
        let metrics_address = listening["metrics_address"].as_str().unwrap().to_owned();
        (Self { child, address, metrics_address, folder }, log)
    }

    fn key_file(&self) -> std::path::PathBuf {
        self.folder.path().join("key.jwk")
    }

    /// Has a request refused, which is logged; the status.
    fn refuse(&self) -> u16 {
        let request = Request::post("/v0/token/integration", r#"{"api_key":"no key"}"#);
        request.send(&self.address, WITHIN).expect("every request gets an answer").status
    }

    fn terminate(&mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        eventually("the service ends", WITHIN, || self.child.try_wait().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn events(log: impl BufRead) -> impl Iterator<Item = Value> {
    log.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok())
}
