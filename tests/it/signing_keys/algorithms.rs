//! The ten algorithms, and private JWKs as other tools make them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use token_exchange::signer::{Algorithm, InvalidJwk, InvalidKeySet, KeySet, Warning};

use super::file::{key_for, parse};

fn bare(jwk: &Value) -> Result<KeySet, InvalidKeySet> {
    KeySet::parse(&serde_json::to_vec(jwk).unwrap())
}

/// Why a key is refused.
fn fault(jwk: &Value) -> InvalidJwk {
    match bare(jwk) {
        Err(InvalidKeySet::Key { fault, .. }) => fault,
        other => panic!("{jwk} gives {other:?}"),
    }
}

fn without(jwk: &Value, members: &[&str]) -> Value {
    let mut jwk = jwk.clone();
    jwk.as_object_mut().unwrap().retain(|name, _| !members.contains(&name.as_str()));
    jwk
}

/// Flips one bit in the middle of a member.
fn damaged(jwk: &Value, member: &str) -> Value {
    let mut jwk = jwk.clone();
    let mut bytes = URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    jwk[member] = URL_SAFE_NO_PAD.encode(bytes).into();
    jwk
}

#[test]
fn every_algorithm_can_be_generated_and_signs() {
    for alg in Algorithm::NAMES.split(", ") {
        let keys = bare(&key_for(alg, "a")).unwrap();
        let key = &keys.members()[0].key;
        assert_eq!(key.algorithm().name(), alg);
        let length = match alg {
            "ES256" | "EdDSA" => 64,
            "ES384" => 96,
            "ES512" => 132,
            _ => 256,
        };
        assert_eq!(key.sign(b"message").unwrap().len(), length, "{alg}");
        let public: Value = serde_json::from_str(key.public_jwk()).unwrap();
        assert_eq!((&public["use"], &public["alg"]), (&"sig".into(), &alg.into()));
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            assert_eq!(public.get(private), None, "{alg} publishes {private}");
        }
    }
}

#[test]
fn missing_crt_values_are_computed_and_present_ones_are_checked() {
    let jwk = key_for("RS256", "a");
    let whole = bare(&jwk).unwrap().members()[0].key.sign(b"message").unwrap();
    for missing in [&["dp"][..], &["dq"], &["qi"], &["dp", "dq", "qi"]] {
        let keys = bare(&without(&jwk, missing)).unwrap();
        assert_eq!(keys.members()[0].key.sign(b"message").unwrap(), whole, "without {missing:?}");
    }
    for member in ["d", "p", "q", "dp", "dq", "qi", "n"] {
        assert_eq!(fault(&damaged(&jwk, member)), InvalidJwk::Inconsistent, "{member}");
    }
    for member in ["p", "q"] {
        assert_eq!(fault(&without(&jwk, &[member])), InvalidJwk::Missing(member));
        for too_small in ["AA", "AQ"] {
            let mut jwk = jwk.clone();
            jwk[member] = too_small.into();
            assert_eq!(fault(&jwk), InvalidJwk::Inconsistent, "{member} is {too_small}");
        }
    }
}

#[test]
fn the_bits_of_an_rsa_key_are_counted_without_leading_zeros() {
    let mut jwk = key_for("RS256", "a");
    for (first, bytes, bits) in [(0x7f, 256, 2047), (0x80, 255, 2040), (0x01, 1025, 8193)] {
        let mut modulus = vec![0xff; bytes];
        modulus[0] = first;
        for padded in [modulus.clone(), [vec![0; 9], modulus].concat()] {
            jwk["n"] = URL_SAFE_NO_PAD.encode(padded).into();
            assert_eq!(fault(&jwk), InvalidJwk::RsaSize(bits));
        }
    }
}

#[test]
fn alg_decides_and_a_missing_one_is_refused_with_the_choices() {
    let jwk = without(&key_for("RS256", "a"), &["alg"]);
    let said = fault(&jwk).to_string();
    assert!(Algorithm::NAMES.split(", ").all(|name| said.contains(name)), "{said}");
    for alg in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let mut jwk = jwk.clone();
        jwk["alg"] = alg.into();
        assert_eq!(bare(&jwk).unwrap().members()[0].key.algorithm().name(), alg);
    }
    for (alg, other) in [("RS256", "ES256"), ("ES256", "EdDSA"), ("EdDSA", "RS256")] {
        let mut jwk = key_for(alg, "a");
        jwk["alg"] = other.into();
        assert!(matches!(fault(&jwk), InvalidJwk::KeyTypeMismatch { .. }), "{alg} as {other}");
    }
    let mut jwk = key_for("ES256", "a");
    jwk["alg"] = "ES384".into();
    assert!(matches!(fault(&jwk), InvalidJwk::CurveMismatch { .. }));
}

#[test]
fn a_public_member_that_does_not_belong_to_the_private_one_is_refused() {
    for (alg, member) in [("ES256", "d"), ("ES384", "d"), ("ES512", "d"), ("EdDSA", "d")] {
        assert_eq!(fault(&damaged(&key_for(alg, "a"), member)), InvalidJwk::Inconsistent, "{alg}");
    }
}

#[test]
fn keys_that_some_verifiers_will_not_take_are_warned_of() {
    let alone = |alg| parse(&[key_for(alg, "a")]).warnings();
    for alg in Algorithm::NAMES.split(", ") {
        let is_taken = ["RS256", "RS384", "RS512", "ES256"].contains(&alg);
        assert_eq!(alone(alg).is_empty(), is_taken, "{alg}");
    }
    let mixed = parse(&[key_for("RS256", "a"), key_for("ES256", "b")]).warnings();
    assert_eq!(mixed, [Warning::MixedKeyTypes]);
}

/// `tests/vectors/private-jwks/README.md` says how each was made.
#[test]
fn private_jwks_of_other_tools_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/private-jwks");
    let mut read = std::collections::BTreeMap::<String, Vec<String>>::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jwks") {
            continue;
        }
        let tool = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let keys = KeySet::parse(&std::fs::read(&path).unwrap());
        let keys = keys.unwrap_or_else(|error| panic!("{tool}: {error}"));
        let algorithms =
            keys.members().iter().map(|member| member.key.algorithm().name().to_owned());
        read.insert(tool, algorithms.collect());
    }
    let all: Vec<&str> = Algorithm::NAMES.split(", ").collect();
    for tool in ["go-jose", "jose", "nimbus", "openssl", "pyjwt"] {
        assert_eq!(
            read.get(tool).map(|algs| algs.iter().map(String::as_str).collect()),
            Some(all.clone()),
            "{tool}"
        );
    }
}
