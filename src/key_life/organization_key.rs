//! Keys of organizations: one credential has one set of facts, however many organizations hold it.
//!
//! The rules take all records of one credential. It is revoked by removing them all and leaving the
//! facts, because autojoin's own server goes by the records alone.

use jiff::Timestamp;

use super::{
    Ending, Occasion, Planned, Refused, Remark, Terms, expiring, first_facts, readable, revoked,
    rolled, successor_facts,
};
use crate::key_store::{
    Change, Facts, FactsState, NewOrganizationKey, OrganizationKeyRow, OrganizationRow, Validity,
    Write,
};

/// Gives a key to an organization.
///
/// # Errors
/// When there is no such organization, or the terms make no sense.
pub fn create_organization_key(
    organization: Option<&OrganizationRow>,
    key: &NewOrganizationKey,
    terms: &Terms,
    on: &Occasion,
) -> Result<Planned, Refused> {
    match organization {
        Some(row) if row.name == key.organization.as_str() => {}
        _ => return Err(Refused::NoSuchOrganization(key.organization.as_str().to_owned())),
    }
    let facts = first_facts(terms, on)?;
    let new_key = facts.validity();
    let change = Change::new(creation(key, facts).into());
    Ok(Planned { change, ends_at: new_key.expires_at, new_key })
}

/// Makes a successor for a key, which ends after a while or at once.
///
/// # Errors
/// When the key has ended, was rolled before, or is shared by several organizations.
pub fn roll_organization_key(
    rows: &[OrganizationKeyRow],
    successor: &NewOrganizationKey,
    terms: &Terms,
    ending: Ending,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let row = match rows {
        [] => return Err(Refused::NoSuchKey),
        [row] => row,
        several => {
            let names: Vec<_> = several.iter().map(|row| row.organization.as_str()).collect();
            return Err(Refused::Shared(names.join(", ")));
        }
    };
    let facts = known(&row.facts)?;
    let (old_facts, end) = rolled(&facts, &successor.key.hash().to_hex(), ending, on)?;
    if row.organization != successor.organization.as_str() {
        return Err(Refused::NoSuchOrganization(successor.organization.as_str().to_owned()));
    }
    let new_facts = successor_facts(&facts, row.key_hash.to_hex(), terms, on)?;
    let new_key = new_facts.validity();
    let mut writes: Vec<_> = creation(successor, new_facts).into();
    writes.push(facts_of(row, old_facts));
    if ending == Ending::Now {
        writes.push(Write::RemoveOrganizationKey(row.clone()));
    }
    Ok(Planned { change: Change::new(writes), ends_at: Some(end), new_key })
}

/// Sets the moment at which a key ends by itself. Until its records are removed, it goes on
/// registering nodes with autojoin's own server.
///
/// # Errors
/// When the key has ended, or the moment is past.
pub fn expire_organization_key(
    rows: &[OrganizationKeyRow],
    at: Timestamp,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let row = rows.first().ok_or(Refused::NoSuchKey)?;
    let facts = expiring(&known(&row.facts)?, at, on)?;
    let ends_at = facts.expires_at;
    Ok(Planned { change: facts_of(row, facts).into(), ends_at, new_key: Validity::default() })
}

/// Ends a key for good and for everybody. Facts that cannot be read are no obstacle: they are
/// replaced.
///
/// # Errors
/// When there is no record of the key.
pub fn revoke_organization_key(
    rows: &[OrganizationKeyRow],
    reason: &Remark,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let row = rows.first().ok_or(Refused::NoSuchKey)?;
    let facts = row.facts.readable().map(|stored| stored.facts.clone()).unwrap_or_default();
    let mut at = on.at;
    let mut writes = Vec::new();
    match revoked(&facts, reason, on) {
        Some(facts) => writes.push(facts_of(row, facts)),
        // Somebody wrote a record of it again.
        None => at = facts.revoked.map_or(at, |revocation| revocation.at),
    }
    writes.extend(rows.iter().cloned().map(Write::RemoveOrganizationKey));
    Ok(Planned { change: Change::new(writes), ends_at: Some(at), new_key: Validity::default() })
}

fn creation(key: &NewOrganizationKey, facts: Facts) -> [Write; 2] {
    [
        Write::InsertOrganizationKey(key.clone()),
        Write::PutOrganizationKeyFacts { key_hash: key.key.hash(), facts, instead_of: None },
    ]
}

fn facts_of(row: &OrganizationKeyRow, facts: Facts) -> Write {
    Write::PutOrganizationKeyFacts {
        key_hash: row.key_hash,
        facts,
        instead_of: row.facts.version(),
    }
}

fn known(state: &FactsState) -> Result<Facts, Refused> {
    Ok(readable(state)?.cloned().unwrap_or_default())
}
