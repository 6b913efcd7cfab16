//! Signs claims, and says by which public keys the signatures can be verified.
//!
//! ```text
//! lifetime    when a key lives: its dated members, and the waits that make a rotation safe
//! jwk         one private JWK -> a key that signs, or why not
//! published   verifies by what is published, as a stranger does
//! key_set     one file of keys: who signs and what is published, as functions of the time
//! key_ring    the keys of an instance: its file, and what the file has lost; all states ahead
//! reload      looks at the file again when a request needs to know
//! key_file    the file itself, read and written
//! pool        threads that sign, and their queue; what is cheap is signed without
//! lull        lets the runtime rest while more is asked for than can be signed
//! congestion  whether those who wait form a standing queue
//! readiness   whether an instance that fails to sign does so again
//! figures     how the threads do
//! key_edit    what `signing-key` commands change in a file
//! ```

mod algorithm;
mod congestion;
mod figures;
pub mod generate;
mod jwk;
pub mod key_edit;
mod key_file;
mod key_ring;
mod key_set;
mod lifetime;
mod lull;
mod pool;
mod published;
mod readiness;
mod reload;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

pub use self::algorithm::Algorithm;
pub use self::figures::{SignatureTimes, SigningFigures};
pub use self::jwk::{InvalidJwk, NoSignature, SigningKey};
pub use self::key_file::{KeyFile, KeyFileError};
pub use self::key_ring::{JwkSet, KeyRing, Rotation, State};
pub use self::key_set::{InvalidKeySet, KeySet, Member, Turn, Warning};
pub use self::lifetime::{Lifetime, Revocation, WAITS, Waits};
pub use self::lull::Lull;
use self::pool::Pool;
pub use self::pool::SigningLimits;
pub use self::published::verifies;
use self::readiness::Readiness;
pub use self::reload::KeySource;
use self::reload::Reload;
use crate::claims::Claims;
use crate::environment::Clock;

/// Signs with the key whose turn it is, by the newest file there is.
pub struct Signer {
    reload: Arc<Reload>,
    clock: Arc<dyn Clock>,
    pool: Pool,
    readiness: Readiness,
}

/// A signed token in compact serialization (RFC 7515, section 3.1). It opens doors: a secret.
#[derive(Debug)]
pub struct Token(SecretString);

/// How a token was signed.
#[derive(Debug, Clone)]
pub struct Signature {
    /// The key that signed (`kid`).
    pub kid: Arc<str>,
    /// Its `alg`.
    pub algorithm: &'static str,
    /// Since when it waited for a thread.
    pub queued: Instant,
    pub begun: Instant,
    pub ended: Instant,
}

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the signing key failed to sign")]
    Key,
    /// It waited for its turn until it was too late, or found no room to wait.
    #[error("the signature did not begin in time")]
    Busy,
    #[error("the thread that signs ended")]
    Ended,
}

/// Why there is no signer.
#[derive(Debug, thiserror::Error)]
pub enum SignerStartError {
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error("no threads that sign can be started: {0}")]
    Threads(#[from] io::Error),
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
    /// Seconds until the key that signs comes to its `exp`, if it has one.
    pub until_expiry: Option<u64>,
    /// For how many seconds the key that signs has been past its `exp`.
    pub past_expiry: u64,
}

impl Signer {
    /// Reads the signing keys, and reads them again when a request finds the last look older than
    /// `interval` (whole seconds). Signs within the usual limits.
    ///
    /// # Errors
    /// When the keys cannot be read or used, or the system gives no threads.
    pub fn start(
        source: Arc<dyn KeySource>,
        interval: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SignerStartError> {
        Self::start_within(SigningLimits::default(), source, interval, clock)
    }

    /// The same, within limits of the caller's.
    ///
    /// # Errors
    /// The same.
    pub fn start_within(
        limits: SigningLimits,
        source: Arc<dyn KeySource>,
        interval: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SignerStartError> {
        let reload = Arc::new(Reload::start(source, interval, Arc::clone(&clock))?);
        let (keys, time) = (Arc::clone(&reload), Arc::clone(&clock));
        let pool = Pool::start(
            limits,
            Box::new(move || Arc::clone(keys.ring().load().at(time.now()).signing_key())),
        )?;
        Ok(Self { reload, clock, pool, readiness: Readiness::default() })
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

    /// Signs with the key whose turn it is when the signature begins: here, where that is cheap,
    /// and on a thread of its own otherwise.
    ///
    /// # Errors
    /// When the key cannot sign, the thread panics, or too much waits already.
    pub async fn sign(&self, claims: Claims) -> Result<(Token, Signature), SignError> {
        self.reload.be_fresh().await;
        let key = Arc::clone(self.ring().load().at(self.clock.now()).signing_key());
        if key.algorithm().is_cheap() {
            return self.pool.sign_here(|| key, &claims);
        }
        self.pool.sign(claims).await
    }

    /// Whether one who came now would wait for a signature for too long.
    #[must_use]
    pub fn turns_away(&self) -> bool {
        self.pool.turns_away()
    }

    /// Whether signing works. Where it failed the last time nobody may ask for a signature any
    /// more, so one is made and verified here, once a second at most.
    pub async fn is_ready(&self) -> bool {
        if !self.pool.is_failing() {
            return true;
        }
        self.readiness.may_try(Instant::now()) && self.pool.try_out().await.is_ok()
    }

    /// How the threads that sign do.
    #[must_use]
    pub fn figures(&self) -> SigningFigures {
        self.pool.figures()
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
            until_expiry: expires.map(|expires| expires.saturating_sub(now)),
            past_expiry: expires.map_or(0, |expires| now.saturating_sub(expires)),
        }
    }

    fn ring(&self) -> &ArcSwap<KeyRing> {
        self.reload.ring()
    }
}

/// `None` when the key fails to sign.
fn token(key: &SigningKey, claims: &Claims) -> Option<Token> {
    // Just as long as it becomes: a longer one would be copied to be kept.
    let encoded = |bytes| base64::encoded_len(bytes, false).unwrap_or(0);
    let (header, claims) = (key.encoded_header(), claims.as_json());
    let length = header.len() + encoded(claims.len()) + encoded(key.signature_bytes()) + 2;
    let mut token = String::with_capacity(length);
    token.push_str(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = key.sign(token.as_bytes()).ok()?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
    Some(Token(SecretString::from(token)))
}

impl Signature {
    /// How long it waited for a thread.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.begun.saturating_duration_since(self.queued)
    }

    /// How long a thread was busy with it.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.ended.saturating_duration_since(self.begun)
    }
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
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::environment::System;

    #[tokio::test]
    async fn what_is_cheap_to_sign_needs_no_place_in_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        for alg in Algorithm::NAMES.split(", ") {
            let path = folder.path().join(alg);
            let algorithm = Algorithm::from_name(alg).unwrap();
            let jwk = generate::private_jwk(algorithm, generate::RsaSize::default(), None).unwrap();
            std::fs::write(&path, jwk.expose_secret()).unwrap();
            let no_places = SigningLimits { queue: 0, ..SigningLimits::default() };
            let (source, interval) = (Arc::new(KeyFile::at(path)), Duration::from_secs(30));
            let signer =
                Signer::start_within(no_places, source, interval, Arc::new(System)).unwrap();
            let outcome = signer.sign(Claims::for_tests()).await;
            match alg {
                "ES256" | "EdDSA" => assert_eq!(outcome.unwrap().1.algorithm, alg),
                _ => assert_eq!(outcome.map(drop), Err(SignError::Busy), "{alg}"),
            }
        }
    }
}
