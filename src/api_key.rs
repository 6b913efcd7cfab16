//! The grammar of API keys: parse, generate, hash, compare.
//!
//! A key that does not parse is refused without asking a store. What this room hands out is
//! proof of form only; that a key is *right* is decided by [`crate::exchange`]. Nothing here
//! knows where keys are stored or what a token says.

mod import_line;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use self::import_line::{ImportLine, InvalidImportLine};
use crate::environment::Random;

/// The longest integration API key, in bytes (contract, section API keys).
const MAX_INTEGRATION_KEY_BYTES: usize = 300;
/// The longest integration id, and the longest key id with its `ki_`, in bytes.
const MAX_ID_BYTES: usize = 64;
/// The longest secret of an integration API key, in bytes.
const MAX_SECRET_BYTES: usize = 128;
/// The longest value of an indexed string in Datastore, in bytes: no longer key can be found.
pub(crate) const MAX_ORGANIZATION_KEY_BYTES: usize = 1500;
/// The longest name of an organization: the longest name in a Datastore key, in bytes.
const MAX_ORGANIZATION_NAME_BYTES: usize = 1500;

const PREFIX: &str = "mlabk";
const INTEGRATION_PREFIX: &str = "cii_";
const KEY_ID_PREFIX: &str = "ki_";

/// Why a presented key can be refused without asking the store.
///
/// The text is for the operator and never repeats the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedKey {
    #[error("the key is empty")]
    Empty,
    #[error("the key is longer than any key can be")]
    TooLong,
    #[error("the key does not have the form mlabk.cii_<integration id>.ki_<key id>.<secret>")]
    Form,
    #[error("the integration id: {0}")]
    IntegrationId(InvalidId),
    #[error("the key id: {0}")]
    KeyId(InvalidId),
    #[error("the secret is empty or longer than {MAX_SECRET_BYTES} bytes")]
    Secret,
}

/// Why an id can never belong to a valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_ID_BYTES} bytes")]
    TooLong,
    #[error("it contains a dot, which separates the parts of an API key")]
    Dot,
    #[error("it has to begin with {KEY_ID_PREFIX} and go on after it")]
    Prefix,
    #[error("names that begin and end with two underscores are reserved by Datastore")]
    Reserved,
}

/// The id of an integration: 1 to 64 bytes, no dot, not a name that Datastore reserves.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IntegrationId(Arc<str>);

