//! Flags and environment, parsed into what the rest of the program can rely on.
//!
//! The only room that reads the environment. Every combination is checked here, before a port
//! opens: whoever holds a [`Command`] holds one that is worth trying.

mod cache;
mod command_line;
mod completions;
mod duration;
mod flags;
mod go_style;
mod inspect;
pub mod life;
mod limits;
mod log;
mod serve;
mod signing_key;
mod store;
mod traces;
pub mod when;

pub use self::cache::CacheFlags;
pub use self::command_line::{Exit, Program};
pub use self::completions::completions;
pub use self::flags::{Command, CreateIntegrationFlags};
pub use self::inspect::{CompareFlags, ExplainFlags, ExplainTokenFlags, KeySetPlace};
pub use self::life::OutputFormat;
pub use self::limits::{LimitsConfig, LimitsFlags};
pub use self::log::LogFlags;
pub use self::serve::{ServeConfig, ServeFlags};
pub use self::signing_key::{
    CheckKeysFlags, ExtractKeyFlags, GenerateKeyFlags, NewKeyFlags, RotateKeysFlags, ShowKeysFlags,
    SigningKeyCommand,
};
pub use self::store::{KeyStoreChoice, OpenStore, StoreConfig, StoreFlags, StoreOpenError};
pub use self::traces::TracesEnvironment;

/// A setting, or a combination of settings, that cannot work. Says what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// What the platform says of itself in the environment, beside the variables of flags.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    /// `DATASTORE_EMULATOR_HOST`: plain text and no credentials.
    pub emulator_host: Option<String>,
    /// `GOOGLE_APPLICATION_CREDENTIALS`: the path of a credentials file.
    pub credentials_file: Option<std::path::PathBuf>,
    /// `USER`: who runs this, for the record of what they change.
    pub user: Option<String>,
    /// `K_SERVICE` is set: this is Cloud Run.
    pub is_cloud_run: bool,
    /// `K_SERVICE`: the name of the service.
    pub service: Option<String>,
    /// `GOOGLE_CLOUD_PROJECT`: the project that traces are in.
    pub project: Option<String>,
    /// `RUST_LOG`: which lines are logged, by module.
    pub log_filter: Option<String>,
    /// `OTEL_…`: where traces go.
    pub traces: TracesEnvironment,
}

impl Platform {
    /// Reads the environment of the process. A variable that is set but empty is not set.
    #[must_use]
    pub fn of_this_process() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            emulator_host: text("DATASTORE_EMULATOR_HOST"),
            credentials_file: variable("GOOGLE_APPLICATION_CREDENTIALS").map(Into::into),
            user: text("USER"),
            is_cloud_run: variable("K_SERVICE").is_some(),
            service: text("K_SERVICE"),
            project: text("GOOGLE_CLOUD_PROJECT"),
            log_filter: text("RUST_LOG"),
            traces: TracesEnvironment::read(text),
        }
    }
}
