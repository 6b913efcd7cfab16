//! The port: what `host:port` means, the listening socket, and the files the process may open.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::str::FromStr;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, Socket, Type};

use super::PortFigures;

/// Connections whose handshake is done and that wait to be accepted. Linux caps it with
/// `net.core.somaxconn`, which is 4096 by default.
const BACKLOG: i32 = 4096;

/// Where to listen, as Go writes it: `:9990`, `127.0.0.1:9990`, `[::1]:9990`, `localhost:9990`.
///
/// An empty or unspecified host (`0.0.0.0`, `::`) means all interfaces, IPv4 and IPv6, as for
/// Go's `net.Listen`. Port 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    host: String,
    port: u16,
}

impl ListenAddress {
    /// A port of all interfaces.
    pub fn all_interfaces(port: u16) -> Self {
        Self { host: String::new(), port }
    }

    /// The port; 0 lets the system choose.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The one address to listen on; none for all interfaces.
    fn resolve(&self) -> io::Result<Option<SocketAddr>> {
        if self.host.is_empty() {
            return Ok(None);
        }
        let addresses: Vec<_> = (self.host.as_str(), self.port).to_socket_addrs()?.collect();
        // Go listens on one address of a name, preferably one of IPv4.
        let address = addresses.iter().find(|one| one.is_ipv4()).or(addresses.first());
        let address = *address.ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Some(address).filter(|address| !address.ip().is_unspecified()))
    }
}

/// The text is no `host:port` with a decimal port.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no listen address: it must look like :9990, 127.0.0.1:9990 or [::1]:9990")]
pub struct InvalidListenAddress(String);

impl FromStr for ListenAddress {
    type Err = InvalidListenAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| InvalidListenAddress(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ListenAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.strip_suffix(']')?,
        // An IPv6 address without brackets: which of its colons begins the port?
        None if host.contains(':') => return None,
        None => host,
    };
    if host.contains(['[', ']']) || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(ListenAddress { host: host.to_owned(), port: port.parse().ok()? })
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// An open port. Connections queue up from now on; they are accepted once it is served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    figures: Arc<PortFigures>,
}

impl Listener {
    /// Opens the port. A host name is looked up first, which may block.
    ///
    /// # Errors
    /// When the name is unknown, or the system refuses: the port is taken, say.
    pub fn bind(address: &ListenAddress) -> io::Result<Self> {
        match address.resolve()? {
            Some(one) => listen(one),
            None => listen((Ipv6Addr::UNSPECIFIED, address.port).into()).or_else(|error| {
                match Errno::from_io_error(&error) {
                    Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {
                        listen((Ipv4Addr::UNSPECIFIED, address.port).into())
                    }
                    _ => Err(error),
                }
            }),
        }
    }

    /// Where the port is: the one the system chose, if it was to choose.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What goes on at the port, now and once it is served.
    #[must_use]
    pub fn figures(&self) -> Arc<PortFigures> {
        Arc::clone(&self.figures)
    }

    /// Hands the port to the runtime.
    pub(super) fn into_tokio(self) -> io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.socket)
    }
}

fn listen(address: SocketAddr) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the closed connections of the last run to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Listener { socket: socket.into(), figures: Arc::default() })
}

/// Lets no new connection in, but those whose handshake is under way: the kernel drops every
/// segment that asks for a new one.
///
/// Closing a port resets what nobody has accepted yet. Behind this filter the queue can be emptied
/// first. Its clients try again a second later, and find the port closed.
///
/// # Errors
/// When the kernel takes no such filter.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn refuse_new_connections(listener: &tokio::net::TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};

    // Classic BPF (Linux, Documentation/networking/filter.rst), on the TCP header.
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // RFC 9293, section 3.1.
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;

    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN | ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// There is no such filter on this system.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn refuse_new_connections(_: &tokio::net::TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Raises the number of files the process may open as far as it may without privileges: every
/// connection is one, and the usual 1024 are fewer than [`Limits::connections`]. How many that is;
/// none if there is no limit.
///
/// # Errors
/// When the system refuses; the old limit stays.
///
/// [`Limits::connections`]: super::Limits::connections
pub fn raise_open_file_limit() -> io::Result<Option<u64>> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum)
}
