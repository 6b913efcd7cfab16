//! What was asked of a store for one reading: each attempt, when it began and ended, and how.
//!
//! Taken down for whoever shows it. Nothing is decided by it, and no key or secret is in it; what
//! is served from memory has asked nothing, and costs nothing here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::time;

use super::{Answer, Reading, Source, Unavailable, UnavailableKind};

/// What a reading, or not having one, has taken. Clones share it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts {
    made: Option<Arc<[Attempt]>>,
    joined: bool,
}

/// One attempt at a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What was asked for, in the store's own word.
    pub operation: &'static str,
    /// Waiting for a connection, and for a token to ask with, is part of it.
    pub begun: Instant,
    pub ended: Instant,
    pub outcome: AttemptOutcome,
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    Answered,
    Failed(UnavailableKind),
    /// Who waited did not wait for its end.
    Abandoned,
}

impl AttemptOutcome {
    /// The outcome in a word: one of a few.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed(kind) => kind.as_str(),
            Self::Abandoned => "abandoned",
        }
    }
}

impl Attempts {
    /// In the order in which they were begun; none where memory had the answer, or nobody was
    /// asked for want of a place.
    #[must_use]
    pub fn as_slice(&self) -> &[Attempt] {
        self.made.as_deref().unwrap_or_default()
    }

    /// Whether it was asked for somebody else, and this caller waited for it too.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// The same, as one sees it who joined.
    #[must_use]
    pub(super) fn joined(self) -> Self {
        Self { joined: true, ..self }
    }

    /// A read of which nobody told what it took, from its beginning until now.
    pub(super) fn untold(begun: Instant, outcome: AttemptOutcome) -> Self {
        let read = Attempt { operation: "read", begun, ended: now(), outcome };
        Self { made: Some(Arc::new([read])), joined: false }
    }
}

/// The attempts at a question, as they are made.
#[derive(Debug, Default)]
pub(super) struct AttemptLog(Mutex<Vec<Attempt>>);

/// An attempt under way.
#[must_use]
pub(super) struct Begun(usize);

impl AttemptLog {
    pub(super) fn begin(&self, operation: &'static str) -> Begun {
        let begun = now();
        let mut attempts = self.attempts();
        attempts.push(Attempt {
            operation,
            begun,
            ended: begun,
            outcome: AttemptOutcome::Abandoned,
        });
        Begun(attempts.len() - 1)
    }

    /// `None` is an answer.
    pub(super) fn end(&self, Begun(attempt): Begun, failure: Option<UnavailableKind>) {
        if let Some(attempt) = self.attempts().get_mut(attempt) {
            attempt.ended = now();
            attempt.outcome = failure.map_or(AttemptOutcome::Answered, AttemptOutcome::Failed);
        }
    }

    /// What the question has come to, together with them.
    pub(super) fn tell<T>(
        self,
        outcome: Result<Answer<T>, Unavailable>,
    ) -> Result<Reading<T>, Unavailable> {
        let mut attempts = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        for attempt in &mut attempts {
            if attempt.outcome == AttemptOutcome::Abandoned {
                attempt.ended = now();
            }
        }
        let attempts = Attempts { made: Some(attempts.into()), joined: false };
        match outcome {
            Ok(answer) => Ok(Reading { answer, source: Source::Store, attempts }),
            Err(why) => Err(Unavailable { attempts, ..why }),
        }
    }

    fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By the clock that the deadlines are kept by.
fn now() -> Instant {
    time::Instant::now().into_std()
}
