//! The key file: whatever it holds, it is refused, or every key of it signs, a stranger verifies
//! the signature by what is published, and what is published is public.

#![no_main]

use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use token_exchange::signer::{KeyRing, KeySet, SigningKey};

const MESSAGE: &[u8] = b"whatever a token says";
/// The members of a private JWK that nobody may see (RFC 7518, sections 6.2.2 and 6.3.2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fuzz_target!(|file: &[u8]| {
    let Ok(keys) = KeySet::parse(file) else { return };
    for member in keys.members() {
        let signature = member.key.sign(MESSAGE).expect("a key that was accepted signs");
        assert!(verifies(&member.key, &signature), "{:?}", member.key);
    }
    let revoked: Vec<String> = keys
        .members()
        .iter()
        .filter(|member| member.lifetime.is_revoked())
        .map(|member| member.key.kid().to_owned())
        .collect();
    let turns = keys.turns().iter().map(|turn| turn.from);
    let retirements = keys.members().iter().filter_map(|member| member.retires());
    let moments: Vec<u64> = turns.chain(retirements).collect();
    let ring = KeyRing::of(keys);
    for moment in moments {
        for now in [moment.saturating_sub(1), moment, moment.saturating_add(1)] {
            let state = ring.at(now);
            let kids: Vec<&str> = state.published_kids().collect();
            assert_eq!(kids.first(), Some(&state.signing_kid()), "what signs is published first");
            assert!(kids.iter().all(|kid| !revoked.iter().any(|revoked| revoked == kid)));
            let set: Value = serde_json::from_slice(&state.jwk_set().json()).unwrap();
            let published = set["keys"].as_array().unwrap();
            assert_eq!(published.iter().map(|jwk| &jwk["kid"]).collect::<Vec<_>>(), kids);
            for jwk in published {
                assert!(PRIVATE.iter().all(|member| jwk.get(member).is_none()), "{:?}", kids);
            }
        }
    }
});

/// By the published JSON alone, and not by the way in which the service itself tries its keys.
fn verifies(key: &SigningKey, signature: &[u8]) -> bool {
    let jwk: Value = serde_json::from_str(key.public_jwk()).unwrap();
    let octets = |member: &str| URL_SAFE_NO_PAD.decode(jwk[member].as_str().unwrap()).unwrap();
    let rsa = |parameters: &RsaParameters| {
        let public = RsaPublicKeyComponents { n: octets("n"), e: octets("e") };
        public.verify(parameters, MESSAGE, signature).is_ok()
    };
    let other = |algorithm: &'static dyn VerificationAlgorithm, public: Vec<u8>| {
        UnparsedPublicKey::new(algorithm, public).verify(MESSAGE, signature).is_ok()
    };
    let point = || [vec![4], octets("x"), octets("y")].concat();
    match jwk["alg"].as_str().unwrap() {
        "RS256" => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
        "RS384" => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
        "RS512" => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
        "PS256" => rsa(&signature::RSA_PSS_2048_8192_SHA256),
        "PS384" => rsa(&signature::RSA_PSS_2048_8192_SHA384),
        "PS512" => rsa(&signature::RSA_PSS_2048_8192_SHA512),
        "ES256" => other(&ECDSA_P256_SHA256_FIXED, point()),
        "ES384" => other(&ECDSA_P384_SHA384_FIXED, point()),
        "ES512" => other(&ECDSA_P521_SHA512_FIXED, point()),
        "EdDSA" => other(&ED25519, octets("x")),
        unknown => panic!("published with {unknown}"),
    }
}
