//! The vectors of project Wycheproof (C2SP, `tests/vectors/wycheproof`) for what the service does:
//! RSA signatures, private JWKs, and tokens judged by the keys that it publishes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use token_exchange::signer::{KeySet, SigningKey};

/// Where the outcome is not the one of the vectors, and why. Symmetric keys are not listed: all are
/// refused, since whoever verifies with such a key could sign with it.
const JWK_DIFFERENCES: [(u64, &str); 2] = [
    (7, "ROCA: the key is weak by how the chips of one maker made it; its form is right"),
    (21, "use \"enc\": the Go service takes any use, and so must a drop-in; published is \"sig\""),
];
const JWS_DIFFERENCES: [(u64, &str); 4] = [
    (346, "the key says PS256, the token PS384: alg decides"),
    (347, "alg ES521: there is no such algorithm; RFC 7518 names it ES512"),
    (350, "the key says PS256, the token PS384"),
    (351, "alg ES521"),
];

fn vectors(name: &str) -> Value {
    let path = format!("{}/tests/vectors/wycheproof/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn groups(vectors: &Value) -> impl Iterator<Item = &Value> {
    vectors["testGroups"].as_array().unwrap().iter()
}

fn tests(group: &Value) -> impl Iterator<Item = &Value> {
    group["tests"].as_array().unwrap().iter()
}

fn keys(private: &Value) -> Option<KeySet> {
    KeySet::parse(&serde_json::to_vec(private).unwrap()).ok()
}

#[test]
fn pkcs1_signatures_are_the_exact_bytes() {
    let mut signatures = BTreeMap::<String, usize>::new();
    for size in ["2048", "3072", "4096"] {
        let vectors = vectors(&format!("rsa_pkcs1_{size}_sig_gen_test.json"));
        for group in groups(&vectors) {
            let sha = group["sha"].as_str().unwrap();
            if !["SHA-256", "SHA-384", "SHA-512"].contains(&sha) {
                continue;
            }
            let keys = keys(&group["privateKeyJwk"]).expect("an RSA key of a usual size");
            let key = &keys.members()[0].key;
            assert_eq!(key.algorithm().name(), sha.replace("SHA-", "RS"));
            for test in tests(group) {
                let message = hex::decode(test["msg"].as_str().unwrap()).unwrap();
                let signature = hex::encode(key.sign(&message).unwrap());
                assert_eq!(signature, test["sig"].as_str().unwrap(), "{size}, {}", test["tcId"]);
                *signatures.entry(sha.to_owned()).or_default() += 1;
            }
        }
    }
    let expected = [("SHA-256", 27), ("SHA-384", 24), ("SHA-512", 26)];
    assert_eq!(signatures, expected.map(|(sha, count)| (sha.to_owned(), count)).into());
}

#[test]
fn jwks_are_accepted_and_refused_as_the_vectors_say_but_for_the_listed_differences() {
    judge_all("json_web_key_test.json", &JWK_DIFFERENCES, 26);
}

#[test]
fn tokens_are_accepted_and_refused_as_the_vectors_say_but_for_the_listed_differences() {
    judge_all("json_web_signature_test.json", &JWS_DIFFERENCES, 401);
}

fn judge_all(file: &str, differences: &[(u64, &str)], expected: usize) {
    let mut judged = 0;
    let mut found = Vec::new();
    let vectors = vectors(file);
    for group in groups(&vectors) {
        let keys = keys(&group["private"]);
        let is_symmetric = group["private"].to_string().contains(r#""kty":"oct""#);
        assert!(!is_symmetric || keys.is_none(), "symmetric, and accepted: {}", group["comment"]);
        for test in tests(group) {
            let id = test["tcId"].as_u64().unwrap();
            let jws = test["jws"].as_str().unwrap_or_default();
            let members = keys.iter().flat_map(KeySet::members);
            let is_accepted = members.map(|member| &*member.key).any(|key| accepts(key, jws));
            if is_accepted != (test["result"] == "valid") && !is_symmetric {
                found.push(id);
            }
            judged += 1;
        }
    }
    let listed: Vec<u64> = differences.iter().map(|(id, _)| *id).collect();
    assert_eq!(found, listed, "{file}");
    assert_eq!(judged, expected);
}

/// A verifier that knows nothing but the published key.
fn accepts(key: &SigningKey, jws: &str) -> bool {
    let (Some((message, signature)), Ok(header)) =
        (jws.rsplit_once('.'), jsonwebtoken::decode_header(jws))
    else {
        return false;
    };
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_str(key.public_jwk()).unwrap();
    let algorithm: jsonwebtoken::Algorithm = key.algorithm().name().parse().unwrap();
    let decoding = jsonwebtoken::DecodingKey::from_jwk(&jwk).unwrap();
    header.alg == algorithm
        && header.kid.as_deref() == Some(key.kid())
        && jws.split('.').count() == 3
        && URL_SAFE_NO_PAD.decode(signature).is_ok()
        && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, algorithm)
            .unwrap_or(false)
}
