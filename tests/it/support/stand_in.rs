//! Stores that do not work: one nobody listens at, one that refuses every call, one that is silent.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{Domain, Socket, Type};
use tokio::runtime::Runtime;

const ANY_PORT: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// An address that refuses connections, and keeps doing so: the port is taken, and not listened at.
pub struct RefusingStore {
    socket: Socket,
}

impl RefusingStore {
    pub fn start() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(ANY_PORT).into()).expect("a free port");
        Self { socket }
    }

    pub fn host(&self) -> String {
        let address = self.socket.local_addr().ok().and_then(|address| address.as_socket());
        address.expect("a bound socket has an address").to_string()
    }
}

/// A gRPC server that answers every call with one status.
pub struct FailingStore {
    host: String,
    // Its tasks end when it is dropped.
    _runtime: Runtime,
}

impl FailingStore {
    /// Starts it with a status code of gRPC, such as 7 (permission denied).
    pub fn start(grpc_status: u8) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind(ANY_PORT)).expect("a port");
        let host = listener.local_addr().expect("a bound socket has an address").to_string();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let refuse = service_fn(move |_: hyper::Request<Incoming>| async move {
                    Ok::<_, Infallible>(trailers_only(grpc_status))
                });
                let connection = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), refuse);
                tokio::spawn(connection);
            }
        });
        Self { host, _runtime: runtime }
    }

    pub fn host(&self) -> &str {
        &self.host
    }
}

/// The form of an answer that fails at once ("Trailers-Only" of the gRPC protocol over HTTP/2).
fn trailers_only(grpc_status: u8) -> Response<Empty<Bytes>> {
    Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", grpc_status.to_string())
        .header("grpc-message", "made up for the test")
        .body(Empty::new())
        .expect("a response of constants")
}

/// A store that takes connections and never says a word.
pub struct SilentStore {
    listener: TcpListener,
}

impl SilentStore {
    pub fn start() -> Self {
        Self { listener: TcpListener::bind(ANY_PORT).expect("a free port") }
    }

    pub fn host(&self) -> String {
        self.listener.local_addr().expect("a bound socket has an address").to_string()
    }

    /// Waits until somebody has asked it; the connection stays open as long as what is returned.
    pub fn wait_for_a_caller(&self) -> std::net::TcpStream {
        self.listener.accept().expect("a connection").0
    }
}
