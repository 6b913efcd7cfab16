//! Tokens for client integrations: short-lived, one per use.

use jiff::Timestamp;
use secrecy::SecretString;

use super::{Refusal, Subject, TokenFamily, check_validity};
use crate::api_key::{IntegrationApiKey, MalformedKey};
use crate::claims::{Claim, ClaimValue, NoClaims};
use crate::key_store::{IntegrationKey, KeyStatus, KeyStore, Reading, Recency, Unavailable};

/// `POST /v0/token/integration`.
pub struct Integration;

impl TokenFamily for Integration {
    const NAME: &'static str = "integration";
    const LIFETIME_SECONDS: u64 = 20;

    type ApiKey = IntegrationApiKey;
    type Record = IntegrationKey;

    fn parse(presented: SecretString) -> Result<IntegrationApiKey, MalformedKey> {
        IntegrationApiKey::parse(&presented)
    }

    fn subject_of(key: &IntegrationApiKey, _: Option<&IntegrationKey>) -> Subject {
        Subject::IntegrationKey {
            integration: key.integration_id().clone(),
            key: key.key_id().clone(),
        }
    }

    async fn find(
        store: &dyn KeyStore,
        key: &IntegrationApiKey,
        recency: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        store.integration_key(key.integration_id(), key.key_id(), recency).await
    }

    fn check(
        key: &IntegrationApiKey,
        record: &IntegrationKey,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        // The secret comes first: who does not know it learns nothing of the status, not even by
        // the operator's log of refusals.
        if record.secret_hash != Some(key.secret_hash()) {
            return Err(Refusal::WrongSecret);
        }
        // Then the facts, which say more than the status; the stricter of the two wins.
        check_validity(record.validity, now)?;
        match record.status {
            KeyStatus::Active => Ok(()),
            KeyStatus::Inactive => Err(Refusal::NotActive),
        }
    }

    fn own_claims<'a>(
        key: &'a IntegrationApiKey,
        record: &'a IntegrationKey,
        claims: &mut impl Extend<Claim<'a>>,
    ) -> Result<(), NoClaims> {
        claims.extend([
            ("int_id", ClaimValue::Text(key.integration_id().as_str())),
            ("key_id", ClaimValue::Text(key.key_id().as_str())),
            ("tier", ClaimValue::Integer(record.tier)),
        ]);
        Ok(())
    }
}
