//! Bytes on a socket, to the real server and router: every connection ends in time, nothing
//! panics, no answer is a fault of ours, and what comes back is HTTP.

#![no_main]

mod answers;
#[allow(dead_code, reason = "what the store is asked for is another target's business")]
mod service;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use token_exchange::http::server::{self, Drain, Limits, Listener, Schedule};
use token_exchange::http::too_late;
use tokio::runtime::Runtime;

use self::service::Store;

/// The client closes its side when it has sent everything, so nobody waits for it: no limit of the
/// server is reached, and none may be passed.
const PATIENCE: Duration = Duration::from_secs(10);

struct Fixture {
    address: SocketAddr,
    _runtime: Runtime,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let router = service::router(Arc::<Store>::default());
    let drain = Drain::new(Schedule::PRODUCTION);
    runtime.spawn(server::serve(listener, router, Limits::PRODUCTION, drain, too_late));
    Fixture { address, _runtime: runtime }
});

fuzz_target!(|request: &[u8]| {
    let received = send(request);
    if let Err(why) = answers::check(&received, request) {
        panic!("{why}: {}", received.escape_ascii());
    }
});

/// Everything that comes back until the server closes.
fn send(request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(FIXTURE.address).expect("the server accepts");
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // In two packets, split where the bytes themselves say.
    let split = request.iter().map(|byte| usize::from(*byte)).sum::<usize>();
    let (first, second) = request.split_at(split % (request.len() + 1));
    // A server that has had enough may close before it has read all.
    let _ = stream.write_all(first).and_then(|()| stream.write_all(second));
    let _ = stream.shutdown(Shutdown::Write);
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the connection hangs: {}", received.escape_ascii())
        }
        // Reset: it had had enough.
        _ => received,
    }
}
