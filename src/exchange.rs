//! The use case: find the key, verify it, state its claims, sign them.
//!
//! Straight down and straight back; no HTTP, no storage engine, no flags. What one token family
//! knows of itself is in its own file below, and a third family is one more such file.

mod autojoin;
mod integration;
mod verify;

use std::future::Future;
use std::sync::Arc;

use secrecy::SecretString;

pub use self::autojoin::Autojoin;
pub use self::integration::Integration;
pub use self::verify::VerifiedKey;
use crate::api_key::MalformedKey;
use crate::claims::{Claim, Claims, NoClaims};
use crate::environment::{Clock, Random};
use crate::key_store::{Answer, KeyStore, Unavailable, UnusableRecord};
use crate::signer::{SignError, Signer, Token};

/// A kind of token: which keys it is given for, and what it says.
pub trait TokenFamily: Send + Sync + Sized + 'static {
    /// Its audience (`aud`), the last segment of its path, and its name in metrics and logs.
    const NAME: &'static str;
    /// How long a token is valid: `exp` - `iat`, in seconds.
    const LIFETIME_SECONDS: u64;

    /// A presented key, parsed.
    type ApiKey: Send + Sync;
    /// What the store holds of a key.
    type Record: Send + Sync;

    /// Reads a presented key.
    ///
    /// # Errors
    /// When it can be refused without asking the store.
    fn parse(presented: SecretString) -> Result<Self::ApiKey, MalformedKey>;

    /// Asks the store for the record of a key.
    fn find(
        store: &dyn KeyStore,
        key: &Self::ApiKey,
    ) -> impl Future<Output = Result<Answer<Self::Record>, Unavailable>> + Send;

    /// Decides whether a record lets its key in. Called by `verify` alone.
    ///
    /// # Errors
    /// With the reason when it does not.
    fn check(key: &Self::ApiKey, record: &Self::Record) -> Result<(), Refusal>;

    /// Adds the claims of this family to the registered ones, in any order.
    ///
    /// # Errors
    /// When the record has nothing that a token could state.
    fn own_claims<'a>(
        key: &'a Self::ApiKey,
        record: &'a Self::Record,
        claims: &mut Vec<Claim<'a>>,
    ) -> Result<(), NoClaims>;
}

/// Trades API keys for tokens.
#[derive(Clone)]
pub struct Exchange {
    store: Arc<dyn KeyStore>,
    signer: Arc<Signer>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Why there is no token. Who caused it decides what the caller is told.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The key is not right, and it is known that it is not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be found out whether the key is right.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The key is right, and there is no token for it all the same.
    #[error(transparent)]
    Failed(#[from] ExchangeFailure),
}

/// Why a key is refused. The caller learns none of this; the operator does.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("malformed: {0}")]
    Malformed(#[from] MalformedKey),
    #[error("there is no such key")]
    Unknown,
    #[error("the record of the key cannot be used: {0}")]
    Unusable(UnusableRecord),
    #[error("the secret is wrong")]
    WrongSecret,
    #[error("the key is not active")]
    NotActive,
}

/// What went wrong after the key was found right.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeFailure {
    #[error(transparent)]
    NoClaims(#[from] NoClaims),
    #[error("no randomness for the token's id: {0}")]
    Random(#[from] std::io::Error),
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl Exchange {
    #[must_use]
    pub fn new(
        store: Arc<dyn KeyStore>,
        signer: Arc<Signer>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        Self { store, signer, clock, random }
    }

    /// Trades one API key for one token.
    ///
    /// # Errors
    /// See [`ExchangeError`]: the key is refused, nothing could be found out, or there is no token.
    pub async fn exchange<F: TokenFamily>(
        &self,
        presented: SecretString,
    ) -> Result<Token, ExchangeError> {
        let key = F::parse(presented).map_err(Refusal::from)?;
        let record = match F::find(&*self.store, &key).await? {
            Answer::Found(record) => record,
            Answer::Absent => return Err(Refusal::Unknown.into()),
            Answer::Unusable(reason) => return Err(Refusal::Unusable(reason).into()),
        };
        let verified = verify::verify::<F>(key, record)?;
        Ok(self.token_for(&verified).await?)
    }

    async fn token_for<F: TokenFamily>(
        &self,
        key: &VerifiedKey<F>,
    ) -> Result<Token, ExchangeFailure> {
        let mut jti = [0; 16];
        self.random.fill(&mut jti)?;
        let jti = uuid::Builder::from_random_bytes(jti).into_uuid();
        let claims = Claims::of(key, self.clock.now(), jti)?;
        Ok(self.signer.sign(claims).await?)
    }
}
