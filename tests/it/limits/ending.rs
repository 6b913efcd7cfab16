//! SIGTERM and SIGSTOP in the middle of everything.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::scene::{Scene, WITHIN, scaled};
use crate::support::eventually::{eventually, poll};
use crate::support::http_client::{Connection, Request};
use crate::support::load::{Arrivals, generate};
use crate::support::service::{Launch, Signal};
use crate::support::stand_in::SilentStore;

/// What is promised; the platform grants ten.
const EXIT_WITHIN: Duration = Duration::from_secs(8);
/// An attempt to connect that the closing port drops is repeated after a second.
const CONNECT_WITHIN: Duration = Duration::from_millis(500);
const CLIENTS: usize = 4;
const ENOUGH: usize = 20;

/// `SIGTERMS=50` in the environment is what is promised.
#[test]
fn no_request_that_got_a_connection_is_broken_by_the_end() {
    for round in 0..scaled("SIGTERMS", 3) {
        let mut scene = Scene::new(&[]);
        // An address of this machine for each round: on one alone, the clients would run out of
        // ports, each of which rests for a minute.
        let host = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(round % 250).unwrap());
        let answered = AtomicUsize::new(0);
        let ended = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| until_refused(host, &scene, &answered)))
                .collect();
            eventually("some load", WITHIN, || {
                (answered.load(Ordering::SeqCst) >= ENOUGH).then_some(())
            });
            scene.service.process.signal(Signal::TERM);
            let signalled = Instant::now();
            for client in clients {
                client.join().unwrap();
            }
            signalled
        });
        assert!(scene.service.process.wait_exit(WITHIN).success(), "round {round}");
        let took = ended.elapsed();
        assert!(took < EXIT_WITHIN, "round {round}: {took:?}");
    }
}

/// Makes a new connection for each exchange, until none is to be had.
fn until_refused(host: Ipv4Addr, scene: &Scene, answered: &AtomicUsize) {
    let mut address: SocketAddr = scene.service.address().parse().unwrap();
    address.set_ip(host.into());
    let body = serde_json::json!({ "api_key": scene.api_key }).to_string();
    let request = Request::post("/v0/token/integration", body);
    let bytes = [request.head(), request.body.clone()].concat();
    while let Ok(stream) = TcpStream::connect_timeout(&address, CONNECT_WITHIN) {
        let mut connection = Connection::over(stream, WITHIN).unwrap();
        connection.sender().unwrap().write(&bytes);
        let answer = connection.read_answer(&request).expect("who is connected is answered");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answered.fetch_add(1, Ordering::SeqCst);
    }
}

/// `STOPPED_SECONDS=60` in the environment is what is promised.
#[test]
fn a_service_that_was_stopped_answers_within_a_second() {
    let scene = Scene::new(&[]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            // Whatever they are told: what waited all the while may come too late.
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    let _ = Request::get("/health").send(scene.service.address(), WITHIN);
                    scene.exchange();
                }
            });
        }
        scene.service.process.signal(Signal::STOP);
        let stopped = Duration::from_secs(scaled("STOPPED_SECONDS", 2).into());
        assert!(poll(stopped, || None::<()>).is_none());
        scene.service.process.signal(Signal::CONT);
        let begun = Instant::now();
        let status = scene.exchange().status;
        let took = begun.elapsed();
        is_over.store(true, Ordering::SeqCst);
        assert_eq!(status, 200);
        assert!(took < Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn it_ends_in_time_while_more_signatures_wait_than_there_is_time_for() {
    let mut scene = Scene::slow_to_sign(&["-max-queue-wait=8s"]);
    let plan =
        scene.plan(Arrivals::Poisson { rate: 2000.0, seed: 3 }, 1500, Duration::from_secs(6));
    let load = thread::spawn(move || generate(&plan));
    eventually("a queue", WITHIN, || {
        (scene.metric("tokenexchange_signing_queue_length") > 300).then_some(())
    });
    scene.service.process.signal(Signal::TERM);
    let begun = Instant::now();
    assert!(scene.service.process.wait_exit(WITHIN).success());
    let took = begun.elapsed();
    assert!(took < EXIT_WITHIN, "{took:?}");
    assert!(scene.service.process.stderr().contains("\"ended\""), "the log is written to its end");
    load.join().unwrap();
}

#[test]
fn it_ends_in_time_while_store_key_file_and_clients_hang() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.jwk");
    std::fs::copy("tests/golden/signing-key.jwk", &key_file).unwrap();
    let store = SilentStore::start();
    let mut service = Launch::token_exchange()
        .keys_in(&store.host(), "silent")
        .arg(&format!("-private-key-path={}", key_file.display()))
        .serve();
    let request = Request::post("/v0/token/autojoin", r#"{"api_key":"any"}"#);
    let waits = Connection::open(service.address(), WITHIN).unwrap();
    waits.sender().unwrap().write(&[request.head(), request.body].concat());
    let _asked = store.wait_for_a_caller();
    let half_a_head = Connection::open(service.address(), WITHIN).unwrap();
    half_a_head.sender().unwrap().write(b"POST /v0/tok");
    let half_a_body = Connection::open(service.address(), WITHIN).unwrap();
    let head = b"POST /v0/token/autojoin HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    half_a_body.sender().unwrap().write(head);
    // Nobody ever writes to it, so who reads it hangs.
    std::fs::remove_file(&key_file).unwrap();
    assert!(Command::new("mkfifo").arg(&key_file).status().unwrap().success());
    service.process.signal(Signal::HUP);
    eventually("the reading of the key file hangs", WITHIN, || {
        service.process.stderr().contains("reading the private key file takes long").then_some(())
    });

    service.process.signal(Signal::TERM);
    let begun = Instant::now();
    assert!(service.process.wait_exit(WITHIN).success());
    let took = begun.elapsed();
    assert!(took < EXIT_WITHIN, "{took:?}");
}
