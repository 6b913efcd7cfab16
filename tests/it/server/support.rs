//! A server on a port of its own, and a client that sees every byte.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hyper::body::Frame;
use token_exchange::http::RequestId;
use token_exchange::http::server::{Drain, Limits, Listener, Schedule, serve};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// What takes longer than this never happens.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A limit that is not to be reached.
pub const NEVER: Duration = Duration::from_hours(1);

/// No limit is ever reached, but those that a test sets.
pub const NO_LIMITS: Limits = Limits {
    head: NEVER,
    idle: NEVER,
    write_stall: NEVER,
    connections: 1000,
    linger: Duration::from_secs(1),
    linger_bytes: 64 * 1024,
};

/// A drain that ends once nothing is left to do.
pub const SOON: Schedule = Schedule {
    quiet_connection: Duration::from_millis(20),
    quiet_port: Duration::from_millis(20),
    port_open: NEVER,
    last_arrival: Duration::from_millis(5),
    deadline: NEVER,
    end: NEVER,
};

/// A running server. Ends with the test.
pub struct Server {
    pub address: SocketAddr,
    pub drain: Drain,
    /// Reports every request that has reached `/gate`.
    pub entered: Receiver<()>,
    /// Reports every body of `/endless` or `/stuck` that was given up.
    pub given_up: Receiver<()>,
    gate: Arc<Semaphore>,
    done: Receiver<()>,
    _runtime: Runtime,
}

impl Server {
    pub fn start(limits: Limits, schedule: Schedule) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        let (enter, entered) = channel();
        let (on_drop, given_up) = channel();
        let router = router(Arc::clone(&gate), &enter, &on_drop);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let drain = Drain::new(schedule);
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let done = run(&runtime, listener, router, limits, drain.clone());
        Self { address, drain, entered, given_up, gate, done, _runtime: runtime }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Lets one request through `/gate`.
    pub fn open_gate(&self) {
        self.gate.add_permits(1);
    }

    /// Waits for the end of a drain.
    pub fn wait_for_end(&self) {
        self.done.recv_timeout(PATIENCE).expect("the drain ends");
    }
}

/// Serves in the background; the receiver hears of the end.
pub fn run(
    runtime: &Runtime,
    listener: Listener,
    router: Router,
    limits: Limits,
    drain: Drain,
) -> Receiver<()> {
    let (ended, done) = channel();
    runtime.spawn(async move {
        serve(listener, router, limits, drain, too_late).await.unwrap();
        ended.send(())
    });
    done
}

fn too_late(_name: Option<RequestId>) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "too late").into_response()
}

fn router(gate: Arc<Semaphore>, enter: &Sender<()>, on_drop: &Sender<()>) -> Router {
    let enter = enter.clone();
    let gated = move || async move {
        enter.send(()).unwrap();
        gate.acquire().await.unwrap().forget();
        "through"
    };
    let guard = GiveUp(on_drop.clone());
    let stuck = guard.clone();
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/gate", get(gated))
        .route("/never", get(std::future::pending::<()>))
        .route("/panic", get(panic))
        .route("/refuse", post(|| async { (StatusCode::PAYLOAD_TOO_LARGE, "too large") }))
        .route("/length", post(length))
        .route("/endless", get(|| async move { Body::new(Endless { guard, is_stuck: false }) }))
        .route("/stuck", get(|| async { Body::new(Endless { guard: stuck, is_stuck: true }) }))
}

async fn panic() {
    panic!("a handler that panics");
}

/// Answers 200 whether or not the whole body came, as the token handlers may.
async fn length(body: Body) -> String {
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) => format!("{} bytes", bytes.len()),
        Err(_) => "cut off".to_owned(),
    }
}

#[derive(Clone)]
struct GiveUp(Sender<()>);

/// A body without an end, or one of which nothing comes.
struct Endless {
    guard: GiveUp,
    is_stuck: bool,
}

impl HttpBody for Endless {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.is_stuck {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 16 * 1024])))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.guard.0.send(());
    }
}

/// The client's end of one connection.
pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// An answer with a `Content-Length`.
pub struct Answer {
    /// In lower case.
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn status(&self) -> &str {
        &self.head["http/1.1 ".len()..][..3]
    }

    /// Whether this is the connection's last answer.
    pub fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Asks, and waits for the answer.
    pub fn get(&mut self, path: &str) -> Answer {
        self.ask(path);
        self.answer()
    }

    pub fn ask(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"));
    }

    /// Announces a body.
    pub fn post(&mut self, path: &str, length: u64) {
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"
        ));
    }

    pub fn answer(&mut self) -> Answer {
        self.try_answer().unwrap()
    }

    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            match self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read_more()?,
            }
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let length: usize = length.parse().unwrap();
        while self.read.len() < length {
            self.read_more()?;
        }
        let body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        Ok(Answer { head, body })
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.read.extend_from_slice(&bytes[..read]);
                Ok(())
            }
        }
    }

    /// Ends our side and keeps listening.
    pub fn stop_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Waits for the server to close, in order and without a word.
    pub fn wait_for_close(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).expect("closed, and not reset");
        assert_eq!(String::from_utf8_lossy(&rest), "");
        assert!(self.read.is_empty());
    }

    /// Waits, and sees that the server neither says anything nor closes.
    pub fn hears_nothing_for(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let outcome = self.stream.read(&mut [0]);
        assert_eq!(outcome.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
}

/// Polls until it is so.
pub fn eventually(mut is_so: impl FnMut() -> bool) {
    let (_open, pause) = channel::<()>();
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "this has never been so");
        let _ = pause.recv_timeout(Duration::from_millis(2));
    }
}

/// Runs a test alone in a process, because it changes what all tests of a process share. `name` is
/// the test's own.
pub fn alone(name: &str, test: impl FnOnce()) {
    const ALONE: &str = "ALONE";
    if std::env::var_os(ALONE).is_some() {
        return test();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(ALONE, "")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && log.contains("1 passed"), "{output:?}");
}

/// A port of the IPv4 loopback interface.
pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
