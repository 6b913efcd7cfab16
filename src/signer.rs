//! Signs claims, and says by which public keys the signatures can be verified.
//!
//! ```text
//! lifetime    when a key lives: its dated members, and the waits that make a rotation safe
//! jwk         one private JWK -> a key that signs, or why not
//! key_set     one file of keys: who signs and what is published, as functions of the time
//! key_ring    the keys of an instance: its file, and what the file has lost; all states ahead
//! reload      looks at the file again when a request needs to know
//! key_file    the file itself, read and written
//! key_edit    what `signing-key` commands change in a file
//! ```

mod algorithm;
pub mod generate;
mod jwk;
pub mod key_edit;
mod key_file;
mod key_ring;
mod key_set;
mod lifetime;
mod reload;

use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use self::algorithm::Algorithm;
pub use self::jwk::{InvalidJwk, NoSignature, SigningKey};
pub use self::key_file::{KeyFile, KeyFileError};
pub use self::key_ring::{JwkSet, KeyRing, Rotation, State};
pub use self::key_set::{InvalidKeySet, KeySet, Member, Turn, Warning};
pub use self::lifetime::{Lifetime, Revocation, WAITS, Waits};
pub use self::reload::KeySource;
use self::reload::Reload;
use crate::claims::Claims;
use crate::environment::{Clock, UnixSeconds};

/// Signs with the key whose turn it is, by the newest file there is.
pub struct Signer {
    reload: Arc<Reload>,
    clock: Arc<dyn Clock>,
    /// One signature at a time for each core: more would only wait for each other, and the
    /// threads that carry the rest of the service with them.
    cores: Arc<Semaphore>,
}

/// How long a token may wait for its signature to begin. What waits longer is answered late by so
/// much that its caller is better told to come again.
const WAIT_FOR_A_CORE: Duration = Duration::from_secs(2);

/// A signed token in compact serialization (RFC 7515, section 3.1). It opens doors: a secret.
#[derive(Debug)]
pub struct Token(SecretString);

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the signing key failed to sign")]
    Key,
    #[error("the signatures that wait already would take too long")]
    Busy,
    #[error("the thread that signs ended")]
    Ended,
}

/// How the signing keys are, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerHealth {
    /// Looks at the file, since the start, that found none that could be used.
    pub reload_failures: u64,
    /// Equal on instances that publish the same keys.
    pub key_set_hash: String,
    /// Seconds until another key begins to sign, if one waits.
    pub next_start: Option<u64>,
    /// Seconds until a key leaves the key set, if one will.
    pub next_retirement: Option<u64>,
    /// For how many seconds the key that signs has been past its `exp`.
    pub past_expiry: u64,
}

impl Signer {
    /// Reads the signing keys, and reads them again when a request finds the last look older than
    /// `interval` (whole seconds).
    ///
    /// # Errors
    /// When the keys cannot be read or used.
    pub fn start(
        source: Arc<dyn KeySource>,
        interval: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyFileError> {
        let reload = Arc::new(Reload::start(source, interval, Arc::clone(&clock))?);
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(Self { reload, clock, cores: Arc::new(Semaphore::new(cores)) })
    }

    /// Reads the signing keys again, at once. If they cannot be used, the last good ones stay.
    pub async fn reload(&self) {
        self.reload.look_now().await;
    }

    /// The JWK Set to publish (RFC 7517, section 5).
    pub async fn jwk_set(&self) -> JwkSet {
        self.reload.be_fresh().await;
        self.ring().load().at(self.clock.now()).jwk_set().clone()
    }

    /// Signs, off the async runtime: an RSA signature holds a core for a millisecond.
    ///
    /// # Errors
    /// When the key cannot sign, the runtime ends, or too much waits already.
    pub async fn sign(&self, claims: Claims) -> Result<Token, SignError> {
        self.reload.be_fresh().await;
        let core = timeout(WAIT_FOR_A_CORE, Arc::clone(&self.cores).acquire_owned())
            .await
            .map_err(|_| SignError::Busy)?
            .map_err(|_| SignError::Ended)?;
        let (ring, now) = (self.ring().load_full(), self.clock.now());
        tokio::task::spawn_blocking(move || {
            // Given back by the thread: a caller that leaves does not end the signature.
            let _core = core;
            sign(&ring, now, &claims)
        })
        .await
        .map_err(|_| SignError::Ended)?
    }

    /// How the signing keys are at this moment. Reads no file.
    #[must_use]
    pub fn health(&self) -> SignerHealth {
        let (ring, now) = (self.ring().load(), self.clock.now());
        let expires = ring.file().signing_at(now).lifetime.expires;
        let tag = ring.at(now).jwk_set().entity_tag();
        SignerHealth {
            reload_failures: self.reload.failures(),
            key_set_hash: String::from_utf8_lossy(&tag).trim_matches('"').to_owned(),
            next_start: ring.next_start(now).map(|start| start - now),
            next_retirement: ring.next_retirement(now).map(|retires| retires - now),
            past_expiry: expires.map_or(0, |expires| now.saturating_sub(expires)),
        }
    }

    fn ring(&self) -> &ArcSwap<KeyRing> {
        self.reload.ring()
    }
}

fn sign(ring: &KeyRing, now: UnixSeconds, claims: &Claims) -> Result<Token, SignError> {
    let key = ring.at(now).signing_key();
    let mut token = String::with_capacity(1024);
    token.push_str(key.encoded_header());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims.as_json(), &mut token);
    let signature = key.sign(token.as_bytes()).map_err(|NoSignature| SignError::Key)?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
    Ok(Token(SecretString::from(token)))
}

impl Token {
    /// The token itself, for the answer to its caller and nobody else.
    #[must_use]
    pub fn reveal(&self) -> &SecretString {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::System;

    #[tokio::test]
    async fn what_would_wait_too_long_for_its_signature_is_told_so() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signing-key.jwk");
        let source = Arc::new(KeyFile::at(path));
        let signer = Signer::start(source, Duration::from_secs(30), Arc::new(System)).unwrap();
        let every_core = u32::try_from(signer.cores.available_permits()).unwrap();
        let busy = Arc::clone(&signer.cores).acquire_many_owned(every_core).await.unwrap();

        let begun = std::time::Instant::now();
        let outcome = signer.sign(Claims::for_tests()).await;
        assert_eq!(outcome.map(drop), Err(SignError::Busy));
        assert!(begun.elapsed() >= WAIT_FOR_A_CORE);

        drop(busy);
        assert!(signer.sign(Claims::for_tests()).await.is_ok());
    }
}
