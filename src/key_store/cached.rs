//! A key store around a key store: it remembers answers, asks one question at a time for each key,
//! and goes on while the store does not answer.
//!
//! It knows ages and nothing of verdicts: what a reading may be used for, its source says, and the
//! exchange decides. What is remembered is found by digests and holds the hashes that the store
//! holds, never a secret. The rules are in `rules`, pure; what is remembered in `memory`; a read
//! under way in `flight`; how many there may be in `places`.

mod failure_log;
mod figures;
mod flight;
mod keys;
mod memory;
mod places;
mod rules;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use self::failure_log::FailureLog;
pub use self::figures::Figures;
use self::keys::Keys;
use self::memory::{Memory, Name};
use self::places::Places;
use self::rules::Rules;
use super::{
    IntegrationKey, KeyStore, OrganizationKey, Reading, Recency, Source, Unavailable,
    UnavailableKind,
};
use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use crate::environment::Clock;

/// How long an answer is remembered, counted from the moment at which the store was asked, and how
/// many are. Zero turns a part off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// Below this age nobody asks the store.
    pub fresh: Duration,
    /// Below this age an answer is served while the store is asked again; from it on, the store is
    /// asked first.
    pub max_age: Duration,
    /// Below this age a key is let in while the store does not answer.
    pub stale_if_error: Duration,
    /// Keys that are remembered, of whichever family. Zero remembers nothing at all.
    pub capacity: usize,
    /// Callers that wait for the store for as long as it takes, at a time. Each holds one of the
    /// exchanges that there may be at once, and the others are left to keys that are remembered.
    pub callers: usize,
}

impl CacheLimits {
    /// Those of `serve` without flags.
    pub const DEFAULT: Self = Self {
        fresh: Duration::from_secs(10),
        max_age: Duration::from_secs(30),
        stale_if_error: Duration::from_mins(10),
        capacity: 100_000,
        callers: 1024,
    };
}

/// A store with a memory.
pub struct Cached {
    store: Arc<dyn KeyStore>,
    common: Arc<Common>,
    integration_keys: Keys<IntegrationKey>,
    organization_keys: Keys<OrganizationKey>,
}

/// What the token families have in common.
struct Common {
    rules: Rules,
    memory: Memory,
    clock: Arc<dyn Clock>,
    places: Places,
    figures: Figures,
    failure_log: FailureLog,
}

impl Cached {
    /// Puts a memory before a store. Questions have to be asked inside a Tokio runtime.
    #[must_use]
    pub fn new(store: Arc<dyn KeyStore>, limits: CacheLimits, clock: Arc<dyn Clock>) -> Self {
        let common = Arc::new(Common {
            rules: Rules::of(limits),
            memory: Memory::new(limits.capacity),
            clock,
            places: Places::new(limits.callers),
            figures: Figures::default(),
            failure_log: FailureLog::default(),
        });
        Self {
            store,
            integration_keys: Keys::new(Arc::clone(&common)),
            organization_keys: Keys::new(Arc::clone(&common)),
            common,
        }
    }

    /// What it has done so far.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.common.figures
    }

    /// How many keys are remembered, those that there are and those that there are not.
    #[must_use]
    pub fn entries(&self) -> Entries {
        self.common.memory.entries()
    }
}

/// How much is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entries {
    pub keys: usize,
    pub absences: usize,
}

#[async_trait]
impl KeyStore for Cached {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        recency: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let name = Name::of_integration_key(integration_id, key_id);
        let read = || {
            let store = Arc::clone(&self.store);
            let (integration_id, key_id) = (integration_id.clone(), key_id.clone());
            async move { store.integration_key(&integration_id, &key_id, Recency::Current).await }
        };
        self.integration_keys.reading(name, recency, read).await
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        recency: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        let read = || {
            let (store, key) = (Arc::clone(&self.store), key.clone());
            async move { store.organization_key(&key, Recency::Current).await }
        };
        self.organization_keys.reading(Name::of_organization_key(key), recency, read).await
    }
}
