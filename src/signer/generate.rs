//! Makes a signing key, as the private JWK that a key file holds.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use pkcs8::PrivateKeyInfo;
use pkcs8::der::Decode as _;
use secrecy::SecretString;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::go_json;

/// Why no key was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing key could not be generated: {0}")]
pub struct NotGenerated(&'static str);

/// Makes an RSA key of 2048 bits for RS256, which every verifier takes. Its `kid` is its RFC 7638
/// thumbprint.
///
/// # Errors
/// When the cryptographic library fails.
pub fn rs256() -> Result<SecretString, NotGenerated> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| NotGenerated("no key pair"))?;
    let pkcs8 = pair.as_der().map_err(|_| NotGenerated("no PKCS#8"))?;
    let info =
        PrivateKeyInfo::from_der(pkcs8.as_ref()).map_err(|_| NotGenerated("unreadable PKCS#8"))?;
    let rsa = pkcs1::RsaPrivateKey::from_der(info.private_key)
        .map_err(|_| NotGenerated("unreadable PKCS#1"))?;
    let member =
        |number: pkcs1::UintRef<'_>| Zeroizing::new(URL_SAFE_NO_PAD.encode(number.as_bytes()));
    let (n, e) = (member(rsa.modulus), member(rsa.public_exponent));
    let jwk = RsaJwk {
        r#use: "sig",
        kty: "RSA",
        kid: &thumbprint(&n, &e)?,
        alg: "RS256",
        n: &n,
        e: &e,
        d: &member(rsa.private_exponent),
        p: &member(rsa.prime1),
        q: &member(rsa.prime2),
        dp: &member(rsa.exponent1),
        dq: &member(rsa.exponent2),
        qi: &member(rsa.coefficient),
    };
    let json = Zeroizing::new(go_json::to_vec(&jwk).map_err(|_| NotGenerated("no JSON"))?);
    Ok(SecretString::from(String::from_utf8_lossy(&json).into_owned()))
}

fn thumbprint(n: &str, e: &str) -> Result<String, NotGenerated> {
    serde_json::from_value::<Jwk>(serde_json::json!({ "kty": "RSA", "n": n, "e": e }))
        .ok()
        .and_then(|jwk| jwk.thumbprint(ThumbprintHash::SHA256).ok())
        .ok_or(NotGenerated("no thumbprint"))
}

#[derive(Serialize)]
struct RsaJwk<'a> {
    r#use: &'static str,
    kty: &'static str,
    kid: &'a str,
    alg: &'static str,
    n: &'a str,
    e: &'a str,
    d: &'a str,
    p: &'a str,
    q: &'a str,
    dp: &'a str,
    dq: &'a str,
    qi: &'a str,
}
