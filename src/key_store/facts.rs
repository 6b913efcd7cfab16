//! Facts of an API key that the Go tools know nothing of: from when and until when it is valid,
//! whether it was revoked, what replaced it, and who did that.
//!
//! They live in records of their own beside the key's, because the records of the Go tools never
//! get a new property. Here is what they say and how they are judged; how they are stored is the
//! engines' affair, and who may change them how is [`crate::key_life`]'s.

use jiff::Timestamp;

use crate::api_key::SecretHash;

/// All that is known of an API key beside its record. Without any facts a key is judged by its
/// record alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Of an integration's key: the secret that the facts speak of. The Go tool can replace a key
    /// in place, and what was decided about the old one says nothing of the new one.
    pub key_hash: Option<SecretHash>,
    /// The first moment at which the key is valid.
    pub not_before: Option<Timestamp>,
    /// The first moment at which the key is valid no more.
    pub expires_at: Option<Timestamp>,
    pub revoked: Option<Revocation>,
    /// The key id, or the hash of an organization's key, that was made in place of this one.
    pub replaced_by: Option<String>,
    /// The key id, or the hash of an organization's key, in place of which this one was made.
    pub replaces: Option<String>,
    /// Who made the key.
    pub created_by: Option<String>,
    /// Who wrote these facts last, and when.
    pub changed_by: Option<String>,
    pub changed_at: Option<Timestamp>,
    pub note: Option<String>,
}

/// That a key was ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    pub at: Timestamp,
    pub reason: String,
}

impl Facts {
    /// What the facts say about using the key.
    #[must_use]
    pub fn judge(&self, now: Timestamp) -> Verdict {
        self.validity().judge(now)
    }

    /// What is needed for judging, and nothing else.
    #[must_use]
    pub fn validity(&self) -> Validity {
        Validity {
            not_before: self.not_before,
            expires_at: self.expires_at,
            is_revoked: self.revoked.is_some(),
        }
    }

    /// Whether these facts of an integration's key speak of the secret that its record holds.
    #[must_use]
    pub fn are_about(&self, secret_hash: Option<SecretHash>) -> bool {
        self.key_hash.is_some() && self.key_hash == secret_hash
    }
}

/// When a key may be used. The default is: always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validity {
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub is_revoked: bool,
}

/// What there is to say about using a key at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Valid,
    NotYetValid,
    Expired,
    Revoked,
}

impl Validity {
    /// Judges by the strictest of the facts, and of equally strict ones by the most lasting.
    /// A revocation counts whatever its time: no clock can undo it.
    #[must_use]
    pub fn judge(&self, now: Timestamp) -> Verdict {
        if self.is_revoked {
            Verdict::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            Verdict::Expired
        } else if self.not_before.is_some_and(|start| now < start) {
            Verdict::NotYetValid
        } else {
            Verdict::Valid
        }
    }
}
