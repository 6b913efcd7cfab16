//! What a call without a usable answer means: to the operator, to a retry, to a commit.

use std::error::Error;

use gcloud_sdk::tonic::{Code, Status};

use super::line::Over;
use crate::key_store::{Unavailable, UnavailableKind};

/// The bound of what a failure says; a message of a server has none.
const MAX_DETAIL_CHARACTERS: usize = 1000;

/// Whether a server's message may be repeated to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wording {
    Kept,
    /// The request holds an organization's API key, and a server may quote what it was sent.
    CodeOnly,
}

/// A call without an answer that could be used.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) unavailable: Unavailable,
    /// `None` where no server and no transport had its say.
    pub(super) code: Option<Code>,
    cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// There is no token to ask with.
    NoToken,
    /// There is no connection to ask over.
    NoConnection,
    /// The connection had ended, and did not take the call.
    Untaken,
    /// The connection broke, or the answer is overdue.
    Cut,
    /// The server said so.
    Answered,
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        failure.unavailable
    }
}

impl Failure {
    pub(super) fn no_token(detail: String) -> Self {
        Self::before_sending(UnavailableKind::Credentials, detail, Cause::NoToken)
    }

    pub(super) fn no_connection(detail: String) -> Self {
        Self::before_sending(UnavailableKind::Unreachable, detail, Cause::NoConnection)
    }

    fn before_sending(kind: UnavailableKind, detail: String, cause: Cause) -> Self {
        Self { unavailable: Unavailable::new(kind, short(detail)), code: None, cause }
    }

    pub(super) fn overdue() -> Self {
        Self {
            unavailable: Unavailable::new(
                UnavailableKind::TooSlow,
                "no answer within the deadline",
            ),
            code: None,
            cause: Cause::Cut,
        }
    }

    /// An answer that says neither yes nor no.
    pub(super) fn unusable_answer(kind: UnavailableKind, detail: &str) -> Self {
        Self { unavailable: Unavailable::new(kind, detail), code: None, cause: Cause::Answered }
    }

    pub(super) fn of(status: &Status, wording: Wording) -> Self {
        // What came over the wire has no source; what the layers below have to say always has one.
        let cause = match status.source() {
            None => Cause::Answered,
            Some(source) if is_untaken(source) => Cause::Untaken,
            Some(_) => Cause::Cut,
        };
        let kind = match status.code() {
            _ if cause != Cause::Answered => UnavailableKind::Unreachable,
            Code::Unavailable => UnavailableKind::Unreachable,
            Code::Unauthenticated => UnavailableKind::Credentials,
            Code::DeadlineExceeded | Code::Cancelled => UnavailableKind::TooSlow,
            Code::PermissionDenied
            | Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::Unimplemented => UnavailableKind::Refused,
            _ => UnavailableKind::Failed,
        };
        let detail = match (cause, wording) {
            (Cause::Answered, Wording::CodeOnly) => format!("{:?}", status.code()),
            (Cause::Answered, Wording::Kept) => {
                format!("{:?}: {}", status.code(), status.message())
            }
            // The words of the layers below: they never see a message's content.
            _ => status.source().map_or_else(String::new, super::with_causes),
        };
        Self {
            unavailable: Unavailable::new(kind, short(detail)),
            code: Some(status.code()),
            cause,
        }
    }

    /// Whether the call never left this machine, because its connection had ended.
    pub(super) fn is_untaken(&self) -> bool {
        self.cause == Cause::Untaken
    }

    /// Whether the call was sent and nothing has come back in time.
    pub(super) fn is_overdue(&self) -> bool {
        self.cause == Cause::Cut && self.unavailable.kind == UnavailableKind::TooSlow
    }

    /// Whether the store may have had work with it.
    pub(super) fn was_sent(&self) -> bool {
        matches!(self.cause, Cause::Cut | Cause::Answered)
    }

    /// Whether the server had its say.
    pub(super) fn is_answer(&self) -> bool {
        self.cause == Cause::Answered
    }

    /// Whether the same question may be answered a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self.cause {
            Cause::NoToken => false,
            Cause::NoConnection | Cause::Untaken | Cause::Cut => true,
            Cause::Answered => matches!(
                self.code,
                Some(Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::Internal)
            ),
        }
    }

    /// Whether the store did not accept the token.
    pub(super) fn is_of_the_token(&self) -> bool {
        self.cause == Cause::Answered && self.code == Some(Code::Unauthenticated)
    }

    /// Whether a commit that ended like this may have been made all the same.
    pub(super) fn leaves_outcome_open(&self) -> bool {
        match self.cause {
            Cause::NoToken | Cause::NoConnection | Cause::Untaken => false,
            Cause::Cut => true,
            Cause::Answered => !matches!(
                self.code,
                Some(
                    Code::InvalidArgument
                        | Code::NotFound
                        | Code::AlreadyExists
                        | Code::PermissionDenied
                        | Code::Unauthenticated
                        | Code::ResourceExhausted
                        | Code::FailedPrecondition
                        | Code::Aborted
                        | Code::OutOfRange
                        | Code::Unimplemented
                )
            ),
        }
    }
}

/// hyper says "canceled" of a request that it had not yet begun to send.
fn is_untaken(mut error: &(dyn Error + 'static)) -> bool {
    loop {
        let is_canceled = |error: &hyper::Error| error.is_canceled();
        if error.is::<Over>() || error.downcast_ref().is_some_and(is_canceled) {
            return true;
        }
        match error.source() {
            Some(source) => error = source,
            None => return false,
        }
    }
}

fn short(detail: String) -> String {
    match detail.char_indices().nth(MAX_DETAIL_CHARACTERS) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: Code) -> Failure {
        Failure::of(&Status::new(code, "said"), Wording::Kept)
    }

    fn from_below(error: impl Error + Send + Sync + 'static) -> Failure {
        Failure::of(&Status::from_error(Box::new(error)), Wording::Kept)
    }

    #[test]
    fn what_a_failure_says_about_the_call_the_line_the_token_and_the_commit() {
        let cut = || std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut");
        for (failure, says) in [
            (Failure::no_token(String::new()), &[][..]),
            (Failure::no_connection(String::new()), &["passing"]),
            (from_below(Over), &["untaken", "passing"]),
            (from_below(cut()), &["sent", "passing", "open"]),
            (Failure::overdue(), &["overdue", "sent", "passing", "open"]),
            (answered(Code::Unavailable), &["sent", "answer", "passing", "open"]),
            (answered(Code::Aborted), &["sent", "answer", "passing"]),
            (answered(Code::Unknown), &["sent", "answer", "open"]),
            (answered(Code::Cancelled), &["sent", "answer", "open"]),
            (answered(Code::PermissionDenied), &["sent", "answer"]),
            (answered(Code::Unauthenticated), &["sent", "answer", "token"]),
        ] {
            let found = [
                ("untaken", failure.is_untaken()),
                ("overdue", failure.is_overdue()),
                ("sent", failure.was_sent()),
                ("answer", failure.is_answer()),
                ("passing", failure.is_passing()),
                ("token", failure.is_of_the_token()),
                ("open", failure.leaves_outcome_open()),
            ];
            let found: Vec<_> = found.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect();
            assert_eq!(found, says, "{failure:?}");
        }
    }

    #[test]
    fn whatever_befalls_a_connection_the_store_cannot_be_reached() {
        for failure in [from_below(Over), from_below(std::io::Error::other("broken"))] {
            assert_eq!(failure.unavailable.kind, UnavailableKind::Unreachable, "{failure:?}");
        }
    }
}
