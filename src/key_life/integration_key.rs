//! Keys of integrations: what is written, and what for.

use jiff::Timestamp;

use super::{
    Ending, Occasion, Planned, Refused, Remark, Terms, expiring, first_facts, readable, revoked,
    rolled, successor_facts,
};
use crate::api_key::{IntegrationId, KeyId, SecretHash};
use crate::key_store::{
    Change, Defect, Description, Facts, IntegrationKeyRow, IntegrationRow, KeyStatus,
    NewIntegration, NewIntegrationKey, Validity, Write,
};

/// The key that is made in place of another: tier and description are that one's.
#[derive(Debug, Clone)]
pub struct IntegrationKeySuccessor {
    pub key_id: KeyId,
    pub secret_hash: SecretHash,
}

/// Creates an integration, with a first key or without any.
///
/// # Errors
/// When the terms of the key make no sense.
pub fn create_integration(
    integration: &NewIntegration,
    first_key: Option<(&NewIntegrationKey, &Terms)>,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let mut writes = vec![Write::InsertIntegration(integration.clone())];
    let mut new_key = Validity::default();
    if let Some((key, terms)) = first_key {
        let facts = Facts { key_hash: Some(key.secret_hash), ..first_facts(terms, on)? };
        new_key = facts.validity();
        writes.extend(creation(key, facts));
    }
    Ok(Planned { change: Change::new(writes), ends_at: new_key.expires_at, new_key })
}

/// Gives a key to an integration: one that was generated here, or by its recipient.
///
/// # Errors
/// When there is no such integration, or the terms make no sense.
pub fn create_integration_key(
    integration: Option<&IntegrationRow>,
    key: &NewIntegrationKey,
    terms: &Terms,
    on: &Occasion,
) -> Result<Planned, Refused> {
    match integration {
        Some(row) if row.id == key.integration_id.as_str() => {}
        _ => return Err(Refused::NoSuchIntegration(key.integration_id.as_str().to_owned())),
    }
    let facts = Facts { key_hash: Some(key.secret_hash), ..first_facts(terms, on)? };
    let new_key = facts.validity();
    let change = Change::new(creation(key, facts).into());
    Ok(Planned { change, ends_at: new_key.expires_at, new_key })
}

/// Makes a successor for a key, which ends after a while or at once.
///
/// # Errors
/// When the key has ended, was rolled before, or was never fit for use.
pub fn roll_integration_key(
    row: &IntegrationKeyRow,
    successor: &IntegrationKeySuccessor,
    terms: &Terms,
    ending: Ending,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let hash = usable(row)?;
    let facts = facts_about(row, hash)?;
    if row.key_id == successor.key_id.as_str() {
        return Err(Refused::SameKeyId);
    }
    let (old_facts, end) = rolled(&facts, successor.key_id.as_str(), ending, on)?;
    // After the facts, which say more of a key that was revoked here.
    if row.key_status() != KeyStatus::Active {
        return Err(Refused::NotActive(row.status.clone()));
    }
    let key = NewIntegrationKey {
        integration_id: IntegrationId::parse(&row.integration_id)
            .map_err(|why| Refused::Dead(format!("the integration id: {why}")))?,
        key_id: successor.key_id.clone(),
        secret_hash: successor.secret_hash,
        // One that is too long was written past the Go tools, which could not index it.
        description: Description::parse(&row.description).unwrap_or_default(),
        tier: row.tier,
        created_at: on.at,
    };
    let new_facts = Facts {
        key_hash: Some(key.secret_hash),
        ..successor_facts(&facts, row.key_id.clone(), terms, on)?
    };
    let new_key = new_facts.validity();
    let mut writes: Vec<_> = creation(&key, new_facts).into();
    writes.push(facts_of(row, old_facts));
    if ending == Ending::Now {
        writes.push(ended(row));
    }
    Ok(Planned { change: Change::new(writes), ends_at: Some(end), new_key })
}

/// Sets the moment at which a key ends by itself, earlier or later than before.
///
/// # Errors
/// When the key has ended, the moment is past, or the record is unfit for use.
pub fn expire_integration_key(
    row: &IntegrationKeyRow,
    at: Timestamp,
    on: &Occasion,
) -> Result<Planned, Refused> {
    let hash = usable(row)?;
    let facts = expiring(&facts_about(row, hash)?, at, on)?;
    if row.key_status() != KeyStatus::Active {
        return Err(Refused::NotActive(row.status.clone()));
    }
    let ends_at = facts.expires_at;
    Ok(Planned { change: facts_of(row, facts).into(), ends_at, new_key: Validity::default() })
}

/// Ends a key for good, here and in the Go service. What is revoked already stays as it is, and
/// facts that cannot be read are no obstacle: they are replaced.
#[must_use]
pub fn revoke_integration_key(row: &IntegrationKeyRow, reason: &Remark, on: &Occasion) -> Planned {
    let mut writes = Vec::new();
    let mut at = on.at;
    if let Some(hash) = row.secret_hash() {
        let known = row.facts_in_force().cloned();
        let facts = known.unwrap_or(Facts { key_hash: Some(hash), ..Facts::default() });
        match revoked(&facts, reason, on) {
            Some(facts) => writes.push(facts_of(row, facts)),
            None => at = facts.revoked.map_or(at, |revocation| revocation.at),
        }
    }
    // A record that no reader can load opens nothing, and writing it would lose what it holds.
    // Any other status is replaced: what it says is known to whoever wrote it alone.
    if row.status != KeyStatus::REVOKED && !row.defects.iter().any(Defect::fails_readers) {
        writes.push(ended(row));
    }
    Planned { change: Change::new(writes), ends_at: Some(at), new_key: Validity::default() }
}

pub(super) fn creation(key: &NewIntegrationKey, facts: Facts) -> [Write; 2] {
    [
        Write::InsertIntegrationKey(key.clone()),
        Write::PutIntegrationKeyFacts {
            integration_id: key.integration_id.as_str().to_owned(),
            key_id: key.key_id.as_str().to_owned(),
            facts,
            instead_of: None,
        },
    ]
}

pub(super) fn facts_of(row: &IntegrationKeyRow, facts: Facts) -> Write {
    Write::PutIntegrationKeyFacts {
        integration_id: row.integration_id.clone(),
        key_id: row.key_id.clone(),
        facts,
        instead_of: row.facts.version(),
    }
}

/// The record as the Go service has to see it from now on.
fn ended(row: &IntegrationKeyRow) -> Write {
    let status = KeyStatus::REVOKED.to_owned();
    Write::ReplaceIntegrationKey(IntegrationKeyRow { status, ..row.clone() })
}

/// The hash of a key whose record can be read by everybody.
pub(super) fn usable(row: &IntegrationKeyRow) -> Result<SecretHash, Refused> {
    if let Some(defect) = row.defects.iter().find(|defect| defect.fails_readers()) {
        return Err(Refused::Dead(defect.to_string()));
    }
    row.secret_hash().ok_or_else(|| Refused::Dead("its hash is none that a secret has".to_owned()))
}

/// What is known about the secret that the record holds now.
pub(super) fn facts_about(row: &IntegrationKeyRow, hash: SecretHash) -> Result<Facts, Refused> {
    let known = readable(&row.facts)?.filter(|facts| facts.are_about(Some(hash)));
    Ok(known.cloned().unwrap_or(Facts { key_hash: Some(hash), ..Facts::default() }))
}
