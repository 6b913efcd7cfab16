//! Where a request stands in its caller's trace, by what the caller says: W3C `traceparent` (Trace
//! Context, section 3.2), and where there is none that can be read, Google's
//! `X-Cloud-Trace-Context`.
//!
//! What cannot be read says nothing, and is no error of the request. Nothing of it is kept but two
//! numbers and a bit.

use std::num::{NonZeroU64, NonZeroU128};

use axum::http::{HeaderMap, HeaderName};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const CLOUD_TRACE_CONTEXT: HeaderName = HeaderName::from_static("x-cloud-trace-context");

/// A span of a trace, and whether the trace is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Written as 32 hex digits.
    pub trace_id: NonZeroU128,
    /// Written as 16 hex digits.
    pub span_id: NonZeroU64,
    pub sampled: bool,
}

impl TraceContext {
    /// The span that a request was made in, by its headers.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        only(headers, &TRACEPARENT)
            .and_then(Self::of_traceparent)
            .or_else(|| only(headers, &CLOUD_TRACE_CONTEXT).and_then(Self::of_cloud_trace_context))
    }

    /// `00-TRACE_ID-SPAN_ID-FLAGS`, in lower-case hex; a later version may have more behind it.
    fn of_traceparent(value: &str) -> Option<Self> {
        let mut fields = value.split('-');
        let [version, trace_id, span_id, flags] =
            [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
        let fits = [(version, 2), (trace_id, 32), (span_id, 16), (flags, 2)]
            .into_iter()
            .all(|(field, digits)| field.len() == digits && field.bytes().all(is_lower_hex));
        let knows_more = fields.next().is_some();
        if !fits || version == "ff" || (version == "00" && knows_more) {
            return None;
        }
        Some(Self {
            trace_id: NonZeroU128::new(u128::from_str_radix(trace_id, 16).ok()?)?,
            span_id: NonZeroU64::new(u64::from_str_radix(span_id, 16).ok()?)?,
            sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
        })
    }

    /// `TRACE_ID/SPAN_ID;o=OPTIONS`: 32 hex digits, a decimal number, and whether it is recorded.
    fn of_cloud_trace_context(value: &str) -> Option<Self> {
        let (place, options) = value.split_once(";o=").unwrap_or((value, "0"));
        let (trace_id, span_id) = place.split_once('/')?;
        let is_hex = trace_id.len() == 32 && trace_id.bytes().all(|b| b.is_ascii_hexdigit());
        let is_decimal = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if !is_hex || !is_decimal(span_id) || !is_decimal(options) {
            return None;
        }
        Some(Self {
            trace_id: NonZeroU128::new(u128::from_str_radix(trace_id, 16).ok()?)?,
            span_id: NonZeroU64::new(span_id.parse().ok()?)?,
            sampled: options.parse::<u8>().ok()? & 1 == 1,
        })
    }
}

