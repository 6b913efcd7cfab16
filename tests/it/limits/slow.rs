//! Clients that take their time, or everything there is to take.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream as BlockingStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::scene::{Scene, WITHIN, get, scaled};
use crate::support::eventually::eventually;
use crate::support::http_client::{Connection, Request};
use crate::support::operator::Operator;
use crate::support::service::Launch;
use crate::support::skip::announce;

/// Ten seconds for a body after five for its head, and one for the close.
const REAPED_WITHIN: Duration = Duration::from_secs(16);
const MIB: usize = 1024 * 1024;

/// `SLOW_CONNECTIONS=5000` in the environment is what is promised.
#[test]
fn slow_connections_are_reaped_while_others_are_served() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let scene = Scene::new(&[]);
    let is_over = AtomicBool::new(false);
    let served = thread::scope(|scope| {
        let normal = scope.spawn(|| {
            let mut served = 0;
            while !is_over.load(Ordering::SeqCst) {
                let answer = scene.exchange();
                assert_eq!(answer.status, 200, "{}", answer.text());
                served += 1;
            }
            served
        });
        let longest = drip_on(scene.service.address(), scaled("SLOW_CONNECTIONS", 300));
        is_over.store(true, Ordering::SeqCst);
        assert!(longest < REAPED_WITHIN, "{longest:?}");
        normal.join().unwrap()
    });
    announce(&format!("{served} exchanges beside the slow connections"));
    assert!(served > 10, "{served} are no traffic");
}

/// Opens so many slow connections; how long the longest lived.
fn drip_on(address: &str, connections: u32) -> Duration {
    const BEGINNINGS: [&str; 3] = [
        "",
        "POST /v0/token/autojoin HTTP/1.1\r\nDrip: ",
        "POST /v0/token/autojoin HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n",
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let slow = (0..connections).zip(BEGINNINGS.into_iter().cycle()).map(|(_, beginning)| {
            let address = address.to_owned();
            tokio::spawn(async move { drip(&address, beginning).await })
        });
        let mut longest = Duration::ZERO;
        for lived in slow.collect::<Vec<_>>() {
            longest = longest.max(lived.await.unwrap());
        }
        longest
    })
}

/// A byte a second, or none at all, until the server has enough of it.
async fn drip(address: &str, beginning: &str) -> Duration {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let opened = Instant::now();
    let mut read = [0; 1024];
    // It may be reset, too: by a drop that comes after the close.
    while opened.elapsed() < 2 * REAPED_WITHIN {
        let is_first = opened.elapsed() < Duration::from_millis(500);
        let drop = if is_first { beginning } else { &beginning[..beginning.len().min(1)] };
        if stream.write_all(drop.as_bytes()).await.is_err() {
            break;
        }
        if let Ok(Ok(0) | Err(_)) = timeout(Duration::from_secs(1), stream.read(&mut read)).await {
            break;
        }
    }
    opened.elapsed()
}

#[test]
fn a_body_of_a_gibibyte_is_refused_and_hardly_any_of_it_read() {
    let scene = Scene::new(&[]);
    for framing in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
        let (status, sent) = send_a_gibibyte(scene.service.address(), framing);
        assert_eq!(status, 413, "{framing}");
        // 64 KiB, and what the kernel holds for both sides: tcp_wmem and tcp_rmem allow 10 MiB.
        assert!(sent < 16 * MIB, "{framing}: {sent} bytes found a reader");
    }
}

/// Sends until it is stopped, and reads meanwhile; the status, and how much was sent.
fn send_a_gibibyte(address: &str, framing: &str) -> (u16, usize) {
    let stream = BlockingStream::connect(address).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(3))).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let head = format!("POST /v0/token/autojoin HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
    let sender = thread::spawn(move || {
        sending.write_all(head.as_bytes()).unwrap();
        let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
        let mut sent = 0;
        while sent < 1024 * MIB {
            match sending.write(chunk.as_bytes()) {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        sent
    });
    let mut answer = [0; 12];
    (&stream).read_exact(&mut answer).unwrap();
    let status = std::str::from_utf8(&answer[9..]).unwrap().parse().unwrap();
    (status, sender.join().unwrap())
}

#[test]
fn a_service_that_has_used_up_its_files_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let key = operator.integration_with_key("acme");
    let launch = Launch::token_exchange_after("ulimit -n 48").recorded_signing_key();
    let service = operator.serve(launch);
    // Silent, so none of them is idle and may be ended for another.
    let silent: Vec<_> =
        (0..64).map(|_| Connection::open(service.address(), WITHIN).unwrap()).collect();
    eventually("the files are used up", WITHIN, || {
        service.process.stderr().contains("connections cannot be accepted").then_some(())
    });
    assert_eq!(get(&service, "/health").status, 200);
    assert_eq!(service.exchange("integration", &key).status, 200);
    drop(silent);
    for _ in 0..20 {
        let answer = Request::get("/ready").send(service.address(), WITHIN).unwrap();
        assert_eq!(answer.status, 200);
    }
}
