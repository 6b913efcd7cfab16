//! The bound on open connections: who goes when another comes.

use std::time::Duration;

use token_exchange::http::server::{Limits, Schedule};

use super::support::{NO_LIMITS, PATIENCE, Server, eventually};

fn with_room_for(connections: usize) -> Server {
    Server::start(Limits { connections, ..NO_LIMITS }, Schedule::PRODUCTION)
}

#[test]
fn connections_within_the_bound_all_stay() {
    let server = with_room_for(3);
    let mut clients = [(); 3].map(|()| server.connect());
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/").body, "hello");
        }
    }
}

#[test]
fn a_new_connection_takes_the_place_of_the_one_idle_longest() {
    let server = with_room_for(3);
    let mut waiting = server.connect();
    let (mut first, mut second) = (server.connect(), server.connect());
    first.get("/");
    second.get("/");
    // An answer is here a moment before its connection counts as idle.
    second.hears_nothing_for(Duration::from_millis(50));
    first.get("/");

    assert_eq!(server.connect().get("/").body, "hello");
    second.wait_for_close();
    assert_eq!(first.get("/").body, "hello");
    assert_eq!(waiting.get("/").body, "hello");
}

#[test]
fn if_none_is_idle_it_takes_the_place_of_the_one_that_waits_longest() {
    let server = with_room_for(3);
    let mut busy = server.connect();
    busy.ask("/gate");
    server.entered.recv_timeout(PATIENCE).unwrap();
    let (mut first, mut second) = (server.connect(), server.connect());
    second.send("GET / HTTP/1.1\r\n");
    first.send("GET / HTTP/1.1\r\n");

    assert_eq!(server.connect().get("/").body, "hello");
    first.wait_for_close();
    second.send("Host: test\r\n\r\n");
    assert_eq!(second.answer().body, "hello");
    server.open_gate();
    assert_eq!(busy.answer().body, "through");
}

#[test]
fn if_all_are_busy_it_waits() {
    let server = with_room_for(2);
    let mut busy = [server.connect(), server.connect()];
    for client in &mut busy {
        client.ask("/gate");
        server.entered.recv_timeout(PATIENCE).unwrap();
    }
    let mut new = server.connect();
    new.ask("/");
    new.hears_nothing_for(Duration::from_millis(200));

    server.open_gate();
    assert_eq!(new.answer().body, "hello");
    server.open_gate();
    let mut answers = 0;
    eventually(|| {
        answers += busy.iter_mut().filter_map(|client| client.try_answer().ok()).count();
        answers == 2
    });
}

#[test]
fn a_connection_that_ended_leaves_room_for_another() {
    let server = with_room_for(2);
    let mut busy = server.connect();
    busy.ask("/gate");
    server.entered.recv_timeout(PATIENCE).unwrap();
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(client.answer().body, "hello");
        client.wait_for_close();
    }
    server.open_gate();
    assert_eq!(busy.answer().body, "through");
}
