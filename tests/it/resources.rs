//! What the service may take of its machine: the memory that callers can make it hold, and files.

use std::time::Duration;

use token_exchange::http::server::Limits;

use crate::support::http_client::{Connection, Request};
use crate::support::operator::Operator;
use crate::support::service::Launch;

const WITHIN: Duration = Duration::from_secs(30);
/// A container on Cloud Run.
const MEMORY_KIB: usize = 256 * 1024;
/// Enough to tell what one costs, and few enough for the usual limit of open files.
const SAMPLE: usize = 300;

#[test]
fn as_many_connections_as_may_be_open_fit_into_the_memory_whatever_they_send() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let before = peak_kib(service.process.id());
    let body = format!("{}{{}}", " ".repeat(16 * 1024 - 2));
    let request = Request::post("/v0/token/autojoin", body).header("X-Large", &"a".repeat(30_000));
    let bytes = [request.head(), request.body.clone()].concat();
    let (all_but_one, last) = bytes.split_at(bytes.len() - 1);

    let mut connections: Vec<_> = (0..SAMPLE)
        .map(|_| {
            let connection = Connection::open(service.address(), WITHIN).unwrap();
            connection.sender().unwrap().write(all_but_one);
            connection
        })
        .collect();
    for connection in &mut connections {
        connection.sender().unwrap().write(last);
        assert_eq!(connection.read_answer(&request).unwrap().status, 401);
    }

    let each = (peak_kib(service.process.id()) - before) / SAMPLE;
    let all = before + each * Limits::PRODUCTION.connections;
    assert!(all < MEMORY_KIB, "{each} KiB each, {all} KiB in all");
}

#[test]
fn as_many_files_may_be_open_as_the_machine_allows() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let launch = Launch::token_exchange_after("ulimit -S -n 64").recorded_signing_key();
    let service = operator.serve(launch);
    let limits = format!("/proc/{}/limits", service.process.id());
    let limits = std::fs::read_to_string(limits).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let [soft, hard, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{line}")
    };
    assert_eq!(soft, hard);
    assert_ne!(soft, "64");
}

/// The most memory that a process has ever held (Linux, `proc_pid_status(5)`).
fn peak_kib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("Linux says it")
}
