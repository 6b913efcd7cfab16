//! Signs claims, and says by which public keys the signatures can be verified.

mod algorithm;
pub mod generate;
mod jwk;
mod key_file;
mod key_set;

use std::sync::Arc;
use std::thread::available_parallelism;

use arc_swap::ArcSwap;
use bytes::Bytes;
use secrecy::SecretString;
use tokio::sync::Semaphore;

pub use self::algorithm::Algorithm;
pub use self::jwk::InvalidJwk;
pub use self::key_file::{KeyFile, KeyFileError};
pub use self::key_set::{InvalidKeySet, KeySet};
use crate::claims::Claims;

/// Signs with the current key set, which can be replaced while requests are under way.
pub struct Signer {
    keys: ArcSwap<KeySet>,
    /// One signature at a time for each core: more would only wait for each other, and the
    /// threads that carry the rest of the service with them.
    cores: Semaphore,
}

/// A signed token in compact serialization (RFC 7515, section 3.1). It opens doors: a secret.
#[derive(Debug)]
pub struct Token(SecretString);

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the signing key failed to sign")]
    Key,
    #[error("the thread that signs ended")]
    Ended,
}

impl Signer {
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { keys: ArcSwap::from_pointee(keys), cores: Semaphore::new(cores) }
    }

    /// From now on signs with another key set. Signatures under way end with the old one.
    pub fn replace(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
    }

    /// The JWK Set to publish (RFC 7517, section 5), with a newline at its end.
    #[must_use]
    pub fn jwk_set(&self) -> Bytes {
        self.keys.load().published().clone()
    }

    /// Signs, off the async runtime: an RSA signature holds a core for a millisecond.
    ///
    /// # Errors
    /// When the key cannot sign, or the runtime ends.
    pub async fn sign(&self, claims: Claims) -> Result<Token, SignError> {
        let _core = self.cores.acquire().await.map_err(|_| SignError::Ended)?;
        let keys = self.keys.load_full();
        tokio::task::spawn_blocking(move || keys.sign(&claims))
            .await
            .map_err(|_| SignError::Ended)?
    }
}

impl Token {
    /// The token itself, for the answer to its caller and nobody else.
    #[must_use]
    pub fn reveal(&self) -> &SecretString {
        &self.0
    }
}
