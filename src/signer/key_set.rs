//! The signing keys of one file: which of them signs, and which are published.
//!
//! The first key of the file signs, all are published.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use secrecy::SecretString;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::jwk::{InvalidJwk, PrivateJwk, SigningKey};
use super::{SignError, Token};
use crate::claims::Claims;

/// One or more signing keys, each with a `kid` of its own.
pub struct KeySet {
    signing: SigningKey,
    others: Vec<SigningKey>,
    published: Bytes,
}

/// Why a file holds no usable keys. Never repeats what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeySet {
    #[error("it is neither a private JWK nor a JWK Set of them: {0}")]
    Json(JsonFault),
    #[error("the JWK Set has no keys")]
    Empty,
    #[error("key {position} of {of}: {fault}")]
    Key { position: usize, of: usize, fault: InvalidJwk },
    #[error("two keys have the same kid {0:?}")]
    DuplicateKid(String),
}

/// What is wrong with JSON, and where; the parser's own words could repeat a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub struct JsonFault {
    problem: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Data => "a member has the wrong type, or is there twice,",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                "it is not JSON"
            }
        };
        Self { problem, line: error.line(), column: error.column() }
    }
}

impl KeySet {
    /// Reads a private JWK or a private JWK Set (RFC 7517) and tries each key.
    ///
    /// # Errors
    /// When any key in it is not a private signing key that works.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let json_fault = |error| InvalidKeySet::Json(JsonFault::from(error));
        let jwks = match serde_json::from_slice::<Shape>(json).map_err(json_fault)? {
            Shape { kty: None, keys: Some(_) } => {
                serde_json::from_slice::<PrivateJwkSet>(json).map_err(json_fault)?.keys
            }
            _ => vec![serde_json::from_slice::<PrivateJwk>(json).map_err(json_fault)?],
        };
        let mut keys = Vec::<SigningKey>::with_capacity(jwks.len());
        for (index, jwk) in jwks.iter().enumerate() {
            let key = SigningKey::try_from(jwk).and_then(SigningKey::tried).map_err(|fault| {
                InvalidKeySet::Key { position: index + 1, of: jwks.len(), fault }
            })?;
            if keys.iter().any(|other| other.kid() == key.kid()) {
                return Err(InvalidKeySet::DuplicateKid(key.kid().to_owned()));
            }
            keys.push(key);
        }
        let published = publish(&keys);
        let mut keys = keys.into_iter();
        let signing = keys.next().ok_or(InvalidKeySet::Empty)?;
        Ok(Self { signing, others: keys.collect(), published })
    }

    /// The public keys as a JWK Set, computed once.
    #[must_use]
    pub fn published(&self) -> &Bytes {
        &self.published
    }

    /// The `kid` of the key that signs.
    #[must_use]
    pub fn signing_kid(&self) -> &str {
        self.signing.kid()
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        1 + self.others.len()
    }

    pub(super) fn sign(&self, claims: &Claims) -> Result<Token, SignError> {
        let key = &self.signing;
        let payload = claims.as_json();
        let mut token = String::with_capacity(1024);
        token.push_str(key.encoded_header());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let signature = key.sign(token.as_bytes()).map_err(|_| SignError::Key)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
        Ok(Token(SecretString::from(token)))
    }
}

fn publish(keys: &[SigningKey]) -> Bytes {
    let members: Vec<&str> = keys.iter().map(SigningKey::public_jwk).collect();
    Bytes::from(format!("{{\"keys\":[{}]}}\n", members.join(",")))
}

/// Enough of the file to tell a JWK from a JWK Set.
#[derive(Deserialize)]
struct Shape {
    kty: Option<IgnoredAny>,
    keys: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct PrivateJwkSet {
    keys: Vec<PrivateJwk>,
}
