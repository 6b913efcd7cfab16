//! The only place that makes a [`VerifiedKey`]: nobody can state claims for a key that was not
//! verified, because the types leave no way to it. No other file may reach these fields.

use super::{Refusal, TokenFamily};
use crate::claims::{Claim, NoClaims};

/// A key that was presented, found and verified, together with its record.
pub struct VerifiedKey<F: TokenFamily> {
    key: F::ApiKey,
    record: F::Record,
}

/// Verifies a key against its record.
pub(super) fn verify<F: TokenFamily>(
    key: F::ApiKey,
    record: F::Record,
) -> Result<VerifiedKey<F>, Refusal> {
    F::check(&key, &record)?;
    Ok(VerifiedKey { key, record })
}

impl<F: TokenFamily> VerifiedKey<F> {
    pub(crate) fn add_own_claims<'a>(
        &'a self,
        claims: &mut Vec<Claim<'a>>,
    ) -> Result<(), NoClaims> {
        F::own_claims(&self.key, &self.record, claims)
    }
}
