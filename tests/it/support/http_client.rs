//! A client that sends exactly the bytes it is given and reads one whole HTTP/1.x answer.
//!
//! It knows framing (RFC 9112) and nothing of this service. A real client library would not do: it
//! repairs or refuses most of the requests that are of interest.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// More than any answer here, so that a server that never stops talking fails the test.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// A request as it goes over the wire; nothing is added to it.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    /// Sent as it stands, the framing of a chunked body included.
    pub body: Vec<u8>,
    /// Close the sending side after the body.
    pub half_close: bool,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            half_close: false,
        }
    }

    /// GET, on a connection that is closed afterwards.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target).header("Host", "localhost").header("Connection", "close")
    }

    /// POST of a whole body, on a connection that is closed afterwards.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let mut request = Self::new("POST", target)
            .header("Host", "localhost")
            .header("Connection", "close")
            .header("Content-Type", "application/json")
            .header("Content-Length", &body.len().to_string());
        request.body = body;
        request
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Connects to `address`, sends the request and reads its answer, all within the given time.
    ///
    /// A request that expects it gets a 100 before its body is sent; any other answer takes the
    /// body's place.
    pub fn send(&self, address: &str, within: Duration) -> Result<Answer, Failure> {
        let mut connection = Connection::open(address, within)?;
        let mut sender = connection.sender()?;
        if !self.expects_continue() {
            // An answer may come before all of a large body could be sent, so both go on at once.
            return std::thread::scope(|scope| {
                scope.spawn(move || {
                    sender.write(&self.head());
                    self.send_body(&mut sender);
                });
                let answer = connection.read_answer(self);
                connection.abandon();
                answer
            });
        }
        sender.write(&self.head());
        let first = connection.read_head()?;
        if first.status != 100 {
            return connection.finish(self, first);
        }
        self.send_body(&mut sender);
        let mut answer = connection.read_answer(self)?;
        answer.interim.insert(0, first.status);
        Ok(answer)
    }

    fn send_body(&self, sender: &mut Sender) {
        sender.write(&self.body);
        if self.half_close {
            sender.end();
        }
    }

    fn expects_continue(&self) -> bool {
        self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("expect") && value.eq_ignore_ascii_case("100-continue")
        })
    }

    /// Its first line and its headers, and the empty line after them.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Without its transfer coding; a content coding is left as it is.
    pub body: Vec<u8>,
    /// The statuses of the answers before it (1xx).
    pub interim: Vec<u16>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The body as text; bytes that are not UTF-8 show as U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The connection ended before the first byte of an answer.
    Closed,
    /// The deadline passed.
    TimedOut,
    /// What came is no HTTP answer, or is not all of one.
    Malformed(String),
}

/// A connection that is used again and again, and made anew when the server has closed it.
pub struct KeptAlive {
    address: String,
    open: Option<Connection>,
}

impl KeptAlive {
    const WITHIN: Duration = Duration::from_secs(30);

    pub fn to(address: &str) -> Self {
        Self { address: address.to_owned(), open: None }
    }

    /// # Panics
    /// When there is no answer.
    pub fn send(&mut self, request: &Request) -> Answer {
        let mut last = Failure::Closed;
        for _ in 0..2 {
            match self.try_send(request) {
                Ok(answer) => return answer,
                Err(failure) => (self.open, last) = (None, failure),
            }
        }
        panic!("every request gets an answer: {last:?}")
    }

    fn try_send(&mut self, request: &Request) -> Result<Answer, Failure> {
        let connection = match &mut self.open {
            Some(open) => open,
            none => none.insert(Connection::open(&self.address, Self::WITHIN)?),
        };
        connection.deadline = Instant::now() + Self::WITHIN;
        let whole = [request.head(), request.body.clone()].concat();
        connection.sender()?.write(&whole);
        connection.read_answer(request)
    }
}

/// The receiving half of a connection, and what was read ahead from it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    deadline: Instant,
}

/// The sending half of a connection.
#[derive(Debug)]
pub struct Sender {
    stream: TcpStream,
}

