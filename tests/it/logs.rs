//! The log, from the side of whoever should read it and does not.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::eventually::eventually;
use crate::support::http_client::Request;

const WITHIN: Duration = Duration::from_secs(30);
/// Lines of some 200 bytes each, one a request: a pipe holds 64 KiB of them.
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
    let dropped = events(log).find_map(|event| event["lines"].as_u64());
    assert!(dropped.is_some_and(|lines| lines > 0), "{dropped:?}");
    assert!(service.terminate().success());
}

/// A process with a log of which nothing is read but what a test reads.
struct Service {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Service {
    fn start() -> (Self, BufReader<ChildStderr>) {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_token-exchange"))
            .env_clear()
            .arg(format!("-key-store=sqlite:{}", folder.path().join("keys.db").display()))
            .arg(concat!(
                "-private-key-path=",
                env!("CARGO_MANIFEST_DIR"),
                "/tests/golden/signing-key.jwk"
            ))
            .args(["-port=0", "-prometheusx.listen-address=127.0.0.1:0", "-log-format=json"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address =
            events(&mut log).find_map(|event| Some(event["address"].as_str()?.to_owned()));
        let address = address.expect("it listens");
        let (_, port) = address.rsplit_once(':').unwrap();
        (Self { child, address: format!("127.0.0.1:{port}"), _folder: folder }, log)
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
