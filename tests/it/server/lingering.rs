//! The last answer arrives, also at a client that is still sending.

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use token_exchange::http::server::Limits;

use super::support::{Client, NEVER, NO_LIMITS, SOON, Server};

const MIB: usize = 1024 * 1024;

fn lingering_for(linger: Duration) -> Server {
    Server::start(Limits { linger, ..NO_LIMITS }, SOON)
}

fn refused(server: &Server) -> Client {
    let mut client = server.connect();
    client.post("/refuse", 1 << 40);
    client
}

#[test]
fn a_refusal_reaches_a_client_that_sends_first_and_reads_later() {
    let server = lingering_for(NEVER);
    for _ in 0..20 {
        let mut client = refused(&server);
        client.send(vec![0; MIB]);
        assert_eq!(client.answer().status(), "413");
        client.wait_for_close();
    }
}

#[test]
fn a_refusal_reaches_a_client_that_keeps_sending_while_it_reads() {
    let server = lingering_for(Duration::from_secs(2));
    let mut client = refused(&server);
    let mut sending = client.stream.try_clone().unwrap();
    let sender = thread::spawn(move || while sending.write_all(&[0; 8192]).is_ok() {});
    assert_eq!(client.answer().status(), "413");
    client.wait_for_close();
    sender.join().unwrap();
}

#[test]
fn a_refusal_reaches_a_client_that_sends_no_http() {
    let server = lingering_for(NEVER);
    let mut client = server.connect();
    client.send("\0\r\n\r\n");
    client.send(vec![0; MIB]);
    assert_eq!(client.answer().status(), "400");
    client.wait_for_close();
}

#[test]
fn no_more_than_the_allowance_is_read_from_a_client_that_keeps_sending() {
    // What the kernel holds for both sides: tcp_wmem and tcp_rmem allow 4 MiB and 6 MiB by default.
    const BUFFERS: usize = 16 * MIB;
    let server = lingering_for(NEVER);
    let mut client = refused(&server);
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    let error = loop {
        match client.stream.write(&[0; 8192]) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error,
        }
        assert!(sent < BUFFERS, "it keeps reading");
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "no room, but no reset either");
    assert_eq!(client.answer().status(), "413");
}

#[test]
fn the_allowance_is_read() {
    let linger_bytes = 64 * MIB;
    let server = Server::start(Limits { linger: NEVER, linger_bytes, ..NO_LIMITS }, SOON);
    let mut client = refused(&server);
    client.send(vec![0; linger_bytes]);
    assert_eq!(client.answer().status(), "413");
    client.wait_for_close();
}

/// Reads no more than a part of what fits into the kernel's buffers, so that the client's end comes
/// through.
fn with_a_small_allowance() -> Server {
    Server::start(Limits { linger: NEVER, linger_bytes: 4 * 1024, ..NO_LIMITS }, SOON)
}

#[test]
fn the_client_s_close_ends_the_linger_even_when_no_more_is_read() {
    let server = with_a_small_allowance();
    for bytes in [0, 32 * 1024] {
        let mut client = refused(&server);
        client.send(vec![0; bytes]);
        assert_eq!(client.answer().status(), "413");
        client.wait_for_close();
    }
    server.drain.start();
    server.wait_for_end();
}

#[test]
fn a_client_that_ends_its_side_after_more_than_the_allowance_reads_its_answer() {
    let server = with_a_small_allowance();
    let mut client = refused(&server);
    client.send(vec![0; 32 * 1024]);
    client.stop_sending();
    // The server is done with the connection before the client reads.
    server.drain.start();
    server.wait_for_end();
    assert_eq!(client.answer().status(), "413");
    client.wait_for_close();
}

#[test]
fn a_client_that_never_closes_is_left_after_the_linger() {
    let linger = Duration::from_millis(200);
    let server = lingering_for(linger);
    let mut client = refused(&server);
    assert_eq!(client.answer().status(), "413");
    client.wait_for_close();
    let closed = Instant::now();
    server.drain.start();
    server.wait_for_end();
    assert!(closed.elapsed() >= linger / 2);
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
}
