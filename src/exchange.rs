//! The use case: find the key, verify it, state its claims, sign them.
//!
//! Straight down and straight back; no HTTP, no storage engine, no flags. What one token family
//! knows of itself is in its own file below, and a third family is one more such file.

mod autojoin;
mod door;
mod integration;
mod reason;
mod report;
mod verify;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

pub use self::autojoin::Autojoin;
use self::door::Door;
pub use self::door::{Busy, Overload};
pub use self::integration::Integration;
pub use self::reason::{Decision, Reason};
pub use self::report::{Asked, Claimed, Report, Stage, Subject};
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

    /// Whose key it is, by what was presented and, once it is known, by its record.
    fn subject_of(key: &Self::ApiKey, record: Option<&Self::Record>) -> Subject;

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
        claims: &mut impl Extend<Claim<'a>>,
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

impl NoToken {
    /// The reason in a word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Refused(refusal) => refusal.reason(),
            Self::Unavailable(_) => Reason::Unavailable,
            Self::Busy(busy) => busy.why.reason(),
            Self::Failed(_) => Reason::Failed,
        }
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
    /// The reason in a word.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::Malformed,
            Self::Unknown => Reason::Unknown,
            Self::Unusable(_) => Reason::Unusable,
            Self::WrongSecret => Reason::WrongSecret,
            Self::NotActive => Reason::NotActive,
            Self::NotYetValid => Reason::NotYetValid,
            Self::Expired => Reason::Expired,
            Self::Revoked => Reason::Revoked,
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
    pub fn has_room(&self) -> Result<(), Busy> {
        if self.signer.turns_away() {
            return Err(self.door.refuse(Overload::StandingQueue));
        }
        self.door.has_room()
    }

    /// The randomness that ids are made of.
    #[must_use]
    pub fn random(&self) -> &dyn Random {
        &*self.random
    }

    /// How many exchanges are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.door.in_flight()
    }

    /// Trades one API key for one token. What happens on the way goes into the report.
    ///
    /// # Errors
    /// See [`NoToken`]: the key is refused, nothing could be found out, or there is no token.
    pub async fn exchange<F: TokenFamily>(
        &self,
        presented: SecretString,
        report: &mut Report,
    ) -> Result<Token, NoToken> {
        let _place = self.door.enter()?;
        let parse = report.parse.insert(Stage::begin());
        let key = F::parse(presented);
        parse.end();
        let key = key.map_err(Refusal::from)?;
        report.subject = Some(F::subject_of(&key, None));
        let (verified, now) = self.verified::<F>(&key, report).await?;
        report.sign = Some(Stage::begin());
        let outcome = self.signed::<F>(&verified, now, report).await;
        report.sign.as_mut().into_iter().for_each(Stage::end);
        outcome
    }

    /// Asks, and asks once more where nothing can rest on the first answer.
    async fn verified<'k, F: TokenFamily>(
        &self,
        key: &'k F::ApiKey,
        report: &mut Report,
    ) -> Result<(VerifiedKey<'k, F>, UnixSeconds), NoToken> {
        let mut recency = Recency::Remembered;
        for _ in 0..2 {
            match self.ask::<F>(key, recency, report).await? {
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
        report: &mut Report,
    ) -> Result<Judgement<'k, F>, NoToken> {
        let asked_at = self.clock.moment();
        let asked = report.ask();
        let reading = F::find(&*self.store, key, recency).await;
        asked.find.end();
        let Reading { answer, source, attempts } = reading.map_err(|why| {
            asked.attempts = why.attempts.clone();
            self.no_reading(why)
        })?;
        (asked.source, asked.attempts) = (Some(source), attempts);
        // Once: what is judged by this time is dated by it, however long the signature takes.
        let now = self.clock.moment();
        if now.since(asked_at) > MAX_ANSWER_AGE {
            return Ok(Judgement::AskAgain(recency));
        }
        let now = now.since_epoch.as_secs();
        let verify = asked.verify.insert(Stage::begin());
        let subject = answer.record().map(|record| F::subject_of(key, Some(record)));
        let verdict = judge::<F>(key, answer, timestamp(now));
        verify.end();
        report.subject = subject.or_else(|| report.subject.take());
        match (verdict, source) {
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

    /// A store that is asked too much is no store in trouble: fewer questions mend it.
    fn no_reading(&self, why: Unavailable) -> NoToken {
        match why.kind {
            UnavailableKind::Overloaded => self.door.refuse(Overload::Crowded).into(),
            _ => why.into(),
        }
    }

    async fn signed<F: TokenFamily>(
        &self,
        key: &VerifiedKey<'_, F>,
        now: UnixSeconds,
        report: &mut Report,
    ) -> Result<Token, NoToken> {
        let claims = self.claims_of(key, now, report).map_err(NoToken::Failed)?;
        match self.signer.sign(claims).await {
            Ok((token, signature)) => {
                report.signature = Some(signature);
                Ok(token)
            }
            Err(SignError::Busy) => Err(self.door.refuse(Overload::QueueWait).into()),
            Err(error) => Err(NoToken::Failed(error.into())),
        }
    }

    fn claims_of<F: TokenFamily>(
        &self,
        key: &VerifiedKey<'_, F>,
        now: UnixSeconds,
        report: &mut Report,
    ) -> Result<Claims, ExchangeFailure> {
        let mut jti = [0; 16];
        self.random.fill(&mut jti)?;
        let jti = uuid::Builder::from_random_bytes(jti).into_uuid();
        let expires_at = now.saturating_add(F::LIFETIME_SECONDS);
        report.claimed = Some(Claimed { jti, issued_at: now, expires_at });
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
    Unavailable::new(kind, "what is remembered of the key is too old to refuse it by")
}

/// The machine was stopped on the way, or its clock was set: what was true then may not be now.
fn outdated() -> Unavailable {
    Unavailable::new(UnavailableKind::TooSlow, "the answer is too old to rest on")
}

fn timestamp(seconds: UnixSeconds) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
