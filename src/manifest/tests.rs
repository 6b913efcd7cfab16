//! What is read as a manifest, and what never is.

use super::{InvalidManifest, Manifest};

const HASH: &str = "67b3c2ef810b2360ec2beb22b59e0a2681a1bd100ff9e1298a93e8bac8baa156";

#[test]
fn every_name_survives_yaml_and_json() {
    let names = [
        "acme",
        "123",
        "0x1f",
        "1e3",
        "no",
        "null",
        "~",
        "true",
        "-",
        "- a",
        "a: b",
        "#x",
        "'",
        "\"",
        " two  words ",
        "a\nb",
        "a\u{1b}b",
        "zürich-日本",
        "🔑",
        "{}",
        "[x",
        "&a",
        "*a",
        "!x",
        "%",
        "@",
        "`",
        "2026-11-22",
        "|",
        ">",
        "?",
        "<<",
        "a\tb",
        "\u{feff}x",
        "\u{2028}",
    ];
    let listed: Vec<_> = names
        .iter()
        .map(|name| serde_json::json!({ "id": name, "description": name, "keys": [{ "id": format!("ki_{name}"), "secret_hash": HASH, "tier": i64::MIN, "note": name, "expires_at": "2027-01-01T00:00:00.123456Z" }] }))
        .collect();
    let organizations: Vec<_> = names
        .iter()
        .map(|name| serde_json::json!({ "name": name.repeat(40), "email": name, "probability_multiplier": 0.1 }))
        .collect();
    let json =
        serde_json::json!({ "version": 1, "integrations": listed, "organizations": organizations });
    let manifest = Manifest::parse(&json.to_string()).unwrap();
    assert_eq!(manifest.integrations.len(), names.len());
    let yaml = manifest.to_yaml().unwrap();
    assert_eq!(Manifest::parse(&yaml).as_ref(), Ok(&manifest), "{yaml}");
    assert_eq!(Manifest::parse(&manifest.to_json().unwrap()), Ok(manifest));
}

#[test]
fn a_plain_secret_is_refused_wherever_it_stands_and_never_repeated() {
    let secret = "w4X3GcV7kAlR0b5Ew4X3GcV7kAlR0b5Ew4X3GcV7kAl";
    let whole = format!("mlabk.cii_acme.ki_one.{secret}");
    for text in [
        format!("version: 1\nintegrations: [{{id: acme, description: {whole}}}]"),
        format!("version: 1\n# {whole}\n"),
        format!("{{\"version\": 1, \"x\": \"{whole}\"}}"),
        format!("version: 1\nintegrations: [{{id: acme, keys: [{{id: ki_a, secret: {secret}}}]}}]"),
        format!(
            "version: 1\nintegrations: [{{id: acme, keys: [{{id: ki_a, api_key: {secret}}}]}}]"
        ),
        format!(
            "version: 1\nintegrations: [{{id: acme, keys: [{{id: ki_a, secret_hash: {secret}}}]}}]"
        ),
        format!(
            "version: 1\nintegrations: [{{id: acme, keys: [{{id: {secret}, secret_hash: {HASH}}}]}}]"
        ),
        format!(
            "version: 1\nintegrations: [{{id: acme, keys: [{{id: ki_a, secret_hash: {HASH}, tier: {secret}}}]}}]"
        ),
        format!("version: 1\nintegrations: {secret}"),
        format!("version: {secret}"),
        format!("version: 1\norganizations: [{{name: mlab, keys: [{secret}]}}]"),
        format!("{{\"version\": \"{secret}\"}}"),
        format!("version: 1\n{secret}\n: ["),
    ] {
        let refused = Manifest::parse(&text).unwrap_err().to_string();
        assert!(!refused.contains(secret), "{refused}");
    }
    assert_eq!(
        Manifest::parse(&format!("version: 1\n# {whole}\n")),
        Err(InvalidManifest::Secret { line: 2 })
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_the_place() {
    for (text, reason) in [
        ("version: 2", "version 2"),
        ("integrations: []", "missing field"),
        ("version: 1\nintergrations: []", "unknown field (known are version"),
        ("version: 1\nintegrations: [{id: a.b}]", "integration \"a.b\": the id: it contains a dot"),
        ("version: 1\nintegrations: [{id: a}, {id: a}]", "integration a: it stands there twice"),
        ("version: 1\nversion: 1", "line 2"),
        ("version: 1\norganizations: [{name: __x__}]", "reserved"),
        ("version: 1\norganizations: [{name: x, probability_multiplier: .inf}]", "finite"),
        ("version: 1\nintegrations: &a [{id: a}]\norganizations: *a", "line 2"),
        ("{\"version\": 1,", "line 1"),
        ("", "line 1"),
    ] {
        let refused = Manifest::parse(text).unwrap_err().to_string();
        assert!(refused.contains(reason), "{text:?}: {refused}");
    }
}
