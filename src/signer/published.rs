//! Verifies as a stranger does: by what is published, with another library's reading of it.
//!
//! What may not enter: private keys, and anything that only the signer knows.

use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::algorithm::{Algorithm, Curve};

/// Whether a public JWK verifies a signature in the form of the algorithm's `alg` (RFC 7518,
/// section 3; RFC 8037, section 3.1). Not, if it is no key for that algorithm.
#[must_use]
pub fn verifies(public_jwk: &str, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    match (algorithm, algorithm.name().parse::<jsonwebtoken::Algorithm>()) {
        (_, Ok(algorithm)) => library_verifies(public_jwk, algorithm, message, signature),
        // jsonwebtoken knows no ES512.
        (Algorithm::Ec(curve), Err(_)) => point_verifies(public_jwk, curve, message, signature),
        (_, Err(_)) => false,
    }
}

fn library_verifies(
    public_jwk: &str,
    algorithm: jsonwebtoken::Algorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let Ok(jwk) = serde_json::from_str::<jsonwebtoken::jwk::Jwk>(public_jwk) else {
        return false;
    };
    jsonwebtoken::DecodingKey::from_jwk(&jwk).is_ok_and(|key| {
        let signature = URL_SAFE_NO_PAD.encode(signature);
        jsonwebtoken::crypto::verify(&signature, message, &key, algorithm).unwrap_or(false)
    })
}

/// A point on a curve (RFC 7518, section 6.2.1).
#[derive(Deserialize)]
struct Point {
    x: String,
    y: String,
}

fn point_verifies(public_jwk: &str, curve: &Curve, message: &[u8], signature: &[u8]) -> bool {
    let coordinate = |text: &str| {
        URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == curve.field_bytes)
    };
    let Ok(Point { x, y }) = serde_json::from_str(public_jwk) else { return false };
    let (Some(x), Some(y)) = (coordinate(&x), coordinate(&y)) else { return false };
    // Uncompressed (SEC 1, section 2.3.3).
    let point = [&[4], &x[..], &y[..]].concat();
    UnparsedPublicKey::new(curve.verification, point).verify(message, signature).is_ok()
}
