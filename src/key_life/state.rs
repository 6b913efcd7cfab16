//! What state a key is in, in a word or two, from what stands in the store.
//!
//! It says what the exchange would say to the owner of the secret, and what an operator has to know
//! beyond that.

use std::fmt;

use jiff::Timestamp;

use crate::api_key::{IntegrationId, KeyId};
use crate::key_store::{
    Defect, Facts, FactsState, IntegrationKeyRow, KeyStatus, OrganizationKeyRow, Verdict,
};

/// The state of a key at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Active,
    /// Active until then.
    Expiring(Timestamp),
    /// Not valid before then.
    Waiting(Timestamp),
    Expired(Timestamp),
    /// Without a time where only the status says so.
    Revoked(Option<Timestamp>),
    /// Valid, and its integration or organization is missing.
    Orphaned,
    /// It can never be valid as it stands.
    Dead(String),
    /// Nothing can be said: the exchange answers 503.
    Unknown(Defect),
}

impl State {
    /// The state of a key of an integration.
    #[must_use]
    pub fn of_integration_key(row: &IntegrationKeyRow, has_parent: bool, now: Timestamp) -> Self {
        if let FactsState::Unreadable { defect, .. } = &row.facts {
            return Self::Unknown(defect.clone());
        }
        let ended = row.facts_in_force().and_then(|facts| Self::of_ended(facts, now));
        if let Some(ended) = ended {
            return ended;
        }
        if let Some(reason) = reason_of_death(row) {
            return Self::Dead(reason);
        }
        if row.status == KeyStatus::REVOKED {
            return Self::Revoked(None);
        }
        if row.key_status() != KeyStatus::Active {
            return Self::Dead(format!("its status is {:?}", row.status));
        }
        Self::of_living(row.facts_in_force(), has_parent, now)
    }

    /// The state of a key of an organization.
    #[must_use]
    pub fn of_organization_key(row: &OrganizationKeyRow, has_parent: bool, now: Timestamp) -> Self {
        let facts = match &row.facts {
            FactsState::Unreadable { defect, .. } => return Self::Unknown(defect.clone()),
            FactsState::Readable(stored) => Some(&stored.facts),
            FactsState::None => None,
        };
        if let Some(ended) = facts.and_then(|facts| Self::of_ended(facts, now)) {
            return ended;
        }
        let is_fatal = |defect: &&Defect| {
            defect.fails_readers()
                || matches!(
                    defect,
                    Defect::NotIndexed(_)
                        | Defect::Missing(_)
                        | Defect::Empty(_)
                        | Defect::NoParent
                        | Defect::NumericParent
                )
        };
        match row.defects.iter().find(is_fatal) {
            Some(defect) => Self::Dead(defect.to_string()),
            None => Self::of_living(facts, has_parent, now),
        }
    }

    fn of_ended(facts: &Facts, now: Timestamp) -> Option<Self> {
        match facts.judge(now) {
            Verdict::Revoked => Some(Self::Revoked(facts.revoked.as_ref().map(|one| one.at))),
            Verdict::Expired => facts.expires_at.map(Self::Expired),
            Verdict::NotYetValid | Verdict::Valid => None,
        }
    }

    fn of_living(facts: Option<&Facts>, has_parent: bool, now: Timestamp) -> Self {
        let (not_before, expires_at) =
            facts.map_or((None, None), |facts| (facts.not_before, facts.expires_at));
        match (not_before.filter(|start| now < *start), expires_at) {
            _ if !has_parent => Self::Orphaned,
            (Some(start), _) => Self::Waiting(start),
            (None, Some(end)) => Self::Expiring(end),
            (None, None) => Self::Active,
        }
    }
}

impl fmt::Display for State {
    /// The word; times are for the reader to put relative to now.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Expiring(_) => "expires",
            Self::Waiting(_) => "waiting",
            Self::Expired(_) => "expired",
            Self::Revoked(_) => "revoked",
            Self::Orphaned => "orphaned",
            Self::Dead(_) => "dead",
            Self::Unknown(_) => "unknown",
        })
    }
}

/// Why the record opens nothing, whatever its status.
fn reason_of_death(row: &IntegrationKeyRow) -> Option<String> {
    let defect = row.defects.iter().find(|defect| {
        defect.fails_readers()
            || matches!(defect, Defect::NoParent | Defect::NumericParent | Defect::NumericName)
    });
    if let Some(defect) = defect {
        return Some(defect.to_string());
    }
    if let Err(why) = IntegrationId::parse(&row.integration_id) {
        return Some(format!("the integration id: {why}"));
    }
    if let Err(why) = KeyId::parse(&row.key_id) {
        return Some(format!("the key id: {why}"));
    }
    row.secret_hash().is_none().then(|| "its hash is none that a secret has".to_owned())
}