impl IntegrationId {
    /// Takes an id as it stands: nothing is trimmed, normalized or case-folded.
    ///
    /// # Errors
    /// When no API key can hold this id, or no store can.
    pub fn parse(id: &str) -> Result<Self, InvalidId> {
        check_id(id)?;
        if is_reserved(id) {
            return Err(InvalidId::Reserved);
        }
        Ok(Self(id.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of one key of an integration, with its `ki_`: 4 to 64 bytes, no dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes an id as it stands, prefix included.
    ///
    /// # Errors
    /// When no API key can hold this id.
    pub fn parse(id: &str) -> Result<Self, InvalidId> {
        check_id(id)?;
        match id.strip_prefix(KEY_ID_PREFIX) {
            None | Some("") => Err(InvalidId::Prefix),
            Some(_) => Ok(Self(id.into())),
        }
    }

    /// A fresh id as the Go tool makes it: `ki_` and 16 hex digits.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn generate(random: &dyn Random) -> std::io::Result<Self> {
        let mut bytes = [0; 8];
        random.fill(&mut bytes)?;
        Ok(Self(format!("{KEY_ID_PREFIX}{}", hex::encode(bytes)).into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_id(id: &str) -> Result<(), InvalidId> {
    if id.is_empty() {
        Err(InvalidId::Empty)
    } else if id.len() > MAX_ID_BYTES {
        Err(InvalidId::TooLong)
    } else if id.contains('.') {
        Err(InvalidId::Dot)
    } else {
        Ok(())
    }
}

/// Names of the form `__…__` cannot be stored in Datastore, so nothing can be found under them.
fn is_reserved(name: &str) -> bool {
    name.len() >= 4 && name.starts_with("__") && name.ends_with("__")
}

/// An API key of a client integration: `mlabk.cii_<integration id>.<key id>.<secret>`.
pub struct IntegrationApiKey {
    integration_id: IntegrationId,
    key_id: KeyId,
    secret: SecretString,
}

impl IntegrationApiKey {
    /// Parses a presented key. Lengths are bytes; any character but a dot may stand in the parts.
    ///
    /// # Errors
    /// When the key breaks the grammar (contract, section API keys).
    pub fn parse(presented: &SecretString) -> Result<Self, MalformedKey> {
        let presented = presented.expose_secret();
        if presented.is_empty() {
            return Err(MalformedKey::Empty);
        }
        if presented.len() > MAX_INTEGRATION_KEY_BYTES {
            return Err(MalformedKey::TooLong);
        }
        let mut parts = presented.split('.');
        let (Some(PREFIX), Some(integration), Some(key_id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedKey::Form);
        };
        let integration_id =
            integration.strip_prefix(INTEGRATION_PREFIX).ok_or(MalformedKey::Form)?;
        let integration_id =
            IntegrationId::parse(integration_id).map_err(MalformedKey::IntegrationId)?;
        let key_id = KeyId::parse(key_id).map_err(MalformedKey::KeyId)?;
        if secret.is_empty() || secret.len() > MAX_SECRET_BYTES {
            return Err(MalformedKey::Secret);
        }
        Ok(Self { integration_id, key_id, secret: SecretString::from(secret) })
    }

    /// A fresh key for an integration: the secret is 32 random bytes in unpadded base64url.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn generate(
        integration_id: IntegrationId,
        key_id: KeyId,
        random: &dyn Random,
    ) -> std::io::Result<Self> {
        Ok(Self { integration_id, key_id, secret: random_secret(random)? })
    }

    #[must_use]
    pub fn integration_id(&self) -> &IntegrationId {
        &self.integration_id
    }

    #[must_use]
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The hash that a store keeps in place of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }

    /// What an operator needs of the key: ids and hash, without the secret.
    #[must_use]
    pub fn import_line(&self) -> ImportLine {
        ImportLine::new(self.integration_id.clone(), self.key_id.clone(), self.secret_hash())
    }

    /// The whole key in its written form, to be shown to its owner once.
    #[must_use]
    pub fn reveal(&self) -> SecretString {
        SecretString::from(format!(
            "{PREFIX}.{INTEGRATION_PREFIX}{}.{}.{}",
            self.integration_id.0,
            self.key_id.0,
            self.secret.expose_secret()
        ))
    }
}

impl fmt::Debug for IntegrationApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntegrationApiKey")
            .field("integration_id", &self.integration_id)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// An API key of an organization: opaque, looked up by equality.
#[derive(Debug, Clone)]
pub struct OrganizationApiKey {
    key: SecretString,
    hash: SecretHash,
}

impl OrganizationApiKey {
    /// Takes a presented key.
    ///
    /// # Errors
    /// When it is empty or longer than 1,500 bytes: no store can hold such a key.
    pub fn parse(presented: SecretString) -> Result<Self, MalformedKey> {
        match presented.expose_secret().len() {
            0 => Err(MalformedKey::Empty),
            1..=MAX_ORGANIZATION_KEY_BYTES => Ok(Self::of(presented)),
            _ => Err(MalformedKey::TooLong),
        }
    }

    /// A fresh key: 32 random bytes in unpadded base64url.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn generate(random: &dyn Random) -> std::io::Result<Self> {
        random_secret(random).map(Self::of)
    }

    fn of(key: SecretString) -> Self {
        Self { hash: SecretHash::of(&key), key }
    }

    /// The key itself. It is its own name in Datastore, so a store has to see it.
    #[must_use]
    pub fn reveal(&self) -> &SecretString {
        &self.key
    }

    /// SHA-256 of the key: its name wherever the key itself must not stand.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        self.hash
    }
}

fn random_secret(random: &dyn Random) -> std::io::Result<SecretString> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(bytes.as_mut())?;
    Ok(SecretString::from(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
}

/// The name of an organization: 1 to 1,500 bytes, not a name that Datastore reserves.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrganizationName(String);

/// Why a name can never belong to an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MAX_ORGANIZATION_NAME_BYTES} bytes")]
    TooLong,
    #[error("names that begin and end with two underscores are reserved by Datastore")]
    Reserved,
}

impl OrganizationName {
    /// Takes a name as it stands.
    ///
    /// # Errors
    /// When no store can hold an organization of this name.
    pub fn parse(name: &str) -> Result<Self, InvalidName> {
        if name.is_empty() {
            Err(InvalidName::Empty)
        } else if name.len() > MAX_ORGANIZATION_NAME_BYTES {
            Err(InvalidName::TooLong)
        } else if is_reserved(name) {
            Err(InvalidName::Reserved)
        } else {
            Ok(Self(name.to_owned()))
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of a secret; its written form is 64 lower-case hex digits.
///
/// Equality takes the same time wherever two hashes differ.
#[derive(Clone, Copy, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    pub(crate) fn of(secret: &SecretString) -> Self {
        Self(Sha256::digest(secret.expose_secret().as_bytes()).into())
    }

    /// The hash in its binary form.
    pub(crate) fn from_bytes(hash: [u8; 32]) -> Self {
        Self(hash)
    }

    /// Reads the stored form. Capitals and blank space are not it: the Go service compares bytes.
    #[must_use]
    pub fn from_hex(hex: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(hex, &mut hash).ok()?;
        (!hex.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(Self(hash))
    }

    #[must_use]
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The first 16 hex digits: enough to tell keys apart, in a table too.
    #[must_use]
    pub fn fingerprint(self) -> String {
        hex::encode(&self.0[..8])
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for SecretHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(..)")
    }
}

macro_rules! shown_as_text {
    ($($name:ident),+) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )+};
}
shown_as_text!(IntegrationId, KeyId, OrganizationName);
