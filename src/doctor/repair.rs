//! Repairs as changes, worked out from what stands in the store by now: somebody may have been
//! faster, and then nothing is left to do.

use crate::key_life::{Occasion, Remark, revoke_integration_key, revoke_organization_key};
use crate::key_store::{
    Change, Facts, IntegrationKeyRow, OrganizationKeyRow, OrganizationRow, Verdict, Write,
};

/// Ends a key that is over here where the Go service looks, too.
#[must_use]
pub fn end_integration_key(row: &IntegrationKeyRow, on: &Occasion) -> Change {
    match reason(row.facts_in_force(), on) {
        Some(reason) => revoke_integration_key(row, &reason, on).change,
        None => Change::default(),
    }
}

/// Ends a key that is over here where autojoin looks, too; the rows are all of the credential.
#[must_use]
pub fn end_organization_key(rows: &[OrganizationKeyRow], on: &Occasion) -> Change {
    let facts = rows.first().and_then(|row| row.facts.readable()).map(|stored| &stored.facts);
    reason(facts, on)
        .and_then(|reason| revoke_organization_key(rows, &reason, on).ok())
        .map(|planned| planned.change)
        .unwrap_or_default()
}

/// Writes an organization as the Go tools write it: its name filled in, its multiplier a float.
#[must_use]
pub fn rewrite_organization(row: OrganizationRow) -> Change {
    if row.defects.is_empty() {
        return Change::default();
    }
    Write::ReplaceOrganization(row).into()
}

/// Why a key is ended elsewhere; `None` when it is not over after all.
fn reason(facts: Option<&Facts>, on: &Occasion) -> Option<Remark> {
    let facts = facts?;
    match (facts.judge(on.at), facts.expires_at) {
        (Verdict::Revoked, _) => Remark::parse("revoked before"),
        (Verdict::Expired, Some(end)) => Remark::parse(&format!("expired at {end}")),
        _ => None,
    }
}
