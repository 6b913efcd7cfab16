//! The HTTP/1.1 server that carries routes: listener, accept loop, timeouts, limits, drain.
//!
//! A room of its own because `axum::serve` bounds neither the time for a request's head, nor the
//! number of connections, nor its own end. It knows nothing of tokens: what is routed, how long a
//! handler may take and how large a body may be are the routes' business. Of a request it knows the
//! name alone, for the answer of a drain that is over.
//!
//! ```text
//! listener      the port: one socket for both address families
//!   acceptor    one loop a port: room for the new connection, back-off, the stages of a drain
//!     connection  one task a connection: hyper, its deadlines, its close
//!       wire        the socket as hyper sees it; tells what happens to
//!       conversation  where the connection stands, and how long it may stay there
//!       exchange    one request and its answer
//!       linger      the close that lets the last answer arrive
//!   figures     how many connections there are
//! drain         the graceful end, shared by all ports
//! ```

mod acceptor;
mod connection;
mod conversation;
mod drain;
mod exchange;
mod figures;
mod linger;
mod listener;
mod wire;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use tower::Service;

use self::acceptor::Acceptor;
pub use self::drain::{Drain, Schedule};
pub use self::figures::PortFigures;
pub use self::listener::{InvalidListenAddress, ListenAddress, Listener, raise_open_file_limit};
use crate::http::RequestId;

/// How long a connection may take over what it does, and how many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for the head of a request, from the opening of the connection or, on a kept-alive one,
    /// from the head's first byte. Bytes that trickle in do not extend it.
    pub head: Duration,
    /// Time a kept-alive connection may wait for its next request.
    pub idle: Duration,
    /// Time without progress after which a client no longer reads its answer.
    pub write_stall: Duration,
    /// Open connections of one port. Where there is no more room, a new connection takes the place
    /// of the one idle longest.
    pub connections: usize,
    /// Time to let the client read the last answer before its connection is closed.
    pub linger: Duration,
    /// Bytes that are read and thrown away meanwhile.
    pub linger_bytes: usize,
}

impl Limits {
    /// What the service runs with.
    pub const PRODUCTION: Self = Self {
        // The packets of a head, one of them lost and sent again after one and after two seconds.
        head: Duration::from_secs(5),
        // Load balancers of Google Cloud reuse a connection for up to 600 s: were we the first to
        // close it, a request on its way would be lost.
        idle: Duration::from_secs(620),
        // A mobile client that changes cells is back within seconds.
        write_stall: Duration::from_secs(10),
        // Each costs about 17 KiB with its share of the kernel when idle, and 80 KiB with the
        // longest head and body half sent: 160 MiB of the 256 MiB. A front end sends an instance of
        // Cloud Run 1,000 requests at once at most.
        connections: 2048,
        // A round trip to the other side of the world and one retransmission.
        linger: Duration::from_secs(1),
        // Enough for a client that sends a body somewhat too large in one go.
        linger_bytes: 64 * 1024,
    };

    /// What the metrics port runs with: a handful of scrapers, and no share of the memory worth
    /// mentioning.
    pub const METRICS: Self = Self { connections: 64, ..Self::PRODUCTION };
}

/// Makes the answer to a request that is not ready when the drain's deadline comes. The request has
/// gone by then, and with it all but the name that its caller gave it.
pub type TooLate = fn(Option<RequestId>) -> Response;

/// What answers the requests of a port, a clone for each connection: axum's router, or one within
/// something.
pub trait Routes:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + Unpin>
    + Clone
    + Send
    + 'static
{
}

impl<S> Routes for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + Unpin>
        + Clone
        + Send
        + 'static
{
}

/// What every connection of one port goes by.
#[derive(Debug)]
struct Rules {
    limits: Limits,
    drain: Drain,
    too_late: TooLate,
    figures: Arc<PortFigures>,
}

/// Serves the routes until the drain is over: every connection has ended, or its time is up.
///
/// Dropping the future closes the port and every connection at once.
///
/// # Errors
/// When the runtime cannot take the listener.
pub async fn serve(
    listener: Listener,
    routes: impl Routes,
    limits: Limits,
    drain: Drain,
    too_late: TooLate,
) -> io::Result<()> {
    let rules = Rules { limits, drain, too_late, figures: listener.figures() };
    Acceptor::new(listener, routes, rules)?.run().await;
    Ok(())
}
