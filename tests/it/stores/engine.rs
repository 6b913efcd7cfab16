//! The engines that the suites are mounted on, and a way to put records into them past our writer.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::{Connection, params};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use token_exchange::api_key::{
    IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey, OrganizationName, SecretHash,
};
use token_exchange::environment::System;
use token_exchange::key_store::datastore::{DatastoreConfig, DatastoreStore, Place};
use token_exchange::key_store::sqlite::SqliteStore;
use token_exchange::key_store::{
    Description, KeyAdmin, NewIntegration, NewIntegrationKey, NewOrganization, NewOrganizationKey,
};

use crate::support::emulator::{self, Emulator};

pub const PLATFORM: &str = "platform-credentials";
pub const INTEGRATION: &str = "client-integration";

/// A place for records of its own.
pub trait Engine: Sync {
    /// A store on these records that shares nothing with any other one, as in another process.
    fn store(&self) -> Arc<dyn KeyAdmin>;

    /// Puts in a key of an integration as some other tool might have left it.
    fn plant(&self, key: &Planted<'_>);

    /// Makes the `expires_at` of facts that are there into something that is no time.
    fn spoil_facts(&self, integration: &str, key_id: &str, organization_key: SecretHash);

    /// How often two operators get into each other's way.
    fn rounds(&self) -> usize;
}

/// What every engine can hold of a key of an integration.
pub struct Planted<'a> {
    pub integration: &'a str,
    pub key_id: &'a str,
    pub hash: &'a str,
    pub status: &'a str,
    pub tier: i64,
}

pub struct Sqlite {
    folder: TempDir,
}

#[expect(clippy::unnecessary_wraps, reason = "the other engines may have to be skipped")]
pub fn sqlite() -> Option<Sqlite> {
    Some(Sqlite { folder: tempfile::tempdir().unwrap() })
}

impl Sqlite {
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("keys.db")
    }

    pub fn connection(&self) -> Connection {
        drop(self.store());
        Connection::open(self.path()).unwrap()
    }
}

impl Engine for Sqlite {
    fn store(&self) -> Arc<dyn KeyAdmin> {
        Arc::new(SqliteStore::open(&self.path()).unwrap())
    }

    fn plant(&self, key: &Planted<'_>) {
        let connection = self.connection();
        connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        connection
            .execute(
                "INSERT INTO integrations VALUES (?1, '', 0) ON CONFLICT DO NOTHING",
                [key.integration],
            )
            .unwrap();
        connection
            .execute(
                "INSERT INTO integration_keys VALUES (?1, ?2, ?3, ?4, ?5, '', 0)",
                params![key.integration, key.key_id, key.hash, key.status, key.tier],
            )
            .unwrap();
    }

    fn spoil_facts(&self, integration: &str, key_id: &str, organization_key: SecretHash) {
        let connection = self.connection();
        let spoilt = "SET expires_at = 9223372036854775807";
        connection
            .execute(
                &format!(
                    "UPDATE integration_key_facts {spoilt} WHERE integration_id = ?1 AND key_id = ?2"
                ),
                [integration, key_id],
            )
            .unwrap();
        connection
            .execute(
                &format!("UPDATE organization_key_facts {spoilt} WHERE key_hash = ?1"),
                [organization_key.as_bytes()],
            )
            .unwrap();
    }

    fn rounds(&self) -> usize {
        200
    }
}

/// A project of its own on a shared emulator.
pub struct Datastore {
    pub emulator: &'static Emulator,
    pub project: String,
}

pub fn firestore() -> Option<Datastore> {
    emulator::firestore().map(Datastore::on)
}

pub fn datastore() -> Option<Datastore> {
    emulator::datastore().map(Datastore::on)
}

impl Datastore {
    fn on(emulator: &'static Emulator) -> Self {
        Self { emulator, project: emulator::unique_project() }
    }

    /// Writes one entity: a namespace, the path of its key, its properties in the REST form.
    pub fn put(&self, namespace: &str, path: &Value, properties: &Value) {
        let entity = json!({
            "key": {
                "partitionId": { "projectId": self.project, "namespaceId": namespace },
                "path": path,
            },
            "properties": properties,
        });
        self.emulator.load(&self.project, [&entity]);
    }
}

