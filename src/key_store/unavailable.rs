//! Why nothing could be found out, for callers and for operators.

use super::Attempts;

/// The store could not be asked, or did not answer: nothing is known about the key.
///
/// The text is for the operator; the caller is told to try again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Unavailable {
    pub kind: UnavailableKind,
    /// The backend's own code and words, free of secrets.
    pub detail: String,
    pub attempts: Attempts,
}

impl Unavailable {
    /// Without a word of what was asked.
    #[must_use]
    pub fn new(kind: UnavailableKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), attempts: Attempts::default() }
    }
}

/// Kinds of not finding out, as the operator has to act on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnavailableKind {
    #[error("the key store cannot be reached")]
    Unreachable,
    #[error("the key store did not answer in time")]
    TooSlow,
    #[error("the key store refused the question")]
    Refused,
    #[error("there are no credentials for the key store")]
    Credentials,
    #[error("the key store failed")]
    Failed,
    #[error("the key store is asked too much at once")]
    Overloaded,
}

impl UnavailableKind {
    pub const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::TooSlow,
        Self::Refused,
        Self::Credentials,
        Self::Failed,
        Self::Overloaded,
    ];

    /// The kind in a word, for counting: one of a few.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::Refused => "refused",
            Self::Credentials => "credentials",
            Self::Failed => "failed",
            Self::Overloaded => "overloaded",
        }
    }
}
