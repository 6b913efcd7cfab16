//! Tokens for organizations that register nodes.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Refusal, Subject, TokenFamily, check_validity};
use crate::api_key::{MalformedKey, OrganizationApiKey};
use crate::claims::{Claim, ClaimValue, NoClaims};
use crate::key_store::{Holder, KeyStore, OrganizationKey, Reading, Recency, Unavailable};

/// `POST /v0/token/autojoin`.
pub struct Autojoin;

impl TokenFamily for Autojoin {
    const NAME: &'static str = "autojoin";
    const LIFETIME_SECONDS: u64 = 3600;

    type ApiKey = OrganizationApiKey;
    type Record = OrganizationKey;

    fn parse(presented: SecretString) -> Result<OrganizationApiKey, MalformedKey> {
        OrganizationApiKey::parse(presented)
    }

    fn subject_of(key: &OrganizationApiKey, record: Option<&OrganizationKey>) -> Subject {
        let organization = match record.map(|record| &record.holder) {
            Some(Holder::Organization(name)) => Some(Arc::clone(name)),
            Some(Holder::Numbered) | None => None,
        };
        Subject::OrganizationKey { hash: key.hash(), organization }
    }

    async fn find(
        store: &dyn KeyStore,
        key: &OrganizationApiKey,
        recency: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        store.organization_key(key, recency).await
    }

    fn check(
        _: &OrganizationApiKey,
        record: &OrganizationKey,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // The record was found by the key itself, so finding it is the proof of the secret.
        check_validity(record.validity, now)
    }

    fn own_claims<'a>(
        _: &'a OrganizationApiKey,
        record: &'a OrganizationKey,
        claims: &mut impl Extend<Claim<'a>>,
    ) -> Result<(), NoClaims> {
        match &record.holder {
            Holder::Organization(name) => {
                claims.extend([("org", ClaimValue::Text(name))]);
                Ok(())
            }
            Holder::Numbered => Err(NoClaims::NumberedOrganization),
        }
    }
}
