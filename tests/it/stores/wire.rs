//! A network that loses what a test wants to be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};

/// What a proxy does with one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Everything goes through.
    Through,
    /// Everything goes through until so many calls were answered; then the server is not heard.
    SilentAfterAnswers(usize),
    /// Everything goes through until so many calls were answered; then the server hangs up.
    EndsAfterAnswers(usize),
    /// As soon as the client has sent these bytes: the server gets them, and is not heard.
    CutAfterSending(&'static [u8]),
    /// As soon as the client has sent these bytes: nobody gets them.
    CutBeforeSending(&'static [u8]),
    /// Accepted and closed.
    Refused,
}

/// A proxy that lets a server be heard or not; it ends with the test's runtime.
pub struct Proxy {
    pub address: String,
    connections: Arc<AtomicUsize>,
    hung_up: Arc<Notify>,
}

impl Proxy {
    /// Decides for each connection by its number, beginning with 0.
    pub async fn start(server: &str, fate: impl Fn(usize) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let hung_up = Arc::<Notify>::default();
        let (server, counter) = (server.to_owned(), Arc::clone(&connections));
        let bell = Arc::clone(&hung_up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(relay(client, server.clone(), fate(number), Arc::clone(&bell)));
            }
        });
        Self { address, connections, hung_up }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The server has hung up, and the client knows.
    pub async fn hung_up(&self) {
        self.hung_up.notified().await;
    }
}

async fn relay(
    client: TcpStream,
    server: String,
    fate: Fate,
    hung_up: Arc<Notify>,
) -> std::io::Result<()> {
    if fate == Fate::Refused {
        return Ok(());
    }
    let (mut from_client, mut to_client) = client.into_split();
    let (server, mut to_server) = TcpStream::connect(server).await?.into_split();
    let (frames, mut from_server) = mpsc::channel(16);
    tokio::spawn(read_frames(server, frames));
    let (mut sent, mut answers) = (Vec::new(), 0);
    let mut is_cut = false;
    let mut buffer = [0; 16 * 1024];
    loop {
        tokio::select! {
            read = from_client.read(&mut buffer), if !is_cut => {
                let bytes = match read? { 0 => return Ok(()), read => &buffer[..read] };
                sent.extend_from_slice(bytes);
                match fate {
                    Fate::CutBeforeSending(marker) if contains(&sent, marker) => return Ok(()),
                    Fate::CutAfterSending(marker) => is_cut = contains(&sent, marker),
                    _ => {}
                }
                to_server.write_all(bytes).await?;
            }
            frame = from_server.recv() => {
                let Some(frame) = frame else { return Ok(()) };
                match fate {
                    // The server has done its work, and nobody will hear of it.
                    Fate::CutAfterSending(_) if is_cut && frame.is_answer() => return Ok(()),
                    Fate::SilentAfterAnswers(limit) if answers >= limit && frame.is_of_a_call() => {}
                    _ => to_client.write_all(&frame.0).await?,
                }
                answers += usize::from(frame.ends_answer());
                if fate == Fate::EndsAfterAnswers(answers) {
                    to_client.shutdown().await?;
                    while from_client.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
                    hung_up.notify_one();
                    return Ok(());
                }
            }
        }
    }
}

/// One HTTP/2 frame: length (24 bits), type, flags, stream, payload (RFC 9113, section 4.1).
struct Frame(Vec<u8>);

impl Frame {
    const HEAD: usize = 9;
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const END_STREAM: u8 = 1;

    fn is_answer(&self) -> bool {
        matches!(self.0[3], Self::DATA | Self::HEADERS)
    }

    fn ends_answer(&self) -> bool {
        self.is_answer() && self.0[4] & Self::END_STREAM != 0
    }

    /// All but what is said of the connection as a whole.
    fn is_of_a_call(&self) -> bool {
        self.0[5..Self::HEAD] != [0; 4]
    }
}

async fn read_frames(mut from: OwnedReadHalf, to: mpsc::Sender<Frame>) -> std::io::Result<()> {
    loop {
        let mut frame = vec![0; Frame::HEAD];
        from.read_exact(&mut frame).await?;
        let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        frame.resize(Frame::HEAD + length as usize, 0);
        from.read_exact(&mut frame[Frame::HEAD..]).await?;
        if to.send(Frame(frame)).await.is_err() {
            return Ok(());
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
