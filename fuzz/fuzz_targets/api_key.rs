//! API keys and the lines that recipients hand over in their place, against a second reading of
//! the contract (docs: `src/api_key.rs`): the same texts are taken, and come out as they went in.

#![no_main]

use aws_lc_rs::digest::{SHA256, digest};
use libfuzzer_sys::fuzz_target;
use secrecy::{ExposeSecret as _, SecretString};
use token_exchange::api_key::{ImportLine, IntegrationApiKey, OrganizationApiKey};

fuzz_target!(|text: &str| {
    integration_key(text);
    organization_key(text);
    import_line(text);
});

fn integration_key(text: &str) {
    let parsed = IntegrationApiKey::parse(&SecretString::from(text));
    let expected = parts(text, "mlabk")
        .filter(|(_, _, secret)| text.len() <= 300 && (1..=128).contains(&secret.len()));
    let Some((id, key_id, secret)) = expected else {
        assert!(parsed.is_err(), "no key is {text:?}");
        return;
    };
    let key = parsed.unwrap_or_else(|why| panic!("a key is {text:?}, but {why}"));
    assert_eq!(key.integration_id().as_str(), id);
    assert_eq!(key.key_id().as_str(), key_id);
    assert_eq!(
        key.secret_hash().as_bytes().as_slice(),
        digest(&SHA256, secret.as_bytes()).as_ref()
    );
    assert_eq!(key.reveal().expose_secret(), text);
    // What is shown of a key does not depend on its secret.
    let ids = &text[..text.len() - secret.len()];
    let other = SecretString::from(format!("{ids}{}", "x".repeat(secret.len())));
    let other = IntegrationApiKey::parse(&other).expect("the secret alone is another");
    assert_eq!(format!("{key:?}"), format!("{other:?}"));
    let line = key.import_line().to_string();
    assert_eq!(line.parse::<ImportLine>().as_ref(), Ok(&key.import_line()));
}

fn organization_key(text: &str) {
    let parsed = OrganizationApiKey::parse(SecretString::from(text));
    assert_eq!(parsed.is_ok(), (1..=1500).contains(&text.len()));
    if let Ok(key) = parsed {
        assert_eq!(key.reveal().expose_secret(), text);
    }
}

fn import_line(text: &str) {
    let parsed = text.parse::<ImportLine>();
    let is_hash =
        |text: &str| text.len() == 64 && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    match parts(text, "mlabkh").filter(|(_, _, hash)| is_hash(hash)) {
        None => assert!(parsed.is_err(), "no line is {text:?}"),
        Some((id, key_id, _)) => {
            let line = parsed.unwrap_or_else(|why| panic!("a line is {text:?}, but {why}"));
            assert_eq!((line.integration_id().as_str(), line.key_id().as_str()), (id, key_id));
            assert_eq!(line.to_string(), text);
        }
    }
}

/// Integration id, key id and the last part of `prefix.cii_<id>.<key id>.<last>`.
fn parts<'a>(text: &'a str, prefix: &str) -> Option<(&'a str, &'a str, &'a str)> {
    if text.bytes().filter(|byte| *byte == b'.').count() != 3 {
        return None;
    }
    let rest = text.strip_prefix(prefix)?.strip_prefix(".cii_")?;
    let (id, rest) = rest.split_once('.')?;
    let (key_id, last) = rest.split_once('.')?;
    // Four underscores at least: two that open and two that close.
    let is_reserved = id.len() > 3 && id.starts_with("__") && id.ends_with("__");
    let fits = (1..=64).contains(&id.len())
        && (4..=64).contains(&key_id.len())
        && key_id.starts_with("ki_");
    (fits && !is_reserved).then_some((id, key_id, last))
}
