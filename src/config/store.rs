//! Which store, and how to open it. A third store is one more arm here.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;

use super::{ConfigError, Platform};
use crate::environment::System;
use crate::key_store::KeyAdmin;
use crate::key_store::datastore::{DatastoreConfig, DatastoreStore, GOOGLE, Place};
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
    #[arg(
        long,
        env = "DATASTORE_ENDPOINT",
        help = "Where Datastore is, as https://HOST: for Private Service Connect \
                [default: https://datastore.googleapis.com]"
    )]
    pub datastore_endpoint: Option<String>,
    /// PEM bundle of CAs to trust for it, instead of the built-in ones: for a proxy that inspects TLS [default: none]
    #[arg(long, env = "DATASTORE_CA_FILE")]
    pub datastore_ca_file: Option<PathBuf>,
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
            ("-project-id", self.project_id.is_some()),
            ("-platform-ns", self.platform_ns.is_some()),
            ("-client-integration-ns", self.client_integration_ns.is_some()),
            ("-datastore-endpoint", self.datastore_endpoint.is_some()),
            ("-datastore-ca-file", self.datastore_ca_file.is_some()),
        ];
        match datastore_flags.iter().find(|(_, is_said)| *is_said) {
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
            Detour {
                endpoint: self.datastore_endpoint.clone(),
                ca_file: self.datastore_ca_file.clone(),
            },
            platform,
        )
    }
}

/// Another way to Google's Datastore than the usual one.
#[derive(Debug, Default)]
pub(super) struct Detour {
    endpoint: Option<String>,
    ca_file: Option<PathBuf>,
}

impl Detour {
    fn place(self, platform: &Platform) -> Result<Place, ConfigError> {
        let Some(host) = platform.emulator_host.clone() else {
            return Ok(Place::Google {
                endpoint: self.endpoint.unwrap_or_else(|| GOOGLE.to_owned()),
                ca_file: self.ca_file,
                credentials_file: platform.credentials_file.clone(),
            });
        };
        let flag = match self {
            Self { endpoint: None, ca_file: None } => return Ok(Place::Emulator { host }),
            Self { endpoint: Some(_), .. } => "-datastore-endpoint",
            Self { .. } => "-datastore-ca-file",
        };
        Err(ConfigError::new(format!(
            "{flag} contradicts DATASTORE_EMULATOR_HOST, which means plain text; leave one of them out"
        )))
    }
}

impl StoreConfig {
    pub(super) fn new(
        choice: KeyStoreChoice,
        project_id: String,
        platform_namespace: String,
        integration_namespace: String,
        detour: Detour,
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
                place: detour.place(platform)?,
            })),
        }
    }

    /// Whether this is a Datastore emulator, where test keys belong.
    #[must_use]
    pub fn is_emulator(&self) -> bool {
        matches!(self, Self::Datastore(DatastoreConfig { place: Place::Emulator { .. }, .. }))
    }

    /// Opens the store. Datastore is not asked anything yet: if it is away, the service starts all
    /// the same. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the store can never work as it is configured.
    pub fn open(&self) -> Result<Arc<dyn KeyAdmin>, StoreOpenError> {
        Ok(match self.open_observed()? {
            OpenStore::Datastore(store) => store,
            OpenStore::Sqlite(store) => store,
        })
    }

    /// The same, for those who watch over more than its keys.
    ///
    /// # Errors
    /// When the store can never work as it is configured.
    pub fn open_observed(&self) -> Result<OpenStore, StoreOpenError> {
        Ok(match self {
            Self::Datastore(config) => OpenStore::Datastore(
                DatastoreStore::connect(config.clone(), Arc::new(System))?.into(),
            ),
            Self::Sqlite(path) => OpenStore::Sqlite(SqliteStore::open(path)?.into()),
        })
    }
}

/// An open store, as what it is.
pub enum OpenStore {
    Datastore(Arc<DatastoreStore>),
    Sqlite(Arc<SqliteStore>),
}
