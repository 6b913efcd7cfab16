//! What a store says, and no more than that: tests of engines have no use for what it rests on.

use async_trait::async_trait;
use token_exchange::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::key_store::{
    Answer, IntegrationKey, KeyStore, OrganizationKey, Recency, Unavailable,
};

#[async_trait]
pub trait Ask: KeyStore {
    async fn look_up(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Answer<IntegrationKey>, Unavailable> {
        Ok(self.integration_key(integration_id, key_id, Recency::Current).await?.answer)
    }

    async fn find(&self, key: &OrganizationApiKey) -> Result<Answer<OrganizationKey>, Unavailable> {
        Ok(self.organization_key(key, Recency::Current).await?.answer)
    }
}

impl<S: KeyStore + ?Sized> Ask for S {}