impl Sender {
    /// Sends bytes. A server may answer and close while it is still being written to, so a failure
    /// to write is told by what can be read afterwards, not here.
    pub fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Tells the server that no more will come.
    pub fn end(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

struct Head {
    status: u16,
    headers: Vec<(String, String)>,
}

impl Connection {
    /// Opens a connection on which everything must happen within the given time.
    pub fn open(address: &str, within: Duration) -> Result<Self, Failure> {
        let address = address.parse().map_err(|_| malformed(address))?;
        let stream = TcpStream::connect_timeout(&address, within).map_err(|_| Failure::Closed)?;
        Self::over(stream, within)
    }

    /// A connection that is open already.
    pub fn over(stream: TcpStream, within: Duration) -> Result<Self, Failure> {
        // The head and the body are two writes.
        stream.set_nodelay(true).map_err(|_| Failure::Closed)?;
        Ok(Self { stream, unread: Vec::new(), deadline: Instant::now() + within })
    }

    pub fn sender(&self) -> Result<Sender, Failure> {
        Ok(Sender { stream: self.stream.try_clone().map_err(|_| Failure::Closed)? })
    }

    /// Reads the answer to `request`, and the interim answers before it.
    pub fn read_answer(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut interim = Vec::new();
        loop {
            let head = self.read_head()?;
            if !(100..200).contains(&head.status) {
                let answer = self.finish(request, head)?;
                return Ok(Answer { interim, ..answer });
            }
            interim.push(head.status);
        }
    }

    /// Reads an interim answer, or the head of the final one; its status.
    pub fn read_interim(&mut self) -> Result<u16, Failure> {
        self.read_head().map(|head| head.status)
    }

    /// Waits until the server has closed the connection; what it sends before is returned.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>, Failure> {
        while self.read_more()? {}
        Ok(std::mem::take(&mut self.unread))
    }

    /// Gives up the connection; a sender that is held up ends.
    fn abandon(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn finish(&mut self, request: &Request, head: Head) -> Result<Answer, Failure> {
        let Head { status, headers } = head;
        let mut answer = Answer { status, headers, body: Vec::new(), interim: Vec::new() };
        answer.body = if request.method == "HEAD" {
            // Whatever follows is one body too many: it shows when the server has nothing to add.
            let _ = self.stream.shutdown(Shutdown::Write);
            self.read_to_end()?
        } else if matches!(status, 204 | 304) {
            Vec::new()
        } else if answer.header("Transfer-Encoding") == Some("chunked") {
            self.read_chunks()?
        } else if let Some(length) = answer.header("Content-Length") {
            let length = length.parse().map_err(|_| malformed("Content-Length"))?;
            self.read_exactly(length)?
        } else {
            self.read_to_end()?
        };
        Ok(answer)
    }

    fn read_head(&mut self) -> Result<Head, Failure> {
        if self.unread.is_empty() && !self.read_more()? {
            return Err(Failure::Closed);
        }
        let status_line = self.read_line()?;
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| malformed(&status_line))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                return Ok(Head { status, headers });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    fn read_chunks(&mut self) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let size = self.read_line()?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed("a chunk size"))?;
            if size == 0 {
                while !self.read_line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.read_exactly(size)?);
            self.read_exactly(2)?;
        }
    }

    fn read_line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\r\n") {
                let line = self.unread.drain(..end + 2).take(end).collect::<Vec<u8>>();
                return String::from_utf8(line).map_err(|_| malformed("a line that is not text"));
            }
            if !self.read_more()? {
                return Err(malformed("cut off in a line"));
            }
        }
    }

    fn read_exactly(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        while self.unread.len() < count {
            if !self.read_more()? {
                return Err(malformed("cut off in the body"));
            }
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Reads what there is; `false` when the server has closed.
    fn read_more(&mut self) -> Result<bool, Failure> {
        if self.unread.len() > MAX_ANSWER_BYTES {
            return Err(malformed("an answer without end"));
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
            return Err(Failure::TimedOut);
        }
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.unread.extend_from_slice(&piece[..count]);
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(Failure::TimedOut),
                ErrorKind::Interrupted => Ok(true),
                // A reset after the answer is how a refused body shows; what came counts.
                _ => Ok(false),
            },
        }
    }
}

fn malformed(what: &str) -> Failure {
    Failure::Malformed(what.to_owned())
}
