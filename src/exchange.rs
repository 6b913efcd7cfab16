//! The use case: find the key, verify it, state its claims, sign them.
//!
//! Straight down and straight back; no HTTP, no storage engine, no flags. What one token family
//! knows of itself is in its own file below, and a third family is one more such file.

mod autojoin;
mod door;
mod integration;
mod verify;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

pub use self::autojoin::Autojoin;
use self::door::Door;
pub use self::door::{Busy, DoorFigures, Overload};
pub use self::integration::Integration;
pub use self::verify::VerifiedKey;
use crate::api_key::MalformedKey;
use crate::claims::{Claim, Claims, ClockSkewAllowance, NoClaims};
use crate::environment::{Clock, Random, UnixSeconds};
use crate::key_store::{
    Answer, KeyStore, READ_DEADLINE, Reading, Recency, Source, Unavailable, UnavailableKind,
    UnusableRecord, Validity, Verdict,
};
use crate::signer::{SignError, Signer, Token};

/// How long before the date of a token the question was asked that it rests on: the deadline of a
/// question, and a second for the way back. A reading from memory may be older by its age then.
pub const MAX_ANSWER_AGE: Duration = READ_DEADLINE.saturating_add(Duration::from_secs(1));

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

    /// The key as operators name it, without its secret.
    fn name_of(key: &Self::ApiKey) -> String;

    /// Asks the store for the record of a key.
    fn find(
        store: &dyn KeyStore,
        key: &Self::ApiKey,
        recency: Recency,
    ) -> impl Future<Output = Result<Reading<Self::Record>, Unavailable>> + Send;

    /// Decides whether a record lets its key in at a moment. Called by `verify` alone.
    ///
    /// # Errors
    /// With the reason when it does not.
    fn check(key: &Self::ApiKey, record: &Self::Record, now: Timestamp) -> Result<(), Refusal>;

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
    door: Arc<Door>,
    skew_allowance: ClockSkewAllowance,
}

/// Why a key got no token: one reader is told by [`NoToken`], the other also by which key it was.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct ExchangeError {
    /// The key as operators name it, or `None` if what was presented names none.
    pub key: Option<String>,
    pub why: NoToken,
}

/// Why there is no token. Who caused it decides what the caller is told.
#[derive(Debug, thiserror::Error)]
pub enum NoToken {
    /// The key is not right, and it is known that it is not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be found out whether the key is right.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// More is asked for than can be done in time; the key may be right.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The key is right, and there is no token for it all the same.
    #[error(transparent)]
    Failed(ExchangeFailure),
}

impl From<Busy> for ExchangeError {
    fn from(busy: Busy) -> Self {
        Self { key: None, why: busy.into() }
    }
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
    #[error("the key is not yet valid")]
    NotYetValid,
    #[error("the key has expired")]
    Expired,
    #[error("the key was revoked")]
    Revoked,
}

impl Refusal {
    /// The reason in a word, for counting: one of a few.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Unknown => "unknown",
            Self::Unusable(_) => "unusable",
            Self::WrongSecret => "wrong_secret",
            Self::NotActive => "not_active",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// Refuses a key by its facts.
fn check_validity(validity: Validity, now: Timestamp) -> Result<(), Refusal> {
    match validity.judge(now) {
        Verdict::Valid => Ok(()),
        Verdict::NotYetValid => Err(Refusal::NotYetValid),
        Verdict::Expired => Err(Refusal::Expired),
        Verdict::Revoked => Err(Refusal::Revoked),
    }
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
        Self {
            store,
            signer,
            clock,
            random,
            skew_allowance: ClockSkewAllowance::default(),
            door: Arc::default(),
        }
    }

    /// The same, for verifiers whose clocks may be behind by so much.
    #[must_use]
    pub fn allowing(self, skew_allowance: ClockSkewAllowance) -> Self {
        Self { skew_allowance, ..self }
    }

    /// The same, with room for so many exchanges at once.
    #[must_use]
    pub fn at_most(self, in_flight: usize) -> Self {
        Self { door: Arc::new(Door::for_at_most(in_flight)), ..self }
    }

    /// Whether one more exchange can be done in time, asked before anything is read of it.
    ///
    /// # Errors
    /// When it cannot; it is counted as refused.
    pub fn has_room(&self) -> Result<(), ExchangeError> {
        if self.signer.turns_away() {
            return Err(self.door.refuse(Overload::StandingQueue).into());
        }
        Ok(self.door.has_room()?)
    }

    /// How many exchanges are under way, and how many were refused for want of time or room.
    #[must_use]
    pub fn figures(&self) -> DoorFigures {
        self.door.figures()
    }

