//! How an API key comes to be, is replaced, expires and is revoked: every rule of its life.
//!
//! All of it is arithmetic on what was read: records and a wish in, a [`Change`] or a reason against
//! it out. Nothing here reads a store, writes to one, asks a clock or prints.
//!
//! Revoking is written where other readers look, too: the Go service goes by `status`, and an
//! organization's key ends for everybody when its record is gone. Expiry is ours alone.

mod amend;
mod integration_key;
mod organization_key;
mod receipt;
mod state;

use jiff::Timestamp;

pub use self::amend::{Amendment, amend_integration_key, create_key_of_integration_at_hand};
pub use self::integration_key::{
    IntegrationKeySuccessor, create_integration, create_integration_key, expire_integration_key,
    revoke_integration_key, roll_integration_key,
};
pub use self::organization_key::{
    create_organization_key, expire_organization_key, revoke_organization_key,
    roll_organization_key,
};
pub use self::receipt::{Assumptions, Receipt, Term};
pub use self::state::State;
use crate::key_store::{Change, Defect, Facts, FactsState, Revocation, Validity};

/// Who changes something, and when.
#[derive(Debug, Clone)]
pub struct Occasion {
    pub at: Timestamp,
    pub by: Author,
}

/// The name of an operator, as the facts keep it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author(String);

impl Author {
    /// The longest name, in bytes: longer than any account's.
    pub const MAX_NAME_BYTES: usize = 100;

    /// Takes a name as it stands; `None` when it is empty, too long, or would spoil a terminal.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let fits = (1..=Self::MAX_NAME_BYTES).contains(&name.len());
        (fits && !name.chars().any(char::is_control)).then(|| Self(name.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a key is revoked, or what is to be remembered of it: 1 to 1,000 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark(String);

impl Remark {
    /// The longest remark, in bytes: a paragraph.
    pub const MAX_BYTES: usize = 1000;

    /// `None` when it is empty or too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (1..=Self::MAX_BYTES).contains(&text.len()).then(|| Self(text.to_owned()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// From when and until when a new key is valid, to the second, and a note about it.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub not_before: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub note: Option<Remark>,
}

/// How the predecessor of a new key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It expires then, or when it would have expired anyway, if that is earlier.
    At(Timestamp),
    /// It is revoked with the same commit.
    Now,
}

/// A change that may be made, and what it comes to.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Without writes when everything stands as wanted.
    pub change: Change,
    /// When the key at hand ends; of a new one, when it expires.
    pub ends_at: Option<Timestamp>,
    /// Of a new key: when it can be used, as its facts have it.
    pub new_key: Validity,
}

/// Why a change must not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("there is no integration {0}")]
    NoSuchIntegration(String),
    #[error("there is no organization {0}")]
    NoSuchOrganization(String),
    #[error("there is no such key")]
    NoSuchKey,
    #[error("the key was revoked at {0}")]
    Revoked(Timestamp),
    #[error("the key expired at {0}; what has ended stays ended")]
    Expired(Timestamp),
    #[error("the key was rolled already: {0} was made in its place")]
    Rolled(String),
    #[error("the key is not active: its status is {0:?}")]
    NotActive(String),
    #[error("the key can never be valid: {0}")]
    Dead(String),
    #[error("the facts of the key cannot be read: {0}; doctor says more")]
    UnreadableFacts(Defect),
    #[error("{0} is past; to end a key at once, revoke it")]
    Past(Timestamp),
    #[error("the key would end at {ends} and become valid only at {begins}")]
    NeverValid { begins: Timestamp, ends: Timestamp },
    #[error("the new key has the id of the old one")]
    SameKeyId,
    #[error("the new key is for integration {0}")]
    OtherIntegration(String),
    #[error(
        "several organizations hold this key ({0}): create a key for each, and revoke this one"
    )]
    Shared(String),
}

