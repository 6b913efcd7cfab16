//! A cache around a store in memory that does as it is told, under a clock that the test moves.

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use token_exchange::api_key::{IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::key_store::cached::{CacheLimits, Cached};
use token_exchange::key_store::{
    Answer, Holder, IntegrationKey, KeyStatus, KeyStore, OrganizationKey, Reading, Recency, Source,
    Unavailable, UnavailableKind, Validity,
};
use tokio::time::Instant;

use crate::support::clock::RuntimeClock;

/// What a store does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Answers,
    Fails(UnavailableKind),
    Hangs,
    Panics,
}

/// Keys by their ids or their texts; whatever is not in it is absent.
#[derive(Default)]
pub struct TestStore {
    inner: Mutex<Inner>,
    reads: AtomicUsize,
}

struct Inner {
    integration_keys: HashMap<(String, String), Answer<IntegrationKey>>,
    organization_keys: HashMap<String, Answer<OrganizationKey>>,
    mood: Mood,
    /// Between the looking and the answer.
    delay: Duration,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            integration_keys: HashMap::new(),
            organization_keys: HashMap::new(),
            mood: Mood::Answers,
            delay: Duration::ZERO,
        }
    }
}

impl TestStore {
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    pub fn is_now(&self, mood: Mood) {
        self.inner.lock().unwrap().mood = mood;
    }

    pub fn takes(&self, delay: Duration) {
        self.inner.lock().unwrap().delay = delay;
    }

    /// What it says of `ki_<name>` of the integration of this name from now on.
    pub fn holds(&self, name: &str, answer: Answer<IntegrationKey>) {
        let name = (name.to_owned(), format!("ki_{name}"));
        self.inner.lock().unwrap().integration_keys.insert(name, answer);
    }

    pub fn holds_organization_key(&self, key: &OrganizationApiKey, holder: &str) {
        let record = OrganizationKey {
            holder: Holder::Organization(holder.into()),
            validity: Validity::default(),
        };
        let key = key.reveal().expose_secret().to_owned();
        self.inner.lock().unwrap().organization_keys.insert(key, Answer::Found(record));
    }

    pub fn forget(&self, name: &str) {
        let name = (name.to_owned(), format!("ki_{name}"));
        self.inner.lock().unwrap().integration_keys.remove(&name);
    }

    pub fn forget_organization_key(&self, key: &OrganizationApiKey) {
        let key = key.reveal().expose_secret();
        self.inner.lock().unwrap().organization_keys.remove(key);
    }

    async fn answer<T>(
        &self,
        look: impl FnOnce(&Inner) -> Answer<T>,
    ) -> Result<Reading<T>, Unavailable> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let (answer, mood, delay) = {
            let inner = self.inner.lock().unwrap();
            (look(&inner), inner.mood, inner.delay)
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        match mood {
            Mood::Answers => Ok(answer.into()),
            Mood::Fails(kind) => Err(Unavailable::new(kind, "made up")),
            Mood::Hangs => pending().await,
            Mood::Panics => panic!("a defect"),
        }
    }
}

#[async_trait]
impl KeyStore for TestStore {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let name = (integration_id.as_str().to_owned(), key_id.as_str().to_owned());
        self.answer(|inner| inner.integration_keys.get(&name).cloned().unwrap_or(Answer::Absent))
            .await
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        let key = key.reveal().expose_secret();
        self.answer(|inner| inner.organization_keys.get(key).cloned().unwrap_or(Answer::Absent))
            .await
    }
}

/// A record that is right for the secret of this text.
pub fn record(secret: &str) -> Answer<IntegrationKey> {
    Answer::Found(IntegrationKey {
        secret_hash: Some(api_key("any", secret).secret_hash()),
        status: KeyStatus::Active,
        tier: 0,
        validity: Validity::default(),
    })
}

/// The same, by a record that says of the tier which one it is.
pub fn record_of_tier(tier: i64) -> Answer<IntegrationKey> {
    match record("secret") {
        Answer::Found(record) => Answer::Found(IntegrationKey { tier, ..record }),
        other => other,
    }
}

pub fn revoked() -> Answer<IntegrationKey> {
    match record("secret") {
        Answer::Found(record) => Answer::Found(IntegrationKey {
            validity: Validity { is_revoked: true, ..Validity::default() },
            ..record
        }),
        other => other,
    }
}

/// `ki_<name>` of the integration of this name.
pub fn api_key(name: &str, secret: &str) -> IntegrationApiKey {
    IntegrationApiKey::parse(&written(name, secret)).unwrap()
}

pub fn written(name: &str, secret: &str) -> SecretString {
    SecretString::from(format!("mlabk.cii_{name}.ki_{name}.{secret}"))
}

/// What came of a question: what the answer rests on, or why there is none.
pub type Rests = Result<Source, UnavailableKind>;

pub struct World {
    pub store: Arc<TestStore>,
    pub clock: Arc<RuntimeClock>,
    pub cache: Arc<Cached>,
}

impl World {
    /// With the limits of `serve`. Has to be made inside a runtime.
    pub fn new() -> Self {
        Self::with(CacheLimits::DEFAULT)
    }

    pub fn with(limits: CacheLimits) -> Self {
        let (store, clock) = (Arc::<TestStore>::default(), Arc::new(RuntimeClock::start()));
        let cache = Arc::new(Cached::new(store.clone(), limits, clock.clone()));
        Self { store, clock, cache }
    }

    /// The reads that have ended, by what became of them; what did not happen is left out.
    pub fn reads_ended(&self) -> Vec<(&'static str, u64)> {
        let reads = self.cache.figures().reads();
        let counted = reads.map(|(outcome, durations)| (outcome, durations.count));
        counted.filter(|(_, count)| *count > 0).collect()
    }

    pub async fn reading(
        &self,
        name: &str,
        recency: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let id = IntegrationId::parse(name).unwrap();
        let key_id = KeyId::parse(&format!("ki_{name}")).unwrap();
        self.cache.integration_key(&id, &key_id, recency).await
    }

    /// Asks for a key, any answer will do; what it rests on.
    pub async fn ask(&self, name: &str) -> Rests {
        self.asked(name, Recency::Remembered).await
    }

    /// Asks for a current answer.
    pub async fn ask_current(&self, name: &str) -> Rests {
        self.asked(name, Recency::Current).await
    }

    async fn asked(&self, name: &str, recency: Recency) -> Rests {
        match self.reading(name, recency).await {
            Ok(reading) => Ok(reading.source),
            Err(why) => Err(why.kind),
        }
    }

    /// Asks, and tells how long that took.
    pub async fn ask_timed(&self, name: &str) -> (Rests, Duration) {
        let asked = Instant::now();
        let rests = self.ask(name).await;
        (rests, asked.elapsed())
    }

    /// Lets time go by, of a runtime whose timers are stopped; what ends meanwhile has ended then.
    pub async fn pass(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        self.settle().await;
    }

    /// Lets what was begun come to its end, if that takes no time.
    pub async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}
