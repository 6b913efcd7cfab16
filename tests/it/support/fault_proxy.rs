//! A proxy between the service and a Datastore emulator that does to calls and connections what
//! networks and servers do when they fail.
//!
//! It speaks gRPC, so that it can answer any status in any form, and it holds the bytes of each
//! connection, so that it can do what toxiproxy does. A plan gives each call its fault, by its
//! number: a storm is a pure function of its seed.

mod answer;
mod storm;
mod wire;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub use self::answer::Form;
use self::answer::{Body, Whole};
pub use self::storm::storm;
pub use self::wire::Toxic;

/// A storm of a million calls would fill the memory.
const MOST_SEEN: usize = 100_000;

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    None,
    /// The store is not asked; this is its answer.
    Status(u8, Form),
    /// The store's refusal repeats all that it was sent.
    Quote,
    /// The store's answer comes so much later.
    Delay(Duration),
    /// There is never an answer.
    Hang,
    /// The stream of this call is reset in the middle of its answer.
    ResetStream,
    /// The answer comes, and the connection takes no more calls (GOAWAY).
    GoAway,
    /// This happens to the whole connection from now on.
    Wire(Toxic),
    /// The connection breaks, and for so long there is nobody to connect to.
    Down(Duration),
}

/// One call as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Instant,
    pub headers: HeaderMap,
    pub message: Bytes,
}

type Plan = Box<dyn Fn(usize) -> Fault + Send>;

/// A running proxy; it ends when it is dropped.
pub struct FaultProxy {
    shared: Arc<Shared>,
    // Its tasks end with it.
    runtime: Option<Runtime>,
}

struct Shared {
    address: SocketAddr,
    upstream: String,
    to_upstream: tokio::sync::Mutex<Option<SendRequest<Full<Bytes>>>>,
    plan: Mutex<Plan>,
    seen: Mutex<Vec<Seen>>,
    calls: AtomicUsize,
    connections: AtomicUsize,
    tls: Mutex<Option<Arc<ServerConfig>>>,
    is_up: watch::Sender<bool>,
    /// Rises when all connections are to break.
    cuts: watch::Sender<usize>,
    // Keeps the port while nobody listens at it.
    _reservation: Socket,
}

impl FaultProxy {
    /// Passes every call on to an emulator, until a plan says otherwise.
    pub fn start(upstream: &str) -> Self {
        Self::start_with(upstream, None)
    }

    /// The same behind TLS, as Google is.
    pub fn start_tls(upstream: &str, tls: Arc<ServerConfig>) -> Self {
        Self::start_with(upstream, Some(tls))
    }

