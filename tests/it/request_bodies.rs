//! Bodies of requests at their bounds, through the real binary. What the recordings of the Go
//! service hold is in `golden_http`; this needs no emulator.

use std::time::Duration;

use crate::support::http_client::{Connection, Request};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};

const WITHIN: Duration = Duration::from_secs(30);
const PATH: &str = "/v0/token/integration";
const MOST: usize = 16 * 1024;

#[test]
fn a_body_of_16_kib_is_read_and_one_of_a_byte_more_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (service, api_key) = start(folder.path());
    for (bytes, status) in [(MOST, 200), (MOST + 1, 413)] {
        let body = padded(&api_key, bytes);
        let declared = Request::post(PATH, body.as_str());
        let chunks = body.as_bytes().chunks(1000).chain([&b""[..]]).map(chunk);
        let mut chunked = Request::new("POST", PATH)
            .header("Host", "localhost")
            .header("Transfer-Encoding", "chunked");
        chunked.body = chunks.collect::<Vec<_>>().concat();
        for request in [declared, chunked] {
            let answer = request.send(service.address(), WITHIN).unwrap();
            assert_eq!(answer.status, status, "{bytes} bytes: {}", answer.text());
        }
    }
}

#[test]
fn who_declares_more_than_they_send_is_answered_as_soon_as_the_object_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (service, api_key) = start(folder.path());
    let body = padded(&api_key, 1000);
    let request = Request::new("POST", PATH)
        .header("Host", "localhost")
        .header("Content-Length", &(body.len() + 100).to_string());
    // Sooner than the ten seconds after which a body is given up.
    let mut connection = Connection::open(service.address(), Duration::from_secs(8)).unwrap();
    let mut sender = connection.sender().unwrap();
    sender.write(&[request.head(), body.into_bytes()].concat());
    let answer = connection.read_answer(&request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn a_raw_control_character_is_400_and_an_escaped_one_is_part_of_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _) = start(folder.path());
    let status = |body: &str| -> u16 {
        Request::post(PATH, body).send(service.address(), WITHIN).unwrap().status
    };
    for control in ['\0', '\n', '\u{1f}'] {
        assert_eq!(status(&format!(r#"{{"api_key":"a{control}b"}}"#)), 400);
        assert_eq!(status(&format!(r#"{{"api_key{control}":"ab"}}"#)), 400);
        let escaped = format!(r#"{{"api_key":"a\u{:04x}b"}}"#, u32::from(control));
        assert_eq!(status(&escaped), 401, "{escaped}");
    }
}

fn start(folder: &std::path::Path) -> (Service, String) {
    let operator = Operator::on_sqlite(&folder.join("keys.db"));
    let api_key = operator.integration_with_key("acme");
    (operator.serve(Launch::token_exchange().recorded_signing_key()), api_key)
}

/// A request of so many bytes.
fn padded(api_key: &str, bytes: usize) -> String {
    let body = |padding: &str| format!(r#"{{"padding":"{padding}","api_key":"{api_key}"}}"#);
    body(&"x".repeat(bytes - body("").len()))
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
