//! A key set as verifiers fetch it (RFC 7517, section 5), or one key. Of a private key only what is
//! public is kept.

use serde_json::{Map, Value};

use crate::signer::Algorithm;

/// The members that hold what is public of a key (RFC 7518, section 6; RFC 8037, section 2).
const PUBLIC: [&str; 8] = ["kty", "kid", "alg", "crv", "n", "e", "x", "y"];
/// The types that verifiers know.
const TYPES: [&str; 3] = ["RSA", "EC", "OKP"];
/// Names of keys that a sentence repeats; who has more has another trouble.
const MAX_NAMES: usize = 8;

/// It is neither a key set nor a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is neither a JWK Set nor a JWK")]
pub struct NotAKeySet;

/// The public keys of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKeySet {
    keys: Vec<PublishedKey>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedKey {
    kid: String,
    kty: String,
    alg: Option<String>,
    crv: Option<String>,
    /// Its public members.
    pub(super) json: String,
}

impl PublicKeySet {
    /// # Errors
    /// When there is no such thing in the text.
    pub fn parse(json: &[u8]) -> Result<Self, NotAKeySet> {
        let document: Map<String, Value> = serde_json::from_slice(json).map_err(|_| NotAKeySet)?;
        let keys = match document.get("keys") {
            Some(Value::Array(keys)) => keys.iter().filter_map(Value::as_object).collect(),
            None if document.contains_key("kty") => vec![&document],
            _ => return Err(NotAKeySet),
        };
        Ok(Self { keys: keys.into_iter().map(PublishedKey::of).collect() })
    }

    pub(super) fn named(&self, kid: &str) -> impl Iterator<Item = &PublishedKey> {
        self.keys.iter().filter(move |key| key.kid == kid)
    }

    /// The names of its keys, for a sentence.
    pub(super) fn names(&self) -> String {
        let names: Vec<_> = self.keys.iter().take(MAX_NAMES).map(|key| key.kid.as_str()).collect();
        match self.keys.len().checked_sub(MAX_NAMES) {
            _ if names.is_empty() => "no key".to_owned(),
            Some(more @ 1..) => format!("{} and {more} more", names.join(", ")),
            _ => names.join(", "),
        }
    }

    pub(super) fn has_an_unknown_type(&self) -> bool {
        self.keys.iter().any(|key| !TYPES.contains(&key.kty.as_str()))
    }
}

impl PublishedKey {
    fn of(members: &Map<String, Value>) -> Self {
        let text = |name| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let public = PUBLIC.iter().filter_map(|name| Some((*name, members.get(*name)?.clone())));
        Self {
            kid: text("kid").unwrap_or_default(),
            kty: text("kty").unwrap_or_default(),
            alg: text("alg"),
            crv: text("crv"),
            json: public.collect::<Value>().to_string(),
        }
    }

    /// Why it is no key for this algorithm, if it is not.
    pub(super) fn misfit(&self, algorithm: Algorithm) -> Option<String> {
        let alg = algorithm.name();
        if self.kty != algorithm.key_type() {
            Some(format!("alg is {alg}, and the key of this kid is of another type (kty)"))
        } else if self.alg.as_deref().is_some_and(|own| own != alg) {
            Some(format!("alg is {alg}, and the key of this kid is for another alg"))
        } else if algorithm.curve().is_some_and(|curve| self.crv.as_deref() != Some(curve)) {
            Some(format!("alg is {alg}, and the key of this kid is on another curve (crv)"))
        } else {
            None
        }
    }
}
