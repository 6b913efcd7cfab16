//! The flags of the limits, and what they do to a process.

use super::scene::{Scene, WITHIN, get};
use crate::support::http_client::{Connection, Request};
use crate::support::service::{Launch, Service};

#[test]
fn limits_that_cannot_work_are_refused_with_what_would() {
    for (flag, says) in [
        ("-max-queue-wait=99ms", "-max-queue-wait: it has to be between 100ms and 8s"),
        ("-max-queue-wait=9s", "-max-queue-wait: it has to be between 100ms and 8s"),
        ("-max-in-flight=0", "-max-in-flight: it has to be between 1 and 65535, not 0"),
        ("-max-in-flight=65536", "-max-in-flight: it has to be between 1 and 65535, not 65536"),
        ("-max-connections=0", "-max-connections: it has to be between 1 and 65535, not 0"),
        ("-max-connections=-1", "-max-connections: it has to be between 1 and 65535, not -1"),
        ("-signing-threads=-1", "-signing-threads: it has to be between 0 and 1024, not -1"),
    ] {
        let finished = Launch::token_exchange().recorded_signing_key().arg(flag).run(WITHIN);
        assert_eq!(finished.status.code(), Some(1), "{flag}");
        assert!(finished.stderr.contains(says), "{flag}: {}", finished.stderr);
    }
}

#[test]
fn there_are_as_many_signing_threads_as_were_asked_for() {
    assert_eq!(signing_threads(&Scene::new(&["-signing-threads=3"]).service), 3);
}

#[test]
fn without_the_flag_there_is_a_signing_thread_for_each_core_that_may_be_used() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(signing_threads(&Scene::new(&[]).service), cores);
    let on_one_core = Launch::token_exchange_after("taskset -cp 0 $$ > /dev/null")
        .recorded_signing_key()
        .arg("-key-store=sqlite::memory:");
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(signing_threads(&on_one_core.current_dir(folder.path()).serve()), 1);
}

#[test]
fn where_there_are_more_connections_than_may_be_the_one_idle_longest_makes_room() {
    let scene = Scene::new(&["-max-connections=1"]);
    let mut idle = Connection::open(scene.service.address(), WITHIN).unwrap();
    idle.sender().unwrap().write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(idle.read_answer(&Request::new("GET", "/health")).unwrap().status, 200);
    assert_eq!(scene.metric("tokenexchange_connections_open"), 1);
    assert_eq!(scene.metric("tokenexchange_connections_evicted_total"), 0);

    assert_eq!(get(&scene.service, "/health").status, 200);
    assert_eq!(idle.read_to_end().unwrap(), b"");
    assert_eq!(scene.metric("tokenexchange_connections_evicted_total"), 1);
}

#[test]
fn a_limit_of_open_files_that_is_too_low_for_the_connections_is_told_at_the_start() {
    for (connections, is_told) in [(100, false), (1000, true)] {
        let folder = tempfile::tempdir().unwrap();
        let launch = Launch::token_exchange_after("ulimit -n 512")
            .recorded_signing_key()
            .arg("-key-store=sqlite::memory:")
            .arg(&format!("-max-connections={connections}"));
        let log = launch.current_dir(folder.path()).serve().process.stderr();
        let told = log.lines().find(|line| line.contains("-max-connections"));
        assert_eq!(told.is_some(), is_told, "{connections}: {log}");
        assert!(told.is_none_or(|line| line.contains("WARNING") && line.contains("512")), "{log}");
    }
}

fn signing_threads(service: &Service) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", service.process.id())).unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.starts_with("signing-"))).count()
}
