//! One kept-alive connection, which is opened anew when the server closes it.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) struct Connection {
    address: String,
    stream: Option<TcpStream>,
    read: Vec<u8>,
}

impl Connection {
    pub(super) fn to(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None, read: Vec::new() }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request and reads all of its answer; the status.
    pub(super) async fn ask(&mut self, request: &str) -> io::Result<u16> {
        let is_used = self.stream.is_some();
        let outcome = self.try_once(request).await;
        if outcome.is_err() {
            self.stream = None;
        }
        match outcome {
            // A server may close a connection that idles, also when a request is on its way.
            Err(_) if is_used => {
                let again = self.try_once(request).await;
                if again.is_err() {
                    self.stream = None;
                }
                again
            }
            outcome => outcome,
        }
    }

    async fn try_once(&mut self, request: &str) -> io::Result<u16> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            open(&self.address).await?
        };
        stream.write_all(request.as_bytes()).await?;
        self.read.clear();
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            read_more(&mut stream, &mut self.read).await?;
        };
        let text = std::str::from_utf8(&self.read[..head]).map_err(io::Error::other)?;
        let status = text.get(9..12).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status"))?;
        let value = |name: &str| {
            text.split("\r\n").find_map(|line| {
                let (found, value) = line.split_once(": ")?;
                found.eq_ignore_ascii_case(name).then_some(value)
            })
        };
        let length: usize = value("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
        let closes = value("connection") == Some("close");
        while self.read.len() < head + length {
            read_more(&mut stream, &mut self.read).await?;
        }
        if !closes {
            self.stream = Some(stream);
        }
        Ok(status)
    }
}

async fn open(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn read_more(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<()> {
    match stream.read_buf(read).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
