//! A stand-in for the Go service: it answers what `tests/golden` has recorded, defects included.
//! What was not recorded, a token for a key that was made today, is answered by a service of ours.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::support::golden::{self, HttpCase, RecordedResponse, Store};
use crate::support::http_client::{Answer, Request};

const WITHIN: Duration = Duration::from_secs(20);

/// Its threads end with the tests.
pub struct GoService {
    address: SocketAddr,
}

impl GoService {
    /// Starts it; `change` may spoil the answer of a recorded case.
    pub fn start(
        fallback: &str,
        change: impl Fn(&str, Answer) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut cases = golden::http_cases();
        cases.retain(|case| case.store == Store::Standard);
        let scene = Arc::new((cases, fallback.to_owned(), change));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let scene = Arc::clone(&scene);
                std::thread::spawn(move || {
                    let (cases, fallback, change) = &*scene;
                    let Some(request) = read(&stream) else { return };
                    let answer = match cases.iter().find(|case| is(case, &request)) {
                        Some(case) => change(&case.name, recorded(case)),
                        None => request.send(fallback, WITHIN).unwrap(),
                    };
                    write(stream, &request, &answer);
                });
            }
        });
        Self { address }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let mut request = Request::new(words.next()?, words.next()?).header("Connection", "close");
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
        if name.eq_ignore_ascii_case("content-length") {
            request.body = vec![0; value.parse().ok()?];
        }
    }
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Whether a request is the one of a case: what an ordinary client adds does not matter.
fn is(case: &HttpCase, request: &Request) -> bool {
    let recorded = Request::from(&case.request);
    let own = |(name, value): &&(String, String)| {
        !["host", "content-length", "connection"].contains(&&*name.to_ascii_lowercase())
            && value != "*/*"
    };
    let has = |request: &Request, (name, value): &(String, String)| {
        request.headers.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value)
    };
    recorded.version == "HTTP/1.1"
        && (&recorded.method, &recorded.target, &recorded.body)
            == (&request.method, &request.target, &request.body)
        && recorded.headers.iter().filter(own).all(|header| has(request, header))
        && request.headers.iter().filter(own).all(|header| has(&recorded, header))
}

fn recorded(case: &HttpCase) -> Answer {
    let RecordedResponse::Answer(answer) = &case.response else {
        panic!("{}: nothing was answered", case.name)
    };
    Answer {
        status: answer.status,
        headers: answer.headers.clone(),
        body: answer.body_utf8.clone().into_bytes(),
        interim: Vec::new(),
    }
}

fn write(mut stream: TcpStream, request: &Request, answer: &Answer) {
    const FRAMING: [&str; 3] = ["content-length", "connection", "transfer-encoding"];
    let own = |(name, _): &&(String, String)| !FRAMING.contains(&&*name.to_lowercase());
    let headers = answer.headers.iter().filter(own);
    let headers: String = headers.flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let head = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
        answer.status,
        answer.body.len()
    );
    let body = if request.method == "HEAD" { &[] } else { &answer.body[..] };
    // Who asked may have heard enough.
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
}