/// The value of a header; none where there are two, which contradict each other.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    fn read(headers: &[(&'static str, &str)]) -> Option<TraceContext> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of_headers(&map)
    }

    fn traceparent(value: &str) -> Option<TraceContext> {
        read(&[("traceparent", value)])
    }

    fn cloud(value: &str) -> Option<TraceContext> {
        read(&[("x-cloud-trace-context", value)])
    }

    fn context(span_id: u64, sampled: bool) -> TraceContext {
        TraceContext {
            trace_id: NonZeroU128::new(u128::from_str_radix(TRACE, 16).unwrap()).unwrap(),
            span_id: NonZeroU64::new(span_id).unwrap(),
            sampled,
        }
    }

    #[test]
    fn both_headers_are_read_and_traceparent_wins() {
        let w3c = |flags| format!("00-{TRACE}-00f067aa0ba902b7-{flags}");
        assert_eq!(traceparent(&w3c("01")), Some(context(0x00f0_67aa_0ba9_02b7, true)));
        assert_eq!(traceparent(&w3c("00")), Some(context(0x00f0_67aa_0ba9_02b7, false)));
        // Flags that nobody knows yet.
        assert_eq!(traceparent(&w3c("fe")), Some(context(0x00f0_67aa_0ba9_02b7, false)));
        for (value, sampled) in [(";o=1", true), (";o=3", true), (";o=0", false), ("", false)] {
            assert_eq!(cloud(&format!("{TRACE}/17{value}")), Some(context(17, sampled)), "{value}");
        }
        assert_eq!(cloud(&format!("{}/17;o=1", TRACE.to_uppercase())), Some(context(17, true)));
        let google = format!("{TRACE}/17;o=1");
        let both = [("x-cloud-trace-context", &*google), ("traceparent", &*w3c("00"))];
        assert_eq!(read(&both), Some(context(0x00f0_67aa_0ba9_02b7, false)));
        let one = [("x-cloud-trace-context", &*google), ("traceparent", "nonsense")];
        assert_eq!(read(&one), Some(context(17, true)));
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(traceparent(&later), Some(context(0x00f0_67aa_0ba9_02b7, true)));
        assert_eq!(traceparent(&format!("{later}-more")), traceparent(&later));
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        let span = "00f067aa0ba902b7";
        for value in [
            String::new(),
            "-".repeat(4),
            format!("ff-{TRACE}-{span}-01"),
            format!("00-{TRACE}-{span}-01-more"),
            format!("00-{TRACE}-{span}"),
            format!("00-{TRACE}-{span}-1"),
            format!("00-{TRACE}-{span}-+1"),
            format!("00-{}-{span}-01", TRACE.to_uppercase()),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!(" 00-{TRACE}-{span}-01"),
        ] {
            assert_eq!(traceparent(&value), None, "{value:?}");
        }
        for value in [
            String::new(),
            TRACE.to_owned(),
            format!("{TRACE}/"),
            format!("{TRACE}/0;o=1"),
            format!("{TRACE}/-1;o=1"),
            format!("{TRACE}/+1;o=1"),
            format!("{TRACE}/18446744073709551616;o=1"),
            format!("{TRACE}/1;o="),
            format!("{TRACE}/1;o=256"),
            format!("{TRACE}/1;o=1;o=1"),
            format!("{TRACE}0/1;o=1"),
            format!("{}/1;o=1", "0".repeat(32)),
        ] {
            assert_eq!(cloud(&value), None, "{value:?}");
        }
        let w3c = format!("00-{TRACE}-{span}-01");
        assert_eq!(read(&[("traceparent", &w3c), ("traceparent", &w3c)]), None);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_not_and_what_is_read_was_there(
            w3c in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "[0-9a-f]{2}-[0-9a-f]{31,33}-[0-9a-f]{15,17}-[0-9a-f]{1,3}(-.*)?".prop_map(Into::into),
            ],
            google in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..80),
                "[0-9a-fA-F]{31,33}/[0-9]{0,21}(;o=[0-9]{0,4})?".prop_map(Into::into),
            ],
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [(TRACEPARENT, &w3c), (CLOUD_TRACE_CONTEXT, &google)] {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    headers.insert(name, value);
                }
            }
            if let Some(context) = TraceContext::of_headers(&headers) {
                let trace = format!("{:032x}", context.trace_id);
                let was_there = |value: &[u8]| {
                    String::from_utf8_lossy(value).to_lowercase().contains(&trace)
                };
                prop_assert!(was_there(&w3c) || was_there(&google));
            }
        }

        #[test]
        fn what_is_written_as_the_standards_say_is_read_back(
            trace_id: NonZeroU128, span_id: NonZeroU64, sampled: bool,
        ) {
            let context = Some(TraceContext { trace_id, span_id, sampled });
            let bit = u8::from(sampled);
            prop_assert_eq!(traceparent(&format!("00-{trace_id:032x}-{span_id:016x}-{bit:02x}")), context);
            prop_assert_eq!(cloud(&format!("{trace_id:032X}/{span_id};o={bit}")), context);
        }
    }
}
