//! The only place that knows status codes: what a caller is told when there is no token.
//!
//! The words are the contract's; the reason goes to the operator's log, never to the caller.

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::request_body::BodyError;
use super::request_id::{RequestId, X_REQUEST_ID};
use crate::exchange::{Busy, NoToken, Reason};
use crate::telemetry::audit::{Cause, Unrecorded};

pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// How long a caller should wait before it tries again: by then one round of retries is over.
const RETRY_AFTER_SECONDS: Duration = Duration::from_secs(1);

/// The longest that a caller should wait who was turned away in an overload; the shortest is a
/// second. Those who are turned away one after another are told times in turn.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3);

/// Why a request on a token route gets no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Exchange(#[from] NoToken),
    #[error("the handler panicked")]
    Panicked,
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
}

impl Rejection {
    /// The reason in a word.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Body(BodyError::Empty) => Reason::BodyEmpty,
            Self::Body(BodyError::Broken) => Reason::BodyBroken,
            Self::Body(BodyError::NotJson | BodyError::NotARequest) => Reason::BadJson,
            Self::Body(BodyError::TooSlow) => Reason::BodyTooSlow,
            Self::Body(BodyError::TooLarge) => Reason::BodyTooLarge,
            Self::Exchange(why) => why.reason(),
            Self::Panicked => Reason::Panic,
            Self::Unrecorded(_) => Reason::Audit,
        }
    }

    /// Who is one of many that are turned away, and is told of with them.
    pub(super) fn busy(&self) -> Option<Busy> {
        match self {
            Self::Exchange(NoToken::Busy(busy)) => Some(*busy),
            _ => None,
        }
    }

    /// What the operator is told beside the reason.
    pub(super) fn into_cause(self) -> Option<Cause> {
        match self {
            Self::Body(why) => Some(Arc::new(why)),
            Self::Exchange(why) => Some(Arc::new(why)),
            Self::Unrecorded(why) => Some(Arc::new(why)),
            Self::Panicked => None,
        }
    }

    /// What the caller is told.
    pub(super) fn response(&self) -> Response {
        match self {
            Self::Body(BodyError::TooSlow) => {
                closing(text(StatusCode::REQUEST_TIMEOUT, "Request body took too long\n"))
            }
            Self::Body(BodyError::TooLarge) => {
                closing(text(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large\n"))
            }
            Self::Body(_) => text(StatusCode::BAD_REQUEST, "Invalid request body\n"),
            Self::Exchange(NoToken::Refused(_)) => {
                text(StatusCode::UNAUTHORIZED, "Invalid API key\n")
            }
            Self::Exchange(NoToken::Busy(busy)) => overloaded(*busy),
            Self::Exchange(NoToken::Unavailable(_)) | Self::Unrecorded(_) => unavailable(),
            Self::Exchange(NoToken::Failed(_)) | Self::Panicked => {
                text(StatusCode::INTERNAL_SERVER_ERROR, "Failed to generate token\n")
            }
        }
    }
}

/// What a request gets that is not ready when the service has to end, by the name that it came with.
#[must_use]
pub fn too_late(name: Option<RequestId>) -> Response {
    let mut response = closing(unavailable());
    if let Some(name) = name {
        response.headers_mut().insert(X_REQUEST_ID, name.into_header());
    }
    response
}

/// The caller has the newest there is.
pub(super) fn not_modified() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}

pub(super) async fn not_found() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// 301, as the Go service in production. A location that no header can hold is no request either.
pub(super) fn moved(location: String) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::MOVED_PERMANENTLY, [(LOCATION, location)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The metrics page could not be written.
pub(super) fn no_page(cause: &prometheus::Error) -> Response {
    tracing::error!(%cause, "the metrics page could not be written");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// The router adds `Allow`.
pub(super) async fn method_not_allowed() -> Response {
    text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n")
}

fn unavailable() -> Response {
    retry_after(RETRY_AFTER_SECONDS.as_secs())
}

pub(super) fn overloaded(busy: Busy) -> Response {
    retry_after(1 + busy.number % LONGEST_RETRY_AFTER.as_secs())
}

fn retry_after(seconds: u64) -> Response {
    let mut response =
        text(StatusCode::SERVICE_UNAVAILABLE, "Service unavailable, please try again\n");
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// The instance is to get no traffic.
pub(super) fn not_ready(why: &'static str) -> Response {
    text(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// What is left of the request is not worth reading.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn text(status: StatusCode, words: &'static str) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 3] = [
        (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CACHE_CONTROL, NO_STORE),
    ];
    (status, HEADERS, words).into_response()
}
