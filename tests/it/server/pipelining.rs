//! Requests that are sent before the answer to the last one: those that are whole, and those of
//! which only the beginning has come when nothing else is to be done.

use std::time::{Duration, Instant};

use token_exchange::http::server::{Limits, Schedule};

use super::support::{NO_LIMITS, PATIENCE, SOON, Server};

const SHORT: Duration = Duration::from_millis(200);
const ENDS: [(&str, &str); 3] = [
    ("GET / HTTP/1.1\r\nHost: test\r\n\r\n", "hello"),
    ("POST /length HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody", "4 bytes"),
    (
        "POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "4 bytes",
    ),
];

fn start(limits: Limits) -> Server {
    Server::start(limits, Schedule::PRODUCTION)
}

#[test]
fn a_head_that_begins_with_the_end_of_a_request_has_no_more_time_than_any_other() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    for (request, body) in ENDS {
        let mut client = server.connect();
        let sent = Instant::now();
        client.send(format!("{request}GET /"));
        assert_eq!(client.answer().body, body);
        client.wait_for_close();
        assert!(sent.elapsed() >= SHORT, "{request}");
    }
}

#[test]
fn a_head_that_begins_before_the_answer_has_no_more_time_than_any_other() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.ask("/gate");
    server.entered.recv_timeout(PATIENCE).unwrap();
    client.send("GET /");
    client.hears_nothing_for(2 * SHORT);
    let answered = Instant::now();
    server.open_gate();
    assert_eq!(client.answer().body, "through");
    client.wait_for_close();
    assert!(answered.elapsed() >= SHORT);
}

#[test]
fn a_head_that_begins_so_is_answered_when_its_rest_comes_in_time() {
    let server = start(Limits { head: 3 * SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    for (request, body) in ENDS {
        client.send(format!("{request}GET /"));
        assert_eq!(client.answer().body, body);
        client.hears_nothing_for(SHORT);
        client.send(" HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.answer().body, "hello");
    }
}

#[test]
fn in_a_drain_a_head_that_begins_so_is_waited_for() {
    for (request, body) in ENDS {
        let server = Server::start(NO_LIMITS, SOON);
        let mut client = server.connect();
        client.send(format!("{request}GET /"));
        assert_eq!(client.answer().body, body);
        server.drain.start();
        client.hears_nothing_for(10 * SOON.quiet_connection);
        client.send(" HTTP/1.1\r\nHost: test\r\n\r\n");
        let answer = client.answer();
        assert_eq!(answer.body, "hello");
        assert!(answer.closes());
        client.wait_for_close();
        drop(client);
        server.wait_for_end();
    }
}

#[test]
fn in_a_drain_it_is_closed_at_the_deadline() {
    let server = Server::start(NO_LIMITS, Schedule { deadline: SHORT, ..SOON });
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /");
    assert_eq!(client.answer().body, "hello");
    let start = Instant::now();
    server.drain.start();
    client.wait_for_close();
    assert!(start.elapsed() >= SHORT);
    server.wait_for_end();
}

#[test]
fn requests_sent_in_one_go_are_all_answered_and_so_are_those_after_a_pause() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(ENDS.map(|(request, _)| request).concat().repeat(10));
        for (_, body) in ENDS.repeat(10) {
            assert_eq!(client.answer().body, body);
        }
        client.hears_nothing_for(2 * SHORT);
    }
}

#[test]
fn a_body_that_nobody_read_is_no_beginning_of_a_head() {
    let server = start(Limits { head: SHORT, ..NO_LIMITS });
    let mut client = server.connect();
    client.send("POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
    assert_eq!(client.answer().status(), "413");
    client.hears_nothing_for(2 * SHORT);
    assert_eq!(client.get("/").body, "hello");
}
