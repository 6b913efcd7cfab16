//! What a manifest may change of an integration's key that goes on.

use jiff::Timestamp;

use super::integration_key::{creation, facts_about, facts_of, usable};
use super::{
    Occasion, Planned, Refused, Remark, Terms, facts_of_a_living_key, first_facts, whole_seconds,
};
use crate::key_store::{
    Change, Description, Facts, IntegrationKeyRow, KeyStatus, NewIntegrationKey, Validity, Write,
};

/// All that a manifest says of a key that goes on.
#[derive(Debug, Clone)]
pub struct Amendment {
    pub tier: i64,
    pub description: Description,
    pub not_before: Option<Timestamp>,
    /// `None`: it never ends by itself.
    pub expires_at: Option<Timestamp>,
    pub note: Option<Remark>,
}

/// Brings record and facts to what is wanted; without writes where they are there already.
///
/// # Errors
/// When the key has ended, or the new end is past or before its begin.
pub fn amend_integration_key(
    row: &IntegrationKeyRow,
    wish: &Amendment,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let hash = usable(row)?;
    let old = facts_about(row, hash)?;
    let new = Facts {
        not_before: wish.not_before.map(whole_seconds),
        expires_at: wish.expires_at.map(whole_seconds),
        note: wish.note.as_ref().map(|note| note.as_str().to_owned()),
        ..old.clone()
    };
    let mut writes = Vec::new();
    if new != old {
        facts_of_a_living_key(&old, on)?;
        if new.expires_at != old.expires_at
            && let Some(end) = new.expires_at.filter(|end| *end <= on.at)
        {
            return Err(Refused::Past(end));
        }
        if let (Some(begins), Some(ends)) = (new.not_before, new.expires_at)
            && ends <= begins
        {
            return Err(Refused::NeverValid { begins, ends });
        }
        writes.push(facts_of(row, facts_of_a_living_key(&new, on)?));
    }
    if (row.tier, row.description.as_str()) != (wish.tier, wish.description.as_str()) {
        if row.key_status() != KeyStatus::Active {
            return Err(Refused::NotActive(row.status.clone()));
        }
        let description = wish.description.as_str().to_owned();
        let amended = IntegrationKeyRow { tier: wish.tier, description, ..row.clone() };
        writes.push(Write::ReplaceIntegrationKey(amended));
    }
    Ok(Planned {
        change: Change::new(writes),
        ends_at: new.expires_at,
        new_key: Validity::default(),
    })
}

/// Gives a key to an integration that is there, or is created by the commit before.
///
/// # Errors
/// When the terms make no sense.
pub fn create_key_of_integration_at_hand(
    key: &NewIntegrationKey,
    terms: &Terms,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let facts = Facts { key_hash: Some(key.secret_hash), ..first_facts(terms, on)? };
    let new_key = facts.validity();
    let change = Change::new(creation(key, facts).into());
    Ok(Planned { change, ends_at: new_key.expires_at, new_key })
}
