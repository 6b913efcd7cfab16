//! A token in compact serialization (RFC 7515, section 7.1), taken apart. Nothing of it is believed.
//!
//! Errors name parts and members, and repeat nothing of what stands in them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretSlice};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::strict;
use super::times::Times;
use crate::signer::Algorithm;

/// The longest token that is read, in bytes: it travels in a header, and no server takes longer.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    #[error("there is no token: the input is empty")]
    Empty,
    #[error("it is longer than {MAX_TOKEN_BYTES} bytes, and so no token")]
    TooLong,
    #[error("it is an API key, not a token: exchange it for one")]
    ApiKey,
    #[error("a token has three parts with dots between them, and this has {0}")]
    Parts(usize),
    #[error("it is encrypted (JWE): tokens of this service are signed and not encrypted")]
    Encrypted,
    #[error("its {0} is not unpadded base64url")]
    Base64(&'static str),
    #[error("its {0} is no JSON object")]
    Json(&'static str),
    #[error("its {0} has a member twice, and verifiers differ on which of them counts")]
    Duplicate(&'static str),
}

/// A token, taken apart.
pub struct CompactToken {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// Header and claims as they were signed.
    message: Zeroizing<Vec<u8>>,
    signature: SecretSlice<u8>,
}

impl CompactToken {
    /// Takes a token, or the answer of the service that holds one. Blank space around is ignored.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        // The answer is a token and 14 bytes around it.
        if text.trim().len() > MAX_TOKEN_BYTES + 14 {
            return Err(NotAToken::TooLong);
        }
        let answer = answered(text.trim());
        let compact = answer.as_deref().map_or(text.trim(), String::as_str);
        match compact {
            "" => return Err(NotAToken::Empty),
            key if key.starts_with("mlabk.") => return Err(NotAToken::ApiKey),
            long if long.len() > MAX_TOKEN_BYTES => return Err(NotAToken::TooLong),
            _ => {}
        }
        let parts: Vec<&str> = compact.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(match parts.len() {
                5 => NotAToken::Encrypted,
                parts => NotAToken::Parts(parts),
            });
        };
        let message = &compact[..header.len() + 1 + claims.len()];
        Ok(Self {
            header: object(header, "header")?,
            claims: object(claims, "payload")?,
            message: Zeroizing::new(message.as_bytes().to_vec()),
            signature: decode(signature, "signature")?.to_vec().into(),
        })
    }

    #[must_use]
    pub fn header(&self) -> &Map<String, Value> {
        &self.header
    }

    #[must_use]
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// `iat`, `nbf` and `exp`.
    #[must_use]
    pub fn times(&self) -> Times {
        Times::of(&self.claims)
    }

    /// A claim that is a text.
    #[must_use]
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim).and_then(Value::as_str)
    }

    /// The name of the key that it says to be signed by.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.header.get("kid").and_then(Value::as_str)
    }

    /// The algorithm that it says to be signed with.
    ///
    /// # Errors
    /// When no verifier may take it: says why.
    pub fn algorithm(&self) -> Result<Algorithm, String> {
        let alg = self.header.get("alg").and_then(Value::as_str);
        let alg = alg.ok_or("its header has no alg, or one that is no text")?;
        Algorithm::from_name(alg).ok_or_else(|| {
            if alg.eq_ignore_ascii_case("none") {
                "alg is none: it is not signed, and anybody can have written it".to_owned()
            } else if alg.starts_with("HS") {
                "alg is symmetric: whoever verifies it could have written it".to_owned()
            } else {
                format!("alg is none of {}", Algorithm::NAMES)
            }
        })
    }

    pub(super) fn message(&self) -> &[u8] {
        &self.message
    }

    pub(super) fn signature(&self) -> &[u8] {
        self.signature.expose_secret()
    }
}

impl fmt::Debug for CompactToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactToken").finish_non_exhaustive()
    }
}

/// The token of `{"token":"…"}`.
fn answered(text: &str) -> Option<Zeroizing<String>> {
    if !text.starts_with('{') {
        return None;
    }
    let mut answer: Map<String, Value> = serde_json::from_str(text).ok()?;
    match answer.remove("token")? {
        Value::String(token) => Some(Zeroizing::new(token)),
        _ => None,
    }
}

fn object(part: &str, name: &'static str) -> Result<Map<String, Value>, NotAToken> {
    strict::object(&decode(part, name)?).map_err(|why| match why {
        strict::NotStrict::Duplicate => NotAToken::Duplicate(name),
        strict::NotStrict::NoObject => NotAToken::Json(name),
    })
}

fn decode(part: &str, name: &'static str) -> Result<Zeroizing<Vec<u8>>, NotAToken> {
    URL_SAFE_NO_PAD.decode(part).map(Zeroizing::new).map_err(|_| NotAToken::Base64(name))
}