    /// Trades one API key for one token.
    ///
    /// # Errors
    /// See [`NoToken`]: the key is refused, nothing could be found out, or there is no token.
    pub async fn exchange<F: TokenFamily>(
        &self,
        presented: SecretString,
    ) -> Result<Token, ExchangeError> {
        let _place = self.door.enter()?;
        let key = F::parse(presented).map_err(|malformed| ExchangeError {
            key: None,
            why: Refusal::from(malformed).into(),
        })?;
        let outcome = self.token_of::<F>(&key).await;
        outcome.map_err(|why| ExchangeError { key: Some(F::name_of(&key)), why })
    }

    async fn token_of<F: TokenFamily>(&self, key: &F::ApiKey) -> Result<Token, NoToken> {
        let (verified, now) = self.verified::<F>(key).await?;
        let claims = self.claims_of(&verified, now).map_err(NoToken::Failed)?;
        match self.signer.sign(claims).await {
            Err(SignError::Busy) => Err(self.door.refuse(Overload::QueueWait).into()),
            outcome => outcome.map_err(|error| NoToken::Failed(error.into())),
        }
    }

    /// Asks, and asks once more where nothing can rest on the first answer.
    async fn verified<'k, F: TokenFamily>(
        &self,
        key: &'k F::ApiKey,
    ) -> Result<(VerifiedKey<'k, F>, UnixSeconds), NoToken> {
        let mut recency = Recency::Remembered;
        for _ in 0..2 {
            match self.ask::<F>(key, recency).await? {
                Judgement::Verified(verified, now) => return Ok((verified, now)),
                Judgement::AskAgain(how) => recency = how,
            }
        }
        Err(outdated().into())
    }

    async fn ask<'k, F: TokenFamily>(
        &self,
        key: &'k F::ApiKey,
        recency: Recency,
    ) -> Result<Judgement<'k, F>, NoToken> {
        let asked_at = self.clock.moment();
        let Reading { answer, source } = F::find(&*self.store, key, recency).await?;
        // Once: what is judged by this time is dated by it, however long the signature takes.
        let now = self.clock.moment();
        if now.since(asked_at) > MAX_ANSWER_AGE {
            return Ok(Judgement::AskAgain(recency));
        }
        let now = now.since_epoch.as_secs();
        match (judge::<F>(key, answer, timestamp(now)), source) {
            (Ok(verified), _) => Ok(Judgement::Verified(verified, now)),
            (Err(_), Source::Stale(kind)) => Err(too_old_to_refuse_by(kind).into()),
            // The key may have been replaced in place since.
            (Err(Refusal::WrongSecret), source)
                if recency == Recency::Remembered && source != Source::Store =>
            {
                Ok(Judgement::AskAgain(Recency::Current))
            }
            (Err(refusal), _) => Err(refusal.into()),
        }
    }

    fn claims_of<F: TokenFamily>(
        &self,
        key: &VerifiedKey<'_, F>,
        now: UnixSeconds,
    ) -> Result<Claims, ExchangeFailure> {
        let mut jti = [0; 16];
        self.random.fill(&mut jti)?;
        let jti = uuid::Builder::from_random_bytes(jti).into_uuid();
        Ok(Claims::of(key, now, self.skew_allowance, jti)?)
    }
}

/// What a question has come to.
enum Judgement<'k, F: TokenFamily> {
    Verified(VerifiedKey<'k, F>, UnixSeconds),
    /// Nothing can rest on the answer.
    AskAgain(Recency),
}

fn judge<F: TokenFamily>(
    key: &F::ApiKey,
    answer: Answer<F::Record>,
    now: Timestamp,
) -> Result<VerifiedKey<'_, F>, Refusal> {
    match answer {
        Answer::Found(record) => verify::verify::<F>(key, record, now),
        Answer::Absent => Err(Refusal::Unknown),
        Answer::Gone(validity) => {
            check_validity(validity, now)?;
            Err(Refusal::Unknown)
        }
        Answer::Unusable(reason) => Err(Refusal::Unusable(reason)),
    }
}

/// What may have changed since must not be told to a caller as "invalid".
fn too_old_to_refuse_by(kind: UnavailableKind) -> Unavailable {
    Unavailable {
        kind,
        detail: "what is remembered of the key is too old to refuse it by".to_owned(),
    }
}

/// The machine was stopped on the way, or its clock was set: what was true then may not be now.
fn outdated() -> Unavailable {
    Unavailable {
        kind: UnavailableKind::TooSlow,
        detail: "the answer is too old to rest on".to_owned(),
    }
}

fn timestamp(seconds: UnixSeconds) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