/// Facts of a key that is made now.
fn first_facts(terms: &Terms, on: &Occasion) -> Result<Facts, Refused> {
    let (not_before, expires_at) =
        (terms.not_before.map(whole_seconds), terms.expires_at.map(whole_seconds));
    if let Some(end) = expires_at {
        if end <= on.at {
            return Err(Refused::Past(end));
        }
        if let Some(begins) = not_before
            && end <= begins
        {
            return Err(Refused::NeverValid { begins, ends: end });
        }
    }
    Ok(Facts {
        not_before,
        expires_at,
        created_by: Some(on.by.0.clone()),
        note: terms.note.as_ref().map(|note| note.0.clone()),
        ..written(Facts::default(), on)
    })
}

/// The facts as they stand, with the name of who writes them now.
fn written(facts: Facts, on: &Occasion) -> Facts {
    Facts { changed_by: Some(on.by.0.clone()), changed_at: Some(on.at), ..facts }
}

/// The facts of a key that is to go on for a while, if it may.
fn facts_of_a_living_key(facts: &Facts, on: &Occasion) -> Result<Facts, Refused> {
    if let Some(revocation) = &facts.revoked {
        return Err(Refused::Revoked(revocation.at));
    }
    match facts.expires_at {
        Some(end) if end <= on.at => Err(Refused::Expired(end)),
        _ => Ok(written(facts.clone(), on)),
    }
}

/// Facts of a key that expires at another time from now on.
fn expiring(facts: &Facts, at: Timestamp, on: &Occasion) -> Result<Facts, Refused> {
    let facts = facts_of_a_living_key(facts, on)?;
    let at = whole_seconds(at);
    if at <= on.at {
        return Err(Refused::Past(at));
    }
    match facts.not_before {
        Some(begins) if at <= begins => Err(Refused::NeverValid { begins, ends: at }),
        _ => Ok(Facts { expires_at: Some(at), ..facts }),
    }
}

/// Facts of a key that is replaced, and when it ends.
fn rolled(
    facts: &Facts,
    successor: &str,
    ending: Ending,
    on: &Occasion,
) -> Result<(Facts, Timestamp), Refused> {
    let facts = facts_of_a_living_key(facts, on)?;
    if let Some(successor) = facts.replaced_by {
        return Err(Refused::Rolled(successor));
    }
    let facts = Facts { replaced_by: Some(successor.to_owned()), ..facts };
    match ending {
        Ending::Now => {
            let reason = format!("replaced by {successor}");
            Ok((Facts { revoked: Some(Revocation { at: on.at, reason }), ..facts }, on.at))
        }
        Ending::At(at) => {
            let at = whole_seconds(at.max(on.at));
            let end = facts.expires_at.map_or(at, |expiry| expiry.min(at));
            Ok((Facts { expires_at: Some(end), ..facts }, end))
        }
    }
}

/// Facts of the key that is made in place of another. It is not valid before that one is.
fn successor_facts(
    old: &Facts,
    replaces: String,
    terms: &Terms,
    on: &Occasion,
) -> Result<Facts, Refused> {
    let not_before = terms.not_before.max(old.not_before.filter(|start| on.at < *start));
    let facts = first_facts(&Terms { not_before, ..terms.clone() }, on)?;
    Ok(Facts { replaces: Some(replaces), ..facts })
}

/// Facts of a key that is revoked, or `None` when it is revoked already.
fn revoked(facts: &Facts, reason: &Remark, on: &Occasion) -> Option<Facts> {
    if facts.revoked.is_some() {
        return None;
    }
    let revocation = Revocation { at: on.at, reason: reason.0.clone() };
    Some(written(Facts { revoked: Some(revocation), ..facts.clone() }, on))
}

/// The facts that a decision may rest on: none, or those that can be read.
fn readable(state: &FactsState) -> Result<Option<&Facts>, Refused> {
    match state {
        FactsState::None => Ok(None),
        FactsState::Readable(stored) => Ok(Some(&stored.facts)),
        FactsState::Unreadable { defect, .. } => Err(Refused::UnreadableFacts(defect.clone())),
    }
}

/// Tokens and the clock of the exchange know whole seconds, so the end of a key is one.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
