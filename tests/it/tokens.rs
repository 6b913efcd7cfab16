//! Tokens come out byte for byte as the Go service signed them, for the same key, time and `jti`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use token_exchange::api_key::{IntegrationApiKey, OrganizationApiKey, OrganizationName};
use token_exchange::environment::{Clock, Moment, Random, System, UnixSeconds};
use token_exchange::exchange::{Autojoin, Exchange, Integration, Report};
use token_exchange::key_store::sqlite::SqliteStore;
use token_exchange::key_store::{
    Description, KeyAdmin, NewIntegration, NewIntegrationKey, NewOrganization, NewOrganizationKey,
    RecordName, WriteError,
};
use token_exchange::signer::{KeyFile, Signer};
use uuid::Uuid;

use crate::support::clock::moment_at;
use crate::support::golden;

#[derive(Deserialize)]
struct Recorded {
    family: String,
    api_key: String,
    iat: UnixSeconds,
    jti: String,
    token: String,
}

#[tokio::test]
async fn the_same_key_time_and_jti_give_the_token_of_the_go_service() {
    let recorded: Vec<Recorded> = serde_json::from_str(&golden::text("tokens.json")).unwrap();
    assert!(recorded.len() >= 9, "the recording has {} tokens", recorded.len());
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("keys.db")).unwrap());
    let key_file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signing-key.jwk");
    let key_file = Arc::new(KeyFile::at(key_file));
    let signer = Signer::start(key_file, Duration::from_secs(30), Arc::new(System)).unwrap();
    let signer = Arc::new(signer);

    for Recorded { family, api_key, iat, jti, token } in recorded {
        let exchange = Exchange::new(
            store.clone(),
            signer.clone(),
            Arc::new(At(iat)),
            Arc::new(Always(jti.parse().unwrap())),
        );
        let presented = SecretString::from(api_key);
        let made = if family == "integration" {
            store_integration_key(&*store, &presented, &token).await;
            exchange.exchange::<Integration>(presented, &mut Report::default()).await
        } else {
            store_organization_key(&*store, &presented, &token).await;
            exchange.exchange::<Autojoin>(presented, &mut Report::default()).await
        };
        assert_eq!(made.unwrap().reveal().expose_secret(), token);
    }
}

async fn store_integration_key(store: &dyn KeyAdmin, presented: &SecretString, token: &str) {
    let key = IntegrationApiKey::parse(presented).unwrap();
    let tier = payload(token)["tier"].as_i64().unwrap();
    let record = NewIntegrationKey::of(&key, Description::default(), tier, Timestamp::UNIX_EPOCH);
    let integration = NewIntegration {
        id: key.integration_id().clone(),
        description: Description::default(),
        created_at: Timestamp::UNIX_EPOCH,
    };
    match store.create_integration(&integration, &record).await {
        Err(WriteError::Exists(RecordName::Integration(_))) => {
            store.create_integration_key(&record).await
        }
        outcome => outcome,
    }
    .unwrap();
}

async fn store_organization_key(store: &dyn KeyAdmin, presented: &SecretString, token: &str) {
    let name = OrganizationName::parse(payload(token)["org"].as_str().unwrap()).unwrap();
    let organization = NewOrganization {
        name: name.clone(),
        email: String::new(),
        probability_multiplier: 1.0,
        created_at: Timestamp::UNIX_EPOCH,
    };
    match store.create_organization(&organization).await {
        Ok(()) | Err(WriteError::Exists(RecordName::Organization(_))) => {}
        Err(error) => panic!("{error}"),
    }
    let key = OrganizationApiKey::parse(presented.clone()).unwrap();
    let record = NewOrganizationKey { organization: name, key, created_at: Timestamp::UNIX_EPOCH };
    store.create_organization_key(&record).await.unwrap();
}

fn payload(token: &str) -> serde_json::Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    serde_json::from_slice(&json).unwrap()
}

struct At(UnixSeconds);

impl Clock for At {
    fn moment(&self) -> Moment {
        moment_at(self.0)
    }
}

struct Always(Uuid);

impl Random for Always {
    fn fill(&self, bytes: &mut [u8]) -> std::io::Result<()> {
        bytes.copy_from_slice(self.0.as_bytes());
        Ok(())
    }
}
