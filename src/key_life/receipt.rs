//! The revocation receipt: when the last token that was signed for a revoked key can end.
//!
//! It is a sum of named terms, each a bound that the service keeps or an assumption that is said
//! aloud. The clocks of the machines are assumed to agree.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::exchange::{MAX_ANSWER_AGE, TokenFamily};
use crate::key_store::cached::CacheLimits;
use crate::key_store::{READ_ATTEMPT, WRITE_DEADLINE};

/// What a receipt cannot know of the instances and verifiers out there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assumptions {
    /// The longest time for which an instance may answer from memory, counted from the moment at
    /// which it asked the store.
    pub memory: Duration,
    /// The same while the store does not answer.
    pub memory_while_away: Duration,
    /// How long after its end a verifier may still take a token.
    pub leeway: Duration,
}

impl Assumptions {
    /// Instances of `serve` with its defaults; and verifiers with the leeway that go-jose gives by
    /// default.
    pub const DEFAULT: Self = Self {
        memory: CacheLimits::DEFAULT.max_age,
        memory_while_away: CacheLimits::DEFAULT.stale_if_error,
        leeway: Duration::from_mins(1),
    };
}

/// When a revocation is complete, and why not earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// From when on the store says that the key is revoked.
    pub effective_at: Timestamp,
    pub terms: [Term; 4],
    /// What the first term comes to where the store answers.
    memory: Duration,
}

/// One of the times that add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    pub name: &'static str,
    pub duration: Duration,
}

impl Receipt {
    /// The receipt of a key of family `F` that was revoked at `revoked_at`, which is known `now`.
    ///
    /// The commit was sent at `revoked_at`, and it was made within the deadline of a change.
    #[must_use]
    pub fn of<F: TokenFamily>(
        revoked_at: Timestamp,
        now: Timestamp,
        assumptions: &Assumptions,
    ) -> Self {
        let term = |name, duration| Term { name, duration };
        // Without any memory a question may still be answered by one that was asked before it.
        let memory = assumptions.memory.max(READ_ATTEMPT);
        Self {
            effective_at: now.min(later(revoked_at, WRITE_DEADLINE)).max(revoked_at),
            terms: [
                term("answer from memory", memory.max(assumptions.memory_while_away)),
                term("wait between answer and signature", MAX_ANSWER_AGE),
                term("lifetime of a token", Duration::from_secs(F::LIFETIME_SECONDS)),
                term("leeway of a verifier", assumptions.leeway),
            ],
            memory,
        }
    }

    /// From when on no verifier takes any token of the key.
    #[must_use]
    pub fn complete_at(&self) -> Timestamp {
        self.after(self.terms[0].duration)
    }

    /// The same, if the store answers every instance.
    #[must_use]
    pub fn complete_in_health_at(&self) -> Timestamp {
        self.after(self.memory)
    }

    fn after(&self, memory: Duration) -> Timestamp {
        let rest = self.terms[1..].iter().map(|term| term.duration);
        rest.fold(later(self.effective_at, memory), later)
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| time.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}
