//! The graceful end.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use token_exchange::http::server::{Drain, Limits, Listener, Schedule};
use tokio::runtime::Runtime;

use super::support::{Client, NEVER, NO_LIMITS, PATIENCE, SOON, Server, run};

const SHORT: Duration = Duration::from_millis(300);

/// The port stays open, and connections may idle.
const OPEN: Schedule = Schedule { quiet_connection: NEVER, quiet_port: NEVER, ..SOON };

#[test]
fn without_connections_it_ends_at_once() {
    let server = Server::start(NO_LIMITS, SOON);
    server.drain.start();
    server.wait_for_end();
    let refused = TcpStream::connect(server.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn new_connections_are_served_and_told_to_go() {
    let server = Server::start(NO_LIMITS, OPEN);
    assert!(!server.connect().get("/").closes());
    server.drain.start();
    for _ in 0..3 {
        let mut client = server.connect();
        let answer = client.get("/");
        assert_eq!(answer.body, "hello");
        assert!(answer.closes());
        client.wait_for_close();
    }
}

#[test]
fn an_idle_connection_stays_usable_and_is_told_to_go() {
    let server = Server::start(NO_LIMITS, OPEN);
    let mut client = server.connect();
    client.get("/");
    server.drain.start();
    client.hears_nothing_for(SHORT / 3);
    let answer = client.get("/");
    assert_eq!(answer.body, "hello");
    assert!(answer.closes());
    client.wait_for_close();
}

#[test]
fn an_idle_connection_is_closed_once_it_has_been_quiet() {
    let server = Server::start(NO_LIMITS, Schedule { quiet_connection: SHORT, ..SOON });
    let mut client = server.connect();
    client.get("/");
    client.hears_nothing_for(SHORT);
    let start = Instant::now();
    server.drain.start();
    client.wait_for_close();
    assert!(start.elapsed() >= SHORT);
    drop(client);
    server.wait_for_end();
}

#[test]
fn a_busy_request_is_finished() {
    let server = Server::start(NO_LIMITS, SOON);
    let mut client = server.connect();
    client.ask("/gate");
    server.entered.recv_timeout(PATIENCE).unwrap();
    server.drain.start();
    client.hears_nothing_for(SHORT);
    server.open_gate();
    let answer = client.answer();
    assert_eq!(answer.body, "through");
    assert!(answer.closes());
    client.wait_for_close();
    drop(client);
    server.wait_for_end();
}

#[test]
fn a_request_that_is_not_ready_at_the_deadline_is_refused() {
    let server = Server::start(NO_LIMITS, Schedule { deadline: SHORT, ..SOON });
    let mut without_end = server.connect();
    without_end.ask("/never");
    let mut without_body = server.connect();
    without_body.post("/length", 4);
    let start = Instant::now();
    server.drain.start();
    for mut client in [without_end, without_body] {
        let answer = client.answer();
        assert!(start.elapsed() >= SHORT);
        assert_eq!((answer.status(), answer.body.as_str()), ("503", "too late"));
        assert!(answer.closes());
        client.wait_for_close();
    }
    server.wait_for_end();
}

#[test]
fn a_client_that_hangs_within_a_head_is_closed_at_the_deadline() {
    let server = Server::start(NO_LIMITS, Schedule { deadline: SHORT, ..SOON });
    let mut silent = server.connect();
    let mut hanging = server.connect();
    hanging.send("GET / HTTP/1.1\r\n");
    let start = Instant::now();
    server.drain.start();
    silent.wait_for_close();
    hanging.wait_for_close();
    assert!(start.elapsed() >= SHORT);
    server.wait_for_end();
}

#[test]
fn a_silent_connection_keeps_its_head_timeout() {
    let server = Server::start(Limits { head: SHORT, ..NO_LIMITS }, SOON);
    let opened = Instant::now();
    let mut client = server.connect();
    server.drain.start();
    client.wait_for_close();
    assert!(opened.elapsed() >= SHORT);
    server.wait_for_end();
}

#[test]
fn what_is_left_at_the_end_is_dropped() {
    let schedule = Schedule { deadline: SHORT, end: 2 * SHORT, ..SOON };
    let server = Server::start(NO_LIMITS, schedule);
    let mut client = server.connect();
    client.ask("/stuck");
    let start = Instant::now();
    server.drain.start();
    server.wait_for_end();
    assert!(start.elapsed() >= 2 * SHORT);
    server.given_up.recv_timeout(PATIENCE).expect("dropped");
}

#[test]
fn the_port_is_closed_in_time_even_if_it_is_never_quiet() {
    let schedule = Schedule { quiet_port: NEVER, port_open: SHORT, ..SOON };
    let server = Server::start(NO_LIMITS, schedule);
    let start = Instant::now();
    server.drain.start();
    server.wait_for_end();
    assert!(start.elapsed() >= SHORT);
}

#[test]
fn all_ports_end_with_the_one_drain() {
    let runtime = Runtime::new().unwrap();
    let drain = Drain::new(SOON);
    let ends = [(); 3].map(|()| {
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        run(&runtime, listener, Router::new(), NO_LIMITS, drain.clone())
    });
    assert!(!drain.has_started());
    drain.start();
    drain.start();
    assert!(drain.has_started());
    for end in ends {
        end.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn no_request_is_lost_however_fast_new_connections_come() {
    // A filtered attempt is repeated after a second, and finds the port closed.
    const GIVE_UP: Duration = Duration::from_millis(100);
    let schedule = Schedule {
        port_open: Duration::from_millis(30),
        last_arrival: Duration::from_millis(20),
        ..Schedule::PRODUCTION
    };
    for _ in 0..20 {
        let server = Server::start(NO_LIMITS, schedule);
        let (report, answers) = channel();
        let knock = || {
            while let Ok(stream) = TcpStream::connect_timeout(&server.address, GIVE_UP) {
                assert_eq!(Client::over(stream).get("/").body, "hello");
                report.send(()).unwrap();
            }
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(knock);
            }
            for _ in 0..50 {
                answers.recv_timeout(PATIENCE).unwrap();
            }
            server.drain.start();
        });
        server.wait_for_end();
    }
}
