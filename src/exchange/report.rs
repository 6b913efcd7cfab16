//! What happened on the way of one exchange, whether or not there was a token: for whoever keeps
//! records of it, or draws it.
//!
//! Filled in on the way and read afterwards. Nothing is put into words here, and no secret enters:
//! neither the presented key nor the token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::api_key::{IntegrationId, KeyId, SecretHash};
use crate::environment::UnixSeconds;
use crate::key_store::{Attempts, Source};
use crate::signer::Signature;

/// One exchange, as far as it came: what was not reached is `None`. It belongs to whoever asked
/// for the exchange, so it is there also when the exchange is dropped in the middle, or panics.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Whose key was presented, once that is known.
    pub subject: Option<Subject>,
    /// Reading the key's grammar.
    pub parse: Option<Stage>,
    /// The first question for the key.
    pub asked: Option<Asked>,
    /// The second, where nothing could rest on the answer to the first.
    pub asked_again: Option<Asked>,
    /// Stating the claims and having them signed, with the wait for it.
    pub sign: Option<Stage>,
    /// What was to be signed.
    pub claimed: Option<Claimed>,
    /// How it was signed; only where there is a token.
    pub signature: Option<Signature>,
}

/// From when to when something was done.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    pub begun: Instant,
    /// `None` when it was never over.
    pub ended: Option<Instant>,
}

/// Whose key was presented. Until it is verified, that is what the caller says.
#[derive(Debug, Clone)]
pub enum Subject {
    IntegrationKey {
        integration: IntegrationId,
        key: KeyId,
    },
    OrganizationKey {
        /// Its [fingerprint](SecretHash::fingerprint) is the name of the key for operators.
        hash: SecretHash,
        /// Known once the key was found, under an organization that has a name.
        organization: Option<Arc<str>>,
    },
}

/// One question for a key, and the verdict on the answer.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Finding its record.
    pub find: Stage,
    /// What the answer rests on; `None` when there was none.
    pub source: Option<Source>,
    /// What was asked of the store for it.
    pub attempts: Attempts,
    /// Deciding by it; `None` when there was nothing to decide by.
    pub verify: Option<Stage>,
}

/// What a token says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Claimed {
    pub jti: Uuid,
    pub issued_at: UnixSeconds,
    pub expires_at: UnixSeconds,
}

impl Report {
    /// The questions for the key, in order.
    pub fn questions(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().chain(&self.asked_again)
    }

    /// What the decision rests on: the answer to the last question.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        self.questions().last()?.source
    }

    /// How long the record of the key was waited for, all questions together; `None` if none was
    /// asked.
    #[must_use]
    pub fn finding(&self) -> Option<Duration> {
        self.asked.as_ref()?;
        Some(self.questions().filter_map(|asked| asked.find.took()).sum())
    }

    /// The place for what becomes of the next question, which begins now.
    pub(super) fn ask(&mut self) -> &mut Asked {
        let place = if self.asked.is_none() { &mut self.asked } else { &mut self.asked_again };
        place.insert(Asked {
            find: Stage::begin(),
            source: None,
            attempts: Attempts::default(),
            verify: None,
        })
    }
}

impl Stage {
    /// Begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { begun: Instant::now(), ended: None }
    }

    /// Ends now.
    pub fn end(&mut self) {
        self.ended = Some(Instant::now());
    }

    /// `None` when it was never over.
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        Some(self.ended?.saturating_duration_since(self.begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waiting_for_the_record_is_that_of_all_questions_that_were_answered() {
        let mut report = Report::default();
        assert_eq!(report.finding(), None);
        for (milliseconds, in_all) in [(30, 30), (12, 42)] {
            let asked = report.ask();
            asked.find.ended = Some(asked.find.begun + Duration::from_millis(milliseconds));
            assert_eq!(report.finding(), Some(Duration::from_millis(in_all)));
        }
        report.ask();
        assert_eq!(report.finding(), Some(Duration::from_millis(30)), "the last is under way");
    }
}