    fn start_with(upstream: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let reservation = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = reservation.local_addr().expect("it is bound").as_socket().expect("of IP");
        let shared = Arc::new(Shared {
            address,
            upstream: upstream.to_owned(),
            to_upstream: tokio::sync::Mutex::default(),
            plan: Mutex::new(Box::new(|_| Fault::None)),
            seen: Mutex::default(),
            calls: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            tls: Mutex::new(tls),
            is_up: watch::Sender::new(true),
            cuts: watch::Sender::new(0),
            _reservation: reservation,
        });
        let inside = runtime.enter();
        let listener = listen(address);
        drop(inside);
        runtime.spawn(Arc::clone(&shared).run(listener));
        Self { shared, runtime: Some(runtime) }
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> String {
        self.shared.address.to_string()
    }

    /// Gives each call from now on its fault, by its number from now on.
    pub fn plan(&self, plan: impl Fn(usize) -> Fault + Send + 'static) {
        let before = self.calls();
        *self.shared.plan.lock().unwrap() =
            Box::new(move |number| plan(number.saturating_sub(before)));
    }

    /// Gives the next call a fault, and none to those that follow.
    pub fn once(&self, fault: Fault) {
        self.plan(move |number| if number == 0 { fault } else { Fault::None });
    }

    /// How many calls have come.
    pub fn calls(&self) -> usize {
        self.shared.calls.load(Ordering::SeqCst)
    }

    /// The calls that have come; of a very great number the first.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many connections were taken.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// From the next connection on.
    pub fn present(&self, tls: Arc<ServerConfig>) {
        *self.shared.tls.lock().unwrap() = Some(tls);
    }

    /// Breaks all connections, and refuses new ones until it is [up](Self::up) again.
    pub fn down(&self) {
        self.shared.down();
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub fn up(&self) {
        self.shared.is_up.send_replace(true);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn bind(address: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> TcpListener {
    let socket = bind(address).expect("the port is reserved");
    socket.listen(1024).expect("it can be listened at");
    TcpListener::from_std(socket.into()).expect("a listener")
}

impl Shared {
    async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut is_up = self.is_up.subscribe();
        loop {
            if *is_up.borrow_and_update() {
                let open = listener.get_or_insert_with(|| listen(self.address));
                tokio::select! {
                    accepted = open.accept() => if let Ok((client, _)) = accepted {
                        self.connections.fetch_add(1, Ordering::SeqCst);
                        tokio::spawn(Arc::clone(&self).connection(client));
                    },
                    _ = is_up.changed() => {}
                }
            } else {
                listener = None;
                let _ = is_up.changed().await;
            }
        }
    }

    async fn connection(self: Arc<Self>, client: TcpStream) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (toxic, toxics) = watch::channel(None);
        let mut cuts = self.cuts.subscribe();
        let wire = tokio::spawn(async move {
            tokio::select! {
                () = wire::relay(client, theirs, toxics) => {}
                _ = cuts.changed() => {}
            }
        });
        let tls = self.tls.lock().unwrap().clone();
        match tls {
            None => self.serve(ours, toxic).await,
            // A client that does not like the certificate goes away.
            Some(config) => {
                if let Ok(stream) = TlsAcceptor::from(config).accept(ours).await {
                    self.serve(stream, toxic).await;
                }
            }
        }
        let _ = wire.await;
    }

    async fn serve<S>(self: Arc<Self>, stream: S, toxic: watch::Sender<Option<Toxic>>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (toxic, (leave, mut leaving)) = (Arc::new(toxic), watch::channel(false));
        let leave = Arc::new(leave);
        let calls = service_fn(move |request| {
            let (shared, toxic, leave) =
                (Arc::clone(&self), Arc::clone(&toxic), Arc::clone(&leave));
            async move { Ok::<_, Infallible>(shared.call(request, &toxic, &leave).await) }
        });
        let serving =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), calls);
        let mut serving = pin!(serving);
        tokio::select! {
            _ = serving.as_mut() => return,
            _ = leaving.wait_for(|leaving| *leaving) => serving.as_mut().graceful_shutdown(),
        }
        let _ = serving.await;
    }

    async fn call(
        &self,
        request: Request<Incoming>,
        toxic: &watch::Sender<Option<Toxic>>,
        leave: &watch::Sender<bool>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        let call = Seen {
            at: Instant::now(),
            headers: head.headers.clone(),
            // A flag and the length come before the message (gRPC, Length-Prefixed-Message).
            message: body.slice(body.len().min(5)..),
        };
        match self.fault_of(call) {
            Fault::None => {}
            Fault::Status(code, form) => return answer::status(code, "made up for the test", form),
            Fault::Quote => {
                let quoted = String::from_utf8_lossy(&body).into_owned();
                return answer::status(3, &quoted, Form::TrailersOnly);
            }
            Fault::Delay(delay) => tokio::time::sleep(delay).await,
            Fault::Hang => std::future::pending().await,
            Fault::ResetStream => return answer::broken(self.pass_on(head, body).await),
            Fault::GoAway => drop(leave.send_replace(true)),
            Fault::Wire(poison) => {
                if let Toxic::SlowClose(_) = poison {
                    leave.send_replace(true);
                }
                toxic.send_replace(Some(poison));
            }
            Fault::Down(pause) => {
                self.down();
                // This call ends with its connection.
                let is_up = self.is_up.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    is_up.send_replace(true);
                });
            }
        }
        answer::whole(self.pass_on(head, body).await)
    }

    fn fault_of(&self, call: Seen) -> Fault {
        let plan = self.plan.lock().unwrap();
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let mut seen = self.seen.lock().unwrap();
        if seen.len() < MOST_SEEN {
            seen.push(call);
        }
        plan(number)
    }

    fn down(&self) {
        self.is_up.send_replace(false);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    async fn pass_on(&self, mut head: hyper::http::request::Parts, body: Bytes) -> Whole {
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("http://{}{path}", self.upstream).parse::<Uri>().expect("a URI");
        // An emulator knows no tokens.
        head.headers.remove("authorization");
        let request = Request::from_parts(head, Full::new(body));
        match self.send(request).await {
            Ok(whole) => whole,
            Err(error) => Whole::unavailable(&error.to_string()),
        }
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Whole, Box<dyn std::error::Error + Send + Sync>> {
        let mut sender = {
            let mut open = self.to_upstream.lock().await;
            match &*open {
                Some(sender) if !sender.is_closed() => sender.clone(),
                _ => {
                    let stream = TokioIo::new(TcpStream::connect(&self.upstream).await?);
                    let (sender, connection) =
                        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
                    tokio::spawn(connection);
                    open.insert(sender).clone()
                }
            }
        };
        Ok(Whole::of(sender.send_request(request).await?).await?)
    }
}
