//! Compact tokens as a verifier reads them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Map, Value};

/// A token taken apart; nothing of it is believed yet.
#[derive(Debug)]
pub struct Token<'a> {
    compact: &'a str,
    /// The JOSE header, byte for byte.
    pub header_raw: String,
    pub claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    /// Takes `{"token":"…"}` and a newline, byte for byte.
    pub fn from_body(body: &'a str) -> Result<Self, String> {
        let compact = body
            .strip_prefix(r#"{"token":""#)
            .and_then(|rest| rest.strip_suffix("\"}\n"))
            .ok_or_else(|| format!("the body is no token: {body:?}"))?;
        Self::parse(compact)
    }

    fn parse(compact: &'a str) -> Result<Self, String> {
        let parts: Vec<&str> = compact.split('.').collect();
        let [header, claims, _signature] = parts[..] else {
            return Err(format!("a token has three parts, not {}", parts.len()));
        };
        let header_raw = String::from_utf8(decode(header)?).map_err(|e| e.to_string())?;
        let claims = serde_json::from_slice(&decode(claims)?).map_err(|e| e.to_string())?;
        Ok(Self { compact, header_raw, claims })
    }

    /// Checks the signature by a public JWK, with the algorithm that the header names and no other.
    pub fn verify(&self, jwk: &Value) -> Result<(), String> {
        let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|e| format!("no JWK: {e}"))?;
        let header = jsonwebtoken::decode_header(self.compact).map_err(|e| e.to_string())?;
        if header.kid != jwk.common.key_id {
            return Err(format!("signed by {:?}, not by {:?}", header.kid, jwk.common.key_id));
        }
        let mut validation = Validation::new(header.alg);
        validation.validate_aud = false;
        let key = DecodingKey::from_jwk(&jwk).map_err(|e| e.to_string())?;
        jsonwebtoken::decode::<Value>(self.compact, &key, &validation)
            .map(drop)
            .map_err(|e| format!("the signature or the times do not verify: {e}"))
    }
}

fn decode(part: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(part).map_err(|error| format!("{part:?} is not base64url: {error}"))
}
