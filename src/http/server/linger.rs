//! The close that lets the last answer arrive.
//!
//! A socket that is closed while bytes of the client are unread is reset, and the reset overtakes
//! the answer: a client that still sends its body would never see the 413 (RFC 9112, section 9.6).

use std::io;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Limits;

/// Ends our side, then waits for the client to end its own, for [`Limits::linger`] at most.
pub(super) async fn linger(stream: TcpStream, limits: &Limits) {
    // An error here means that the client is gone already, or out of time: nothing is left to do.
    if SockRef::from(&stream).shutdown(std::net::Shutdown::Write).is_ok() {
        let _ = timeout(limits.linger, client_to_close(&stream, limits.linger_bytes)).await;
    }
}

async fn client_to_close(stream: &TcpStream, mut bytes: usize) -> io::Result<()> {
    loop {
        let ready = stream.ready(Interest::READABLE).await?;
        // After the client's end no more can come than the kernel holds, and reading that is what
        // keeps our close from being a reset.
        let most = if ready.is_read_closed() { usize::MAX } else { bytes };
        let outcome = if most > 0 {
            discard(stream, most)
        } else {
            // Out of allowance: forget that there is something to read, so as to be woken by the
            // client's end and not by its bytes.
            stream.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()))
        };
        match outcome {
            Ok(0) => return Ok(()),
            Ok(discarded) => bytes = bytes.saturating_sub(discarded),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads and forgets. Not a part of the future above, which would carry the buffer all along.
fn discard(stream: &TcpStream, most: usize) -> io::Result<usize> {
    let mut bin = [0; 8192];
    let size = most.min(bin.len());
    stream.try_read(&mut bin[..size])
}
