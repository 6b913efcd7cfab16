//! Why there was no token, in a word: for metrics, records and whoever reads them.
//!
//! The words are an interface. One that is taken away or means something else breaks dashboards
//! and makes a new version of the audit record's schema (`docs/audit.md`).

/// Every way in which an exchange ends without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    BodyEmpty,
    BodyBroken,
    BadJson,
    BodyTooLarge,
    BodyTooSlow,
    Malformed,
    Unknown,
    Unusable,
    WrongSecret,
    NotActive,
    NotYetValid,
    Expired,
    Revoked,
    Unavailable,
    Shed,
    TooMany,
    Crowded,
    QueueWait,
    Failed,
    Audit,
    Panic,
    Abandoned,
}

/// What became of an exchange, as coarsely as it matters to who watches over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// There is a token.
    Granted,
    /// The caller's doing: what was sent, or the key.
    Refused,
    /// It could not be found out, or not be recorded, whether the key is right.
    Unavailable,
    /// More is asked for than can be done in time.
    Shed,
    /// The service's own doing: the key may be right, and there is no token all the same.
    Failed,
    /// It was cut off before it was decided: the service had to end.
    Abandoned,
}

impl Reason {
    pub const ALL: [Self; 22] = [
        Self::BodyEmpty,
        Self::BodyBroken,
        Self::BadJson,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::Malformed,
        Self::Unknown,
        Self::Unusable,
        Self::WrongSecret,
        Self::NotActive,
        Self::NotYetValid,
        Self::Expired,
        Self::Revoked,
        Self::Unavailable,
        Self::Shed,
        Self::TooMany,
        Self::Crowded,
        Self::QueueWait,
        Self::Failed,
        Self::Audit,
        Self::Panic,
        Self::Abandoned,
    ];

    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BodyEmpty => "body_empty",
            Self::BodyBroken => "body_broken",
            Self::BadJson => "bad_json",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Unusable => "unusable",
            Self::WrongSecret => "wrong_secret",
            Self::NotActive => "not_active",
            Self::NotYetValid => "not_yet_valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Unavailable => "unavailable",
            Self::Shed => "shed",
            Self::TooMany => "too_many",
            Self::Crowded => "crowded",
            Self::QueueWait => "queue_wait",
            Self::Failed => "failed",
            Self::Audit => "audit",
            Self::Panic => "panic",
            Self::Abandoned => "abandoned",
        }
    }

    /// What it comes to.
    #[must_use]
    pub const fn decision(self) -> Decision {
        match self {
            Self::BodyEmpty
            | Self::BodyBroken
            | Self::BadJson
            | Self::BodyTooLarge
            | Self::BodyTooSlow
            | Self::Malformed
            | Self::Unknown
            | Self::Unusable
            | Self::WrongSecret
            | Self::NotActive
            | Self::NotYetValid
            | Self::Expired
            | Self::Revoked => Decision::Refused,
            Self::Unavailable | Self::Audit => Decision::Unavailable,
            Self::Shed | Self::TooMany | Self::Crowded | Self::QueueWait => Decision::Shed,
            Self::Failed | Self::Panic => Decision::Failed,
            Self::Abandoned => Decision::Abandoned,
        }
    }
}

impl Decision {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Shed => "shed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_place_with_a_word_of_its_own() {
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason:?}");
            let same_word = Reason::ALL.iter().filter(|of| of.as_str() == reason.as_str());
            assert_eq!(same_word.count(), 1, "{reason:?}");
        }
    }
}
