//! How often an exchange asks for memory. A binary of its own, and one test in it: the allocator that
//! counts does so for all of a process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code)]

#[path = "../benches/support/core.rs"]
mod core;

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use token_exchange::http::server::{Drain, Limits, Listener, Routes, Schedule, serve};
use token_exchange::http::{service, too_late};
use token_exchange::telemetry::audit::{Audit, AuditMode};
use token_exchange::telemetry::metrics::Metrics;
use token_exchange::telemetry::traces::Traces;

use self::core::{API_KEY, Core};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Promised: what an exchange asks for beyond what a hello asks for on the same server, of the same
/// libraries.
const OWN: usize = 12;
const EXCHANGES: usize = 200;

#[test]
fn an_exchange_asks_for_memory_twelve_times_at_most() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _entered = runtime.enter();
    let hello = allocations(serving(hello()));

    let core = Core::with_queue(64, "signing-key.jwk");
    let (metrics, drain) = (Metrics::new().unwrap(), Drain::new(Schedule::PRODUCTION));
    let signer = Arc::clone(&core.signer);
    let (audit, _written) = Audit::to(std::io::sink(), AuditMode::BestEffort).unwrap();
    let traces = Traces::off();
    let service = service(&core.exchange, signer, &metrics, &drain, &audit, &traces).unwrap();
    let exchange = allocations(serving(service));

    println!("an exchange asks for memory {exchange} times, and a hello {hello} times");
    assert!(exchange - hello <= OWN, "{exchange} - {hello}");
}

fn hello() -> Router {
    let hello = post(|_: Bytes| async { "{\"token\":\"hello\"}\n" });
    Router::new().route("/v0/token/integration", hello)
}

/// Serves as the service does; the port.
fn serving(routes: impl Routes) -> u16 {
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let drain = Drain::new(Schedule::PRODUCTION);
    tokio::spawn(serve(listener, routes, Limits::PRODUCTION, drain, too_late));
    port
}

/// How often a kept-alive request asks for memory, wherever in the process.
fn allocations(port: u16) -> usize {
    let body = format!(r#"{{"api_key":"{API_KEY}"}}"#);
    let request = format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut answer = [0; 4096];
    let mut exchange = || {
        connection.write_all(request.as_bytes()).unwrap();
        let read = connection.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{}", answer[..read].escape_ascii());
        assert!(answer[..read].ends_with(b"}\n"), "the answer comes in one piece");
    };
    (0..EXCHANGES).for_each(|_| exchange());
    let before = ALLOCATOR.stats();
    (0..EXCHANGES).for_each(|_| exchange());
    let after = ALLOCATOR.stats();
    let asked = |stats: stats_alloc::Stats| stats.allocations + stats.reallocations;
    // Rounded to the nearest: what happens now and then is none of an exchange.
    (asked(after) - asked(before) + EXCHANGES / 2) / EXCHANGES
}
