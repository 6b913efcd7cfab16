//! What is no token is refused with a reason, and nothing of it is repeated.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;
use token_exchange::verifier::{CompactToken, PublicKeySet, judge};

use super::{WITHIN, claims, explain, header, signed};
use crate::signing_keys::file::{key, set};
use crate::support::service::Launch;

#[test]
fn what_is_no_token_is_refused_with_the_reason() {
    let base64 = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let of = |header: &str, claims: &str| format!("{}.{}.c2ln", base64(header), base64(claims));
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
    for (text, why) in [
        (String::new(), "the input is empty"),
        ("eyJhbGciOiJub25lIn0".to_owned(), "and this has 1"),
        ("a.b.c.d".to_owned(), "and this has 4"),
        ("a.b.c.d.e".to_owned(), "it is encrypted"),
        ("mlabk.cii_a.ki_b.secret".to_owned(), "it is an API key"),
        ("..".to_owned(), "its header is no JSON object"),
        ("e30=.e30.c2ln".to_owned(), "its header is not unpadded base64url"),
        ("e30.e3+0.c2ln".to_owned(), "its payload is not unpadded base64url"),
        ("e30.e30.c2l*".to_owned(), "its signature is not unpadded base64url"),
        (of("[]", "{}"), "its header is no JSON object"),
        (of("{}", "7"), "its payload is no JSON object"),
        (of("{}", "{} {}"), "its payload is no JSON object"),
        (of("{}", &nested), "its payload is no JSON object"),
        (of(r#"{"alg":"none","alg":"RS256"}"#, "{}"), "its header has a member twice"),
        (of("{}", r#"{"a":{"b":[{"c":1,"c":2}]}}"#), "its payload has a member twice"),
        (of("{}", &format!("{{\"a\":\"{}\"}}", "x".repeat(20_000))), "longer than 16384 bytes"),
        ("x".repeat(100_000), "more than 32768 bytes"),
    ] {
        let finished = explain(&text, &[]);
        assert_eq!((finished.status.code(), &*finished.stdout), (Some(1), ""), "{why}");
        assert!(finished.stderr.contains(why), "{why}: {}", finished.stderr);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let launch = Launch::token_exchange().arg("explain-token").arg("-");
    let finished = launch.run_on(b"\xff\xfe.\x80.\x00", WITHIN);
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
}

#[test]
fn a_token_in_the_wrong_place_is_not_repeated() {
    let key = key("k1");
    let token = signed(&key, &header(&key), &claims(0));
    for words in [&["explain-token", "-", "-output", &token][..], &[&token], &["doctor", &token]] {
        let launch = words.iter().fold(Launch::token_exchange(), |launch, word| launch.arg(word));
        let refused = launch.run_on(b"", WITHIN);
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("eyJ…"), "{}", refused.stderr);
        assert!(!refused.stderr.contains(&token[..40]), "{}", refused.stderr);
    }
}

#[test]
fn claims_of_a_stranger_do_not_act_on_the_terminal() {
    let key = key("k1");
    let claims = json!({ "iss": "\u{1b}[2J\nACCEPTED: this token is good at this moment." });
    let finished = explain(&signed(&key, &header(&key), &claims), &[]);
    assert_eq!(finished.status.code(), Some(3), "{finished:?}");
    assert!(!finished.stdout.contains('\u{1b}'), "{finished:?}");
    assert!(!finished.stdout.lines().any(|line| line.starts_with("ACCEPTED")), "{finished:?}");
}

/// Texts that are nearly tokens.
fn nearly_a_token() -> impl Strategy<Value = String> {
    let json = prop_oneof![
        any::<String>(),
        Just(r#"{"alg":"RS256","kid":"k1"}"#.to_owned()),
        Just(r#"{"exp":1e400}"#.to_owned()),
        Just(r#"{"exp":-1,"iat":{},"nbf":[]}"#.to_owned()),
        any::<String>().prop_map(|text| json!({ "alg": text, "kid": text, text: 1 }).to_string()),
    ];
    proptest::collection::vec(json.prop_map(|json| URL_SAFE_NO_PAD.encode(json)), 0..6)
        .prop_map(|parts| parts.join("."))
}

proptest! {
    #[test]
    fn any_text_is_judged_or_refused_and_nothing_of_it_is_in_the_refusal(
        text in prop_oneof![any::<String>(), nearly_a_token()],
        now in any::<u64>(),
    ) {
        let keys = PublicKeySet::parse(&set(&[key("k1")])).unwrap();
        match CompactToken::parse(&text) {
            Ok(token) => prop_assert!(!judge(&token, Some(&keys), now).is_accepted()),
            Err(refusal) => {
                let said = refusal.to_string();
                let is_repeated = text.split('.').any(|part| part.len() > 12 && said.contains(part));
                prop_assert!(!is_repeated, "{}", said);
            }
        }
    }

    #[test]
    fn a_token_with_any_letter_changed_is_accepted_by_nobody(at in any::<prop::sample::Index>()) {
        let key = key("k1");
        let token = signed(&key, &header(&key), &claims(0));
        let keys = PublicKeySet::parse(&set(&[key])).unwrap();
        let now = u64::try_from(super::now()).unwrap();
        let accepted = |token: &str| {
            CompactToken::parse(token).is_ok_and(|token| judge(&token, Some(&keys), now).is_accepted())
        };
        prop_assert!(accepted(&token));
        let at = at.index(token.len());
        let changed = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let token = [&token[..at], changed, &token[at + 1..]].concat();
        prop_assert!(!accepted(&token));
    }
}
