//! Reads `{"api_key":"…"}` as the Go service does: byte for byte what its decoder accepts.
//!
//! Go replaces each invalid byte of UTF-8 by U+FFFD, and so does this, before the JSON is parsed;
//! after that only escaped lone surrogates are left to replace. The parser is `serde_json`'s, which
//! skips unknown values without recursion, so nesting costs no stack.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::de::SliceRead;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// The largest body that is read, in bytes: fifty times the longest key.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How long a body may take from its head to its end: a slow network, not a slow client.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// Why a body holds no API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("there is no body")]
    Empty,
    #[error("the body broke off")]
    Broken,
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body is JSON, but no object with text as its api_key")]
    NotARequest,
    #[error("the body is larger than {MAX_BODY_BYTES} bytes")]
    TooLarge,
    #[error("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())]
    TooSlow,
}

/// Reads the API key out of a request's body; empty if the object has none.
pub(super) async fn api_key(mut body: Body) -> Result<SecretString, BodyError> {
    let declared = body.size_hint().exact();
    if declared.is_some_and(|bytes| bytes > MAX_BODY_BYTES as u64) {
        return Err(BodyError::TooLarge);
    }
    let deadline = Instant::now() + BODY_TIMEOUT;
    let mut received = Zeroizing::new(Vec::new());
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return parse(&received),
            // The Go decoder stops after the first value, and would not know.
            Ok(Some(Err(_))) => return parse(&received).map_err(|_| BodyError::Broken),
            Err(_) => return parse(&received).map_err(|_| BodyError::TooSlow),
        };
        let Ok(data) = frame.into_data() else { continue };
        if received.len() + data.len() > MAX_BODY_BYTES {
            return Err(BodyError::TooLarge);
        }
        if received.is_empty() {
            if body.is_end_stream() {
                return parse(&data);
            }
            // A client that declares more than it sends and waits: answered at once, as by Go. Only
            // once, so that a body that drips in is not parsed again with every drop; and not where
            // the length is not declared, since then the body may turn out to be too large.
            if declared.is_some()
                && let Ok(key) = parse(&data)
            {
                return Ok(key);
            }
            // Where the length is declared, it never grows: a growing copy would leave itself behind.
            let bytes = declared.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(512);
            received.reserve_exact(bytes);
        }
        received.extend_from_slice(&data);
    }
}

/// The first JSON value of a body; what follows it is not looked at.
fn parse(body: &[u8]) -> Result<SecretString, BodyError> {
    if body.is_empty() {
        return Err(BodyError::Empty);
    }
    let repaired = with_invalid_bytes_replaced(body);
    let body = repaired.as_deref().map_or(body, Vec::as_slice);
    let json = || serde_json::Deserializer::new(SliceRead::new(body));
    // The syntax of the whole value first, as in Go: where strings are read as bytes, serde_json
    // lets control characters pass.
    IgnoredAny::deserialize(&mut json()).map_err(|_| BodyError::NotJson)?;
    json()
        .deserialize_any(RequestVisitor)
        .map(|key| SecretString::from(key.unwrap_or_default()))
        .map_err(|_| BodyError::NotARequest)
}

/// Each byte that is not part of valid UTF-8 becomes one U+FFFD. (`from_utf8_lossy` would join
/// the bytes of a truncated character.) `None` if there is none.
fn with_invalid_bytes_replaced(bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if std::str::from_utf8(bytes).is_ok() {
        return None;
    }
    let mut text = String::with_capacity(bytes.len() * REPLACEMENT.len_utf8());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n(REPLACEMENT, chunk.invalid().len()));
    }
    Some(Zeroizing::new(text.into_bytes()))
}

/// The whole request: an object, or `null` for an empty one.
struct RequestVisitor;

impl<'de> Visitor<'de> for RequestVisitor {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or null")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut key = None;
        while let Some(is_the_key) = members.next_key_seed(IsApiKey)? {
            if is_the_key {
                // Of several the last one counts; `null` leaves the earlier value.
                key = members.next_value_seed(TextOrNull)?.or(key);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(key)
    }
}

/// Names match without regard to case, by Unicode simple folding: the Kelvin sign is a `k`.
fn is_api_key(name: &str) -> bool {
    let folded = |character: char| match character {
        '\u{212A}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(folded).eq("api_key".chars())
}

/// The name of a member, of which only this is asked.
struct IsApiKey;

impl<'de> DeserializeSeed<'de> for IsApiKey {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        // As bytes, like the values. With a lone surrogate it is none.
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for IsApiKey {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<bool, E> {
        Ok(std::str::from_utf8(bytes).is_ok_and(is_api_key))
    }
}

/// A JSON string, each escaped lone surrogate in it replaced by one U+FFFD.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        // As bytes, because serde_json refuses lone surrogates in strings but not in bytes.
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
        // The input was valid UTF-8, so what is invalid now is a surrogate in three bytes.
        let mut text = String::with_capacity(bytes.len());
        let mut surrogate_bytes = 0;
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            surrogate_bytes += chunk.invalid().len();
            if surrogate_bytes == 3 {
                text.push(REPLACEMENT);
                surrogate_bytes = 0;
            }
        }
        Ok(text)
    }
}

