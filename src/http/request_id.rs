//! The name of a request, by which its caller, its record and its trace speak of it.
//!
//! A caller may choose it: a front end that names requests wants to find its own names. It comes
//! back in the answer and goes into logs and other people's tools, so not everything will do.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::environment::Random;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken, in bytes: room for any identifier in use, and a bound for the record.
const MAX_BYTES: usize = 128;

/// 1 to 128 bytes of visible ASCII without quotes and backslash: what stands as it is in JSON, in a
/// header, in a shell's quotes and in a query of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Chosen);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Chosen {
    ByCaller(HeaderValue),
    /// In place: every request has one.
    Here([u8; Hyphenated::LENGTH]),
}

impl RequestId {
    /// The caller's, if there is one that will do. Of several it is not known who chose which.
    pub(super) fn given(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(X_REQUEST_ID).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        is_sane(value.as_bytes()).then(|| Self(Chosen::ByCaller(value.clone())))
    }

    /// One that nobody else has: a random UUID, or the one of all zeros where there is no
    /// randomness; then there are no tokens either.
    pub(super) fn made(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        let id = match random.fill(&mut bytes) {
            Ok(()) => uuid::Builder::from_random_bytes(bytes).into_uuid(),
            Err(_) => Uuid::nil(),
        };
        let mut text = [0; Hyphenated::LENGTH];
        id.hyphenated().encode_lower(&mut text);
        Self(Chosen::Here(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = match &self.0 {
            Chosen::ByCaller(value) => value.as_bytes(),
            Chosen::Here(text) => text,
        };
        // Both are ASCII.
        str::from_utf8(text).unwrap_or_default()
    }

    pub(super) fn into_header(self) -> HeaderValue {
        match self.0 {
            Chosen::ByCaller(value) => value,
            Chosen::Here(text) => {
                HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("unknown"))
            }
        }
    }
}

fn is_sane(id: &[u8]) -> bool {
    let is_plain =
        |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'`' | b'\\');
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_would_not_stand_as_it_is_everywhere_is_not_taken() {
        let longest = "x".repeat(128);
        for id in ["a", "6f1c-…".trim_end_matches('…'), "req/1:2=3?{}[]~", &longest] {
            assert!(is_sane(id.as_bytes()), "{id}");
        }
        let too_long = "x".repeat(129);
        for id in ["", " ", "a b", "a\tb", "a\"b", "a'b", "a`b", "a\\b", "é", "\u{7f}", &too_long]
        {
            assert!(!is_sane(id.as_bytes()), "{id:?}");
        }
    }
}
