//! The core of the service in this process, with one key that is remembered.
//!
//! With a queue that has no place, an exchange goes all the way from the key to the claims and ends
//! there: nothing of a signature is measured with it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use secrecy::SecretString;
use token_exchange::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::environment::{Clock, Moment, System};
use token_exchange::exchange::{Exchange, Integration, NoToken, Report};
use token_exchange::key_store::cached::{CacheLimits, Cached};
use token_exchange::key_store::{
    Answer, IntegrationKey, KeyStatus, KeyStore, OrganizationKey, Reading, Recency, Unavailable,
    Validity,
};
use token_exchange::signer::{KeyFile, Signer, SigningLimits, Token};

pub const API_KEY: &str = "mlabk.cii_measured-integration.ki_0123456789abcdef\
    .Wc6y1uQ0b7ZrJ2o5T9sXvKqLmNpEfGhA3dBiCjUkYtM";

pub struct Core {
    pub exchange: Exchange,
    pub signer: Arc<Signer>,
    pub store: Arc<Cached>,
}

impl Core {
    /// With room for so many signatures that wait, made by a key of `tests/golden`.
    pub fn with_queue(queue: usize, key_file: &str) -> Self {
        let clock = Arc::new(Std(Instant::now()));
        let path = format!("{}/tests/golden/{key_file}", env!("CARGO_MANIFEST_DIR"));
        let source = Arc::new(KeyFile::at(path));
        let hour = Duration::from_hours(1);
        let threads = std::num::NonZeroUsize::new(1);
        let limits = SigningLimits { threads, queue, ..SigningLimits::default() };
        let signer = Signer::start_within(limits, source, hour, clock.clone()).unwrap();
        let signer = Arc::new(signer);
        let ages = CacheLimits {
            fresh: hour,
            max_age: hour,
            stale_if_error: hour,
            ..CacheLimits::DEFAULT
        };
        let store = Arc::new(Cached::new(Arc::new(OneKey), ages, clock.clone()));
        let exchange = Exchange::new(store.clone(), Arc::clone(&signer), clock, Arc::new(System));
        Self { exchange, signer, store }
    }

    pub async fn exchange(&self) -> Result<Token, NoToken> {
        let presented = SecretString::from(API_KEY);
        self.exchange.exchange::<Integration>(presented, &mut Report::default()).await
    }
}

/// The system's clocks by the standard library: those of `System` are read by a way that valgrind
/// does not know.
struct Std(Instant);

impl Clock for Std {
    fn moment(&self) -> Moment {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Moment { since_boot: self.0.elapsed(), since_epoch }
    }
}

/// Holds [`API_KEY`], whatever it is asked for.
struct OneKey;

#[async_trait]
impl KeyStore for OneKey {
    async fn integration_key(
        &self,
        _: &IntegrationId,
        _: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        Ok(Reading::from(Answer::Found(IntegrationKey {
            secret_hash: Some(parsed().secret_hash()),
            status: KeyStatus::Active,
            tier: 1,
            validity: Validity::default(),
        })))
    }

    async fn organization_key(
        &self,
        _: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        Ok(Reading::from(Answer::Absent))
    }
}

pub fn parsed() -> token_exchange::api_key::IntegrationApiKey {
    token_exchange::api_key::IntegrationApiKey::parse(&SecretString::from(API_KEY)).unwrap()
}