struct TextOrNull;

impl<'de> DeserializeSeed<'de> for TextOrNull {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for TextOrNull {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Text.deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret as _;

    use super::*;

    fn key_in(body: impl AsRef<[u8]>) -> Result<String, BodyError> {
        parse(body.as_ref()).map(|key| key.expose_secret().to_owned())
    }

    #[test]
    fn each_invalid_byte_becomes_one_replacement_character() {
        for (bytes, replaced) in [
            (&b"a\xffb"[..], "a\u{fffd}b"),
            (b"a\xc0\xafb", "a\u{fffd}\u{fffd}b"),
            // A truncated character of three bytes, and a surrogate in UTF-8.
            (b"a\xe2\x82b", "a\u{fffd}\u{fffd}b"),
            (b"a\xed\xa0\x80b", "a\u{fffd}\u{fffd}\u{fffd}b"),
        ] {
            let body = [b"{\"api_key\":\"", bytes, b"\"}"].concat();
            assert_eq!(key_in(&body).as_deref(), Ok(replaced), "{bytes:?}");
        }
    }

    #[test]
    fn each_escaped_lone_surrogate_becomes_one_replacement_character() {
        for (escaped, replaced) in [
            (r"a\ud800b", "a\u{fffd}b"),
            (r"a\udc00\ud800b", "a\u{fffd}\u{fffd}b"),
            (r"\ud800\ud800", "\u{fffd}\u{fffd}"),
            (r"\ud800\u0061", "\u{fffd}a"),
            (r"\ud83d\udd11", "🔑"),
            (r"\ud800\ud83d\udd11", "\u{fffd}🔑"),
            ("\\ud800\u{fffd}", "\u{fffd}\u{fffd}"),
        ] {
            let body = format!(r#"{{"api_key":"{escaped}"}}"#);
            assert_eq!(key_in(&body).as_deref(), Ok(replaced), "{escaped}");
        }
    }

    #[test]
    fn raw_control_characters_are_refused_and_escaped_ones_are_not() {
        for control in (0..0x20).map(char::from) {
            for body in [
                format!(r#"{{"api_key":"a{control}b"}}"#),
                format!(r#"{{"api{control}_key":"ab"}}"#),
                format!(r#"{{"other":"a{control}b","api_key":"ab"}}"#),
            ] {
                assert_eq!(key_in(&body), Err(BodyError::NotJson), "{body:?}");
            }
            let escaped = format!(r#"{{"api_key":"a\u{:04x}b"}}"#, u32::from(control));
            assert_eq!(key_in(&escaped), Ok(format!("a{control}b")), "{escaped}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_body_is_told_apart() {
        for (body, why) in [
            ("", BodyError::Empty),
            (" ", BodyError::NotJson),
            ("{", BodyError::NotJson),
            ("[]", BodyError::NotARequest),
            (r#"{"api_key":1}"#, BodyError::NotARequest),
        ] {
            assert_eq!(key_in(body), Err(why), "{body:?}");
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        let depth = (MAX_BODY_BYTES - 20) / 2;
        let body = format!(r#"{{"a":{}{},"api_key":"k"}}"#, "[".repeat(depth), "]".repeat(depth));
        assert_eq!(key_in(&body).as_deref(), Ok("k"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = key_in(&body);
        }

        #[test]
        fn a_key_comes_out_as_it_was_written(key in any::<String>(), extra in any::<String>()) {
            let members = serde_json::json!({ "API_KEY": key, "x": [extra, { "api_key": null }] });
            prop_assert_eq!(key_in(members.to_string()), Ok(key));
        }

        #[test]
        fn what_follows_the_first_value_is_not_looked_at(rest in proptest::collection::vec(any::<u8>(), 0..50)) {
            let body = [br#"{"api_key":"k"}"#, rest.as_slice()].concat();
            prop_assert_eq!(key_in(&body), Ok("k".to_owned()));
        }
    }
}
