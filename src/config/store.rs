//! Which store, and how to open it. A third store is one more arm here.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

use super::{ConfigError, Platform};
use crate::key_store::KeyAdmin;
use crate::key_store::datastore::{DatastoreConfig, DatastoreStore};
use crate::key_store::sqlite::SqliteStore;

/// The flags that every command has that works on a store.
#[derive(Debug, Clone, Args)]
pub struct StoreFlags {
    /// Where the keys are: datastore, or sqlite:PATH [default: datastore]
    #[arg(long, env = "KEY_STORE")]
    pub key_store: Option<KeyStoreChoice>,
    /// Google Cloud project ID [default: mlab-sandbox]
    #[arg(long, env = "PROJECT_ID")]
    pub project_id: Option<String>,
    /// Datastore namespace for platform credentials (used for autojoin) [default: platform-credentials]
    #[arg(long, env = "PLATFORM_NS")]
    pub platform_ns: Option<String>,
    /// Datastore namespace for client-integration credentials [default: client-integration]
    #[arg(long, env = "CLIENT_INTEGRATION_NS")]
    pub client_integration_ns: Option<String>,
}

/// The value of `-key-store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyStoreChoice {
    Datastore,
    Sqlite(PathBuf),
}

impl FromStr for KeyStoreChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "datastore" => Ok(Self::Datastore),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err("it is datastore, or sqlite:PATH".to_owned()),
        }
    }
}

/// A store that can be opened.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    Datastore(DatastoreConfig),
    Sqlite(PathBuf),
}

/// Why a store cannot be opened: its configuration, never its condition.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    #[error(transparent)]
    Datastore(#[from] crate::key_store::datastore::ConfigError),
    #[error(transparent)]
    Sqlite(#[from] crate::key_store::sqlite::OpenError),
}

impl StoreFlags {
    /// Refuses flags that say something about Datastore beside a `-key-store` that is another.
    /// In the environment they may stand: platforms set variables for every program.
    pub(super) fn check_line(&self) -> Result<(), ConfigError> {
        if !matches!(self.key_store, Some(KeyStoreChoice::Sqlite(_))) {
            return Ok(());
        }
        let datastore_flags = [
            ("-project-id", &self.project_id),
            ("-platform-ns", &self.platform_ns),
            ("-client-integration-ns", &self.client_integration_ns),
        ];
        match datastore_flags.iter().find(|(_, value)| value.is_some()) {
            None => Ok(()),
            Some((flag, _)) => Err(ConfigError::new(format!(
                "{flag} contradicts -key-store=sqlite: it is about Datastore; leave one of them out"
            ))),
        }
    }

    /// # Errors
    /// When the flags and the platform together name no store that could be used.
    pub fn resolve(&self, platform: &Platform) -> Result<StoreConfig, ConfigError> {
        let or = |value: &Option<String>, default: &str| {
            value.clone().unwrap_or_else(|| default.to_owned())
        };
        let choice = self.key_store.clone().unwrap_or(KeyStoreChoice::Datastore);
        StoreConfig::new(
            choice,
            or(&self.project_id, "mlab-sandbox"),
            or(&self.platform_ns, "platform-credentials"),
            or(&self.client_integration_ns, "client-integration"),
            platform,
        )
    }
}

impl StoreConfig {
    pub(super) fn new(
        choice: KeyStoreChoice,
        project_id: String,
        platform_namespace: String,
        integration_namespace: String,
        platform: &Platform,
    ) -> Result<Self, ConfigError> {
        match choice {
            KeyStoreChoice::Sqlite(path) => Ok(Self::Sqlite(path)),
            KeyStoreChoice::Datastore
                if platform.is_cloud_run && platform.emulator_host.is_some() =>
            {
                Err(ConfigError::new(
                    "DATASTORE_EMULATOR_HOST is set on Cloud Run (K_SERVICE is set), where it would \
                     send every API key in plain text; remove it from the service",
                ))
            }
            KeyStoreChoice::Datastore if project_id.is_empty() => Err(ConfigError::new(
                "the project is empty: say -project-id, or set PROJECT_ID to a project",
            )),
            KeyStoreChoice::Datastore => Ok(Self::Datastore(DatastoreConfig {
                project_id,
                platform_namespace,
                integration_namespace,
                emulator_host: platform.emulator_host.clone(),
                credentials_file: platform.credentials_file.clone(),
            })),
        }
    }

    /// Whether this is a Datastore emulator, where test keys belong.
    #[must_use]
    pub fn is_emulator(&self) -> bool {
        matches!(self, Self::Datastore(DatastoreConfig { emulator_host: Some(_), .. }))
    }

    /// Opens the store. Datastore is not asked anything yet: if it is away, the service starts all
    /// the same. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the store can never work as it is configured.
    pub fn open(&self) -> Result<Arc<dyn KeyAdmin>, StoreOpenError> {
        Ok(match self {
            Self::Datastore(config) => Arc::new(DatastoreStore::connect(config.clone())?),
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path)?),
        })
    }
}
