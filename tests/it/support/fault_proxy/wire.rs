//! The bytes of one connection, and what toxiproxy would do to them.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time::sleep;

/// What happens to a connection, towards the client, from the moment that it is said. `down` is a
/// fault of the whole proxy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Toxic {
    /// Every piece comes later, by a time between the two.
    Latency { shortest: Duration, longest: Duration },
    /// So many bytes a second.
    Bandwidth(u32),
    /// Pieces of so many bytes, with a pause after each.
    Slicer { bytes: usize, pause: Duration },
    /// The connection takes no more calls; what ends it is told so much later.
    SlowClose(Duration),
    /// Nothing goes through any more, in either direction, and nothing is closed.
    Timeout,
    /// The connection is reset.
    ResetPeer,
    /// The connection is closed as if all were said.
    Close,
    /// The server's half is closed; the client may go on talking.
    HalfClose,
    /// So many bytes more, and then the connection is cut.
    LimitData(usize),
}

/// Carries the bytes until either side has ended, or a toxic ends it.
pub(super) async fn relay(
    client: TcpStream,
    server: DuplexStream,
    toxics: watch::Receiver<Option<Toxic>>,
) {
    let _ = client.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    tokio::select! {
        () = upstream(from_client, to_server, toxics.clone()) => {}
        () = downstream(from_server, to_client, toxics) => {}
    }
}

async fn upstream(
    mut from: OwnedReadHalf,
    mut to: WriteHalf<DuplexStream>,
    toxics: watch::Receiver<Option<Toxic>>,
) {
    tokio::select! {
        _ = tokio::io::copy(&mut from, &mut to) => {}
        () = silenced(toxics) => std::future::pending().await,
    }
}

async fn silenced(mut toxics: watch::Receiver<Option<Toxic>>) {
    if toxics.wait_for(|toxic| *toxic == Some(Toxic::Timeout)).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn downstream(
    mut from: ReadHalf<DuplexStream>,
    mut to: OwnedWriteHalf,
    mut toxics: watch::Receiver<Option<Toxic>>,
) {
    let mut buffer = vec![0; 16 * 1024];
    let (mut jitter, mut left, mut is_toxic_new) = (0, usize::MAX, false);
    loop {
        let toxic = *toxics.borrow_and_update();
        match toxic {
            Some(Toxic::ResetPeer) => return reset(&to),
            Some(Toxic::Close) => return,
            Some(Toxic::Timeout) => std::future::pending().await,
            Some(Toxic::HalfClose) => {
                let _ = to.shutdown().await;
                std::future::pending::<()>().await;
            }
            Some(Toxic::LimitData(bytes)) if is_toxic_new => left = bytes,
            _ => {}
        }
        let read = tokio::select! {
            biased;
            Ok(()) = toxics.changed() => {
                is_toxic_new = true;
                continue;
            }
            read = from.read(&mut buffer) => read,
        };
        is_toxic_new = false;
        let Ok(read @ 1..) = read else {
            if let Some(Toxic::SlowClose(delay)) = toxic {
                sleep(delay).await;
            }
            return;
        };
        let piece = &buffer[..read.min(left)];
        left -= piece.len();
        let written = match toxic {
            Some(Toxic::Latency { shortest, longest }) => {
                jitter += 1;
                sleep(shortest + longest.saturating_sub(shortest) * (jitter % 5) / 4).await;
                to.write_all(piece).await
            }
            Some(Toxic::Bandwidth(a_second)) => {
                sleep(Duration::from_secs(1) * u32::try_from(read).unwrap_or(1) / a_second).await;
                to.write_all(piece).await
            }
            Some(Toxic::Slicer { bytes, pause }) => sliced(&mut to, piece, bytes, pause).await,
            _ => to.write_all(piece).await,
        };
        if written.is_err() || left == 0 {
            return;
        }
    }
}

async fn sliced(
    to: &mut OwnedWriteHalf,
    piece: &[u8],
    bytes: usize,
    pause: Duration,
) -> std::io::Result<()> {
    for slice in piece.chunks(bytes) {
        to.write_all(slice).await?;
        sleep(pause).await;
    }
    Ok(())
}

/// Closed without lingering, a connection is reset (RFC 9293, ABORT).
fn reset(to: &OwnedWriteHalf) {
    let _ = socket2::SockRef::from(to.as_ref()).set_linger(Some(Duration::ZERO));
}
