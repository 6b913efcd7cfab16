//! How long a connection may take over what it does.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use token_exchange::http::server::{Limits, Schedule};

use super::support::{NO_LIMITS, PATIENCE, Server};

const SHORT: Duration = Duration::from_millis(200);

fn start(limits: Limits) -> Server {
    Server::start(limits, Schedule::PRODUCTION)
}

#[test]
fn a_connection_without_a_byte_is_closed_after_the_head_timeout() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let opened = Instant::now();
    server.connect().wait_for_close();
    assert!(opened.elapsed() >= SHORT);
}

#[test]
fn a_connection_with_half_a_head_is_closed_after_the_head_timeout() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let opened = Instant::now();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHo");
    client.wait_for_close();
    assert!(opened.elapsed() >= SHORT);
}

#[test]
fn bytes_that_trickle_in_do_not_extend_the_head_timeout() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let opened = Instant::now();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nDrip: ");
    client.stream.set_read_timeout(Some(SHORT / 10)).unwrap();
    // Ends with the connection: closed, or reset by a drop that came too late.
    while matches!(client.stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    {
        assert!(opened.elapsed() < PATIENCE, "each drop has bought more time");
        client.send("x");
    }
    assert!(opened.elapsed() >= SHORT);
}

#[test]
fn a_kept_alive_connection_may_idle_longer_than_the_head_timeout() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").body, "hello");
        client.hears_nothing_for(3 * SHORT);
    }
}

#[test]
fn a_kept_alive_connection_is_closed_after_the_idle_timeout() {
    let server = start(Limits { idle: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.get("/");
    let idle = Instant::now();
    client.wait_for_close();
    assert!(idle.elapsed() >= SHORT / 2);
}

#[test]
fn every_answer_starts_the_idle_timeout_anew() {
    let idle = 3 * SHORT;
    let server = start(Limits { idle, ..NO_LIMITS });
    let mut client = server.connect();
    for _ in 0..4 {
        assert_eq!(client.get("/").status(), "200");
        client.hears_nothing_for(idle / 2);
    }
}

#[test]
fn the_head_timeout_holds_for_the_second_request_too() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.get("/");
    client.hears_nothing_for(SHORT / 10);
    let begun = Instant::now();
    client.send("G");
    client.wait_for_close();
    assert!(begun.elapsed() >= SHORT);
}

#[test]
fn the_head_timeout_of_the_second_request_counts_from_its_first_byte() {
    let server = start(Limits { head: 3 * SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.get("/");
    client.hears_nothing_for(4 * SHORT);
    client.send("GET / HTTP/1.1\r\n");
    client.hears_nothing_for(SHORT / 2);
    client.send("Host: test\r\n\r\n");
    assert_eq!(client.answer().body, "hello");
}

#[test]
fn a_handler_and_a_body_may_take_longer_than_head_and_idle_timeout() {
    let server = start(Limits { head: SHORT, idle: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.ask("/gate");
    client.hears_nothing_for(2 * SHORT);
    server.open_gate();
    assert_eq!(client.answer().body, "through");

    client.post("/length", 4);
    client.hears_nothing_for(2 * SHORT);
    client.send("body");
    assert_eq!(client.answer().body, "4 bytes");
}

#[test]
fn a_client_that_does_not_read_its_answer_is_given_up() {
    let server = start(Limits { write_stall: SHORT, ..NO_LIMITS });
    let asked = Instant::now();
    let mut client = server.connect();
    client.ask("/endless");
    server.given_up.recv_timeout(PATIENCE).expect("given up");
    assert!(asked.elapsed() >= SHORT);
}

#[test]
fn a_client_that_reads_slowly_gets_its_answer() {
    let server = start(Limits { write_stall: 2 * SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.ask("/endless");
    let mut bytes = vec![0; 4 << 20];
    for _ in 0..10 {
        client.stream.read_exact(&mut bytes).expect("still being answered");
        assert!(server.given_up.recv_timeout(SHORT / 2).is_err());
    }
}

#[test]
fn a_head_of_more_than_32_kib_is_refused() {
    let server = start(NO_LIMITS);
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nLarge: ");
    client.send(vec![b'x'; 33 * 1024]);
    assert_eq!(client.answer().status(), "431");
}

#[test]
fn a_client_that_stops_sending_after_its_request_gets_its_answer() {
    let server = start(NO_LIMITS);
    let mut client = server.connect();
    client.ask("/gate");
    client.stop_sending();
    server.entered.recv_timeout(PATIENCE).unwrap();
    client.hears_nothing_for(SHORT / 10);
    server.open_gate();
    assert_eq!(client.answer().body, "through");
    client.wait_for_close();
}

#[test]
fn a_client_that_stops_sending_within_its_body_gets_its_answer() {
    let server = start(NO_LIMITS);
    let mut client = server.connect();
    client.post("/length", 500);
    client.send("not five hundred");
    client.stop_sending();
    let answer = client.answer();
    assert_eq!((answer.status(), answer.body.as_str()), ("200", "cut off"));
    client.wait_for_close();
}

#[test]
fn an_old_client_is_answered_and_its_connection_closed() {
    let server = start(NO_LIMITS);
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().body, "hello");
    client.wait_for_close();
}
