//! The real router over a store that holds one key and says of every other that there is none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use secrecy::ExposeSecret as _;
use token_exchange::api_key::{IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::environment::System;
use token_exchange::exchange::Exchange;
use token_exchange::http::{self, Canonical};
use token_exchange::http::server::{Drain, Schedule};
use token_exchange::key_store::{
    Answer, Holder, IntegrationKey, KeyStatus, KeyStore, OrganizationKey, Reading, Recency,
    Unavailable, Validity,
};
use token_exchange::signer::{KeyFile, Signer};
use token_exchange::telemetry::audit::Audit;
use token_exchange::telemetry::metrics::Metrics;
use token_exchange::telemetry::traces::Traces;

/// The integration's key that the store holds; its organization's key is `known`.
pub const KNOWN: &str = "mlabk.cii_acme.ki_1.secret";

/// Remembers which keys of organizations it was asked for, as they came out of the request.
#[derive(Default)]
pub struct Store {
    asked: Mutex<Vec<String>>,
}

impl Store {
    /// What it was asked for since the last time.
    pub fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait]
impl KeyStore for Store {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let known = IntegrationApiKey::parse(&KNOWN.into()).unwrap();
        if (integration_id, key_id) != (known.integration_id(), known.key_id()) {
            return Ok(Answer::Absent.into());
        }
        Ok(Answer::Found(IntegrationKey {
            secret_hash: Some(known.secret_hash()),
            status: KeyStatus::Active,
            tier: 0,
            validity: Validity::default(),
        })
        .into())
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        let key = key.reveal().expose_secret();
        self.asked.lock().unwrap().push(key.to_owned());
        if key != "known" {
            return Ok(Answer::Absent.into());
        }
        let holder = Holder::Organization("acme".into());
        Ok(Answer::Found(OrganizationKey { holder, validity: Validity::default() }).into())
    }
}

/// The service port, without a port.
pub fn router(store: Arc<Store>) -> Canonical<Router> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/keys/ec.jwk");
    let key_file = Arc::new(KeyFile::at(path));
    let clock = Arc::new(System);
    let signer = Signer::start(key_file, Duration::from_secs(30), clock.clone()).unwrap();
    let signer = Arc::new(signer);
    let exchange = Exchange::new(store, signer.clone(), clock.clone(), clock);
    let drain = Drain::new(Schedule::PRODUCTION);
    http::service(&exchange, signer, &Metrics::new().unwrap(), &drain, &Audit::default(), &Traces::off()).unwrap()
}