impl Engine for Datastore {
    fn store(&self) -> Arc<dyn KeyAdmin> {
        Arc::new(connect(self.emulator.host(), &self.project))
    }

    fn plant(&self, key: &Planted<'_>) {
        self.put(
            INTEGRATION,
            &json!([
                { "kind": "IntegrationMeta", "name": key.integration },
                { "kind": "IntegrationAPIKey", "name": key.key_id },
            ]),
            &json!({
                "key_hash": { "stringValue": key.hash },
                "created_at": { "timestampValue": "2026-11-22T06:00:00Z" },
                "description": { "stringValue": "" },
                "status": { "stringValue": key.status },
                "tier": { "integerValue": key.tier.to_string() },
            }),
        );
    }

    fn spoil_facts(&self, integration: &str, key_id: &str, organization_key: SecretHash) {
        let spoilt = json!({ "expires_at": { "stringValue": "tomorrow" } });
        self.put(
            INTEGRATION,
            &json!([
                { "kind": "IntegrationMeta", "name": integration },
                { "kind": "IntegrationKeyFacts", "name": key_id },
            ]),
            &spoilt,
        );
        let path = json!([{ "kind": "APIKeyFacts", "name": organization_key.to_hex() }]);
        self.put(PLATFORM, &path, &spoilt);
    }

    fn rounds(&self) -> usize {
        20
    }
}

/// A store that speaks to some address as to an emulator.
pub fn connect(address: &str, project: &str) -> DatastoreStore {
    let config = DatastoreConfig {
        project_id: project.to_owned(),
        platform_namespace: PLATFORM.to_owned(),
        integration_namespace: INTEGRATION.to_owned(),
        place: Place::Emulator { host: address.to_owned() },
    };
    DatastoreStore::connect(config, Arc::new(System)).unwrap()
}

pub fn integration_id(id: &str) -> IntegrationId {
    IntegrationId::parse(id).unwrap()
}

pub fn key_id(id: &str) -> KeyId {
    KeyId::parse(id).unwrap()
}

pub fn organization_key(key: &str) -> OrganizationApiKey {
    OrganizationApiKey::parse(SecretString::from(key)).unwrap()
}

pub fn new_integration(id: &str) -> NewIntegration {
    NewIntegration {
        id: integration_id(id),
        description: Description::parse("Measures things").unwrap(),
        created_at: "2026-11-22T06:37:18.484949Z".parse().unwrap(),
    }
}

/// A key with a fresh secret.
pub fn new_key(integration: &str, id: &str) -> NewIntegrationKey {
    let key =
        IntegrationApiKey::generate(integration_id(integration), key_id(id), &System).unwrap();
    let created_at = "2026-11-22T06:37:18.467067Z".parse().unwrap();
    NewIntegrationKey::of(&key, Description::parse("Initial API key").unwrap(), 7, created_at)
}

pub fn new_organization(name: &str) -> NewOrganization {
    NewOrganization {
        name: OrganizationName::parse(name).unwrap(),
        email: "ops@example.org".to_owned(),
        probability_multiplier: 1.0,
        created_at: "2026-11-22T06:37:18.589694Z".parse().unwrap(),
    }
}

pub fn new_organization_key(organization: &str, key: &str) -> NewOrganizationKey {
    NewOrganizationKey {
        organization: OrganizationName::parse(organization).unwrap(),
        key: organization_key(key),
        created_at: "2026-11-22T06:37:18.609851Z".parse().unwrap(),
    }
}

/// The hash of some secret.
pub const HASH: &str = "67b3c2ef810b2360ec2beb22b59e0a2681a1bd100ff9e1298a93e8bac8baa156";

/// The properties of an integration's key, as the emulators' REST takes them.
pub fn whole_key() -> Value {
    json!({
        "key_hash": { "stringValue": HASH },
        "created_at": { "timestampValue": "2026-11-22T06:00:00Z" },
        "description": { "stringValue": "" },
        "status": { "stringValue": "active" },
        "tier": { "integerValue": "1" },
    })
}

/// One element of an entity's path.
pub fn element(kind: &str, name: &str) -> Value {
    json!({ "kind": kind, "name": name })
}
