//! Answers of gRPC over HTTP/2, whole and broken.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{HeaderMap, Response};

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// How a status is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In the headers, which are all of the answer.
    TrailersOnly,
    /// In trailers behind headers that promised more.
    AfterHeaders,
    /// In trailers behind a whole message.
    AfterMessage,
}

impl Form {
    pub const ALL: [Self; 3] = [Self::TrailersOnly, Self::AfterHeaders, Self::AfterMessage];
}

/// An answer of the store, to its last byte.
pub(super) struct Whole {
    headers: HeaderMap,
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl Whole {
    pub(super) async fn of(answer: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = answer.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self { headers: head.headers, data: body.to_bytes(), trailers })
    }

    pub(super) fn unavailable(why: &str) -> Self {
        let mut headers = grpc();
        put_status(&mut headers, 14, why);
        Self { headers, data: Bytes::new(), trailers: None }
    }
}

pub(super) fn whole(answer: Whole) -> Response<Body> {
    if answer.data.is_empty() && answer.trailers.is_none() {
        return respond(
            answer.headers,
            Empty::new().map_err(|never| match never {}).boxed_unsync(),
        );
    }
    let trailers = answer.trailers.unwrap_or_default();
    let body = Full::new(answer.data).with_trailers(async { Some(Ok(trailers)) });
    respond(answer.headers, body.map_err(|never| match never {}).boxed_unsync())
}

/// Headers and half of the message, and then the stream is reset.
pub(super) fn broken(answer: Whole) -> Response<Body> {
    let half = answer.data.slice(..answer.data.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(std::io::Error::other("reset for the test"))];
    respond(answer.headers, StreamBody::new(iter(frames)).boxed_unsync())
}

pub(super) fn status(code: u8, message: &str, form: Form) -> Response<Body> {
    let mut said = HeaderMap::new();
    put_status(&mut said, code, message);
    if form == Form::TrailersOnly {
        let mut headers = grpc();
        headers.extend(said);
        return respond(headers, Empty::new().map_err(|never| match never {}).boxed_unsync());
    }
    // An empty message is a whole one: a flag and a length of 0.
    let data = if form == Form::AfterMessage { &[0; 5][..] } else { &[] };
    let frames = [Ok(Frame::data(Bytes::from_static(data))), Ok(Frame::trailers(said))];
    respond(grpc(), StreamBody::new(iter(frames)).boxed_unsync())
}

fn iter<T>(items: impl IntoIterator<Item = T>) -> impl futures_util::Stream<Item = T> {
    futures_util::stream::iter(items)
}

fn grpc() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/grpc".parse().expect("a constant"));
    headers
}

/// The message percent-encoded (gRPC over HTTP/2, Responses).
fn put_status(headers: &mut HeaderMap, code: u8, message: &str) {
    headers.insert("grpc-status", i16::from(code).into());
    let encoded: String = message
        .bytes()
        .map(|byte| match byte {
            b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    headers.insert("grpc-message", encoded.parse().expect("it is ASCII"));
}

fn respond(headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}
