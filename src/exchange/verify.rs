//! The only place that makes a [`VerifiedKey`]: nobody can state claims for a key that was not
//! verified, because the types leave no way to it. No other file may reach these fields.

use jiff::Timestamp;

use super::{Refusal, TokenFamily};
use crate::claims::{Claim, NoClaims};

/// A key that was presented, found and verified, together with its record.
///
/// Nobody else can make one, so nobody can have claims signed for a key that was not verified:
///
/// ```compile_fail,E0451
/// use token_exchange::exchange::{Integration, VerifiedKey};
///
/// fn forge(
///     key: &token_exchange::api_key::IntegrationApiKey,
///     record: token_exchange::key_store::IntegrationKey,
/// ) -> VerifiedKey<'_, Integration> {
///     VerifiedKey { key, record }
/// }
/// ```
pub struct VerifiedKey<'k, F: TokenFamily> {
    key: &'k F::ApiKey,
    record: F::Record,
}

/// Verifies a key against its record, as of now.
pub(super) fn verify<F: TokenFamily>(
    key: &F::ApiKey,
    record: F::Record,
    now: Timestamp,
) -> Result<VerifiedKey<'_, F>, Refusal> {
    F::check(key, &record, now)?;
    Ok(VerifiedKey { key, record })
}

impl<F: TokenFamily> VerifiedKey<'_, F> {
    pub(crate) fn add_own_claims<'a>(
        &'a self,
        claims: &mut impl Extend<Claim<'a>>,
    ) -> Result<(), NoClaims> {
        F::own_claims(self.key, &self.record, claims)
    }
}
