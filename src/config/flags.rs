//! The commands and their flags, as clap reads them and as the help shows them.
//!
//! Flags that have an `env` also come from the environment: those of `serve`, of the store and of
//! `create-integration`, as in the Go tools. Those of other commands do not: a stray variable
//! must not confirm anything.

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};

use super::inspect::{CompareFlags, ExplainFlags, ExplainTokenFlags};
use super::life::{
    ApplyFlags, CompletionsFlags, DoctorFlags, ExportFlags, IntegrationCommand,
    IntegrationKeyCommand, OrganizationCommand, OrganizationKeyCommand,
};
use super::serve::ServeFlags;
use super::signing_key::SigningKeyCommand;
use super::store::{Detour, KeyStoreChoice, StoreFlags};
use super::{ConfigError, Platform, StoreConfig, go_style};

/// Trades API keys for short-lived signed JWTs.
///
/// Without a command it serves, with the flags and the environment of `serve`. Flags may be
/// written with one dash or two, with `=` or with a space before the value.
#[derive(Debug, Parser)]
#[command(
    name = "token-exchange",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve exchanges and the key set (also without any command)
    #[command(args_override_self = true)]
    Serve(ServeFlags),
    /// Try it: make a signing key, a store and demo keys in ./.token-exchange, and serve
    #[command(args_override_self = true)]
    Dev(ServeFlags),
    /// Create an integration with a first API key, as the Go tool of this name
    #[command(args_override_self = true)]
    CreateIntegration(CreateIntegrationFlags),
    /// Integrations
    Integration {
        #[command(subcommand)]
        command: IntegrationCommand,
    },
    /// API keys of integrations
    IntegrationKey {
        #[command(subcommand)]
        command: IntegrationKeyCommand,
    },
    /// Organizations
    Organization {
        #[command(subcommand)]
        command: OrganizationCommand,
    },
    /// API keys of organizations
    OrganizationKey {
        #[command(subcommand)]
        command: OrganizationKeyCommand,
    },
    /// Keys that sign tokens, in their file
    SigningKey {
        #[command(subcommand)]
        command: SigningKeyCommand,
    },
    /// Find what is dead, orphaned, duplicate, dangerous or unreadable in the store
    #[command(args_override_self = true)]
    Doctor(DoctorFlags),
    /// Print the store as a manifest, hashes only
    #[command(args_override_self = true)]
    Export(ExportFlags),
    /// Bring the store to what a manifest says
    #[command(args_override_self = true)]
    Apply(ApplyFlags),
    /// Say what became of a request and what to do, by its log
    #[command(args_override_self = true)]
    Explain(ExplainFlags),
    /// Say what a token states and whether a verifier takes it now (exit code 3 if not)
    #[command(args_override_self = true)]
    ExplainToken(ExplainTokenFlags),
    /// Ask two services the same harmless things and show what differs (exit code 3)
    #[command(args_override_self = true)]
    Compare(CompareFlags),
    /// Print what a shell needs to complete these commands
    Completions(CompletionsFlags),
}

impl Command {
    /// Checks what was said on the command line alone, before the environment adds to it.
    pub(super) fn check_line(&self) -> Result<(), ConfigError> {
        match self {
            Self::Serve(flags) | Self::Dev(flags) => flags.store.check_line(),
            Self::CreateIntegration(_)
            | Self::Completions(_)
            | Self::SigningKey { .. }
            | Self::Explain(_)
            | Self::ExplainToken(_)
            | Self::Compare(_) => Ok(()),
            Self::Integration { command } => command.store().check_line(),
            Self::IntegrationKey { command } => {
                command.store().map_or(Ok(()), StoreFlags::check_line)
            }
            Self::Organization { command } => command.store().check_line(),
            Self::OrganizationKey { command } => command.store().check_line(),
            Self::Doctor(flags) => flags.change.read.store.check_line(),
            Self::Export(flags) => flags.store.check_line(),
            Self::Apply(flags) => flags.change.read.store.check_line(),
        }
    }
}

/// The flags of the Go tool.
#[derive(Debug, Args)]
pub struct CreateIntegrationFlags {
    /// Google Cloud project ID (required for Datastore)
    #[arg(long, env = "PROJECT", default_value = "", hide_default_value = true)]
    pub project: String,
    /// Datastore namespace
    #[arg(long, env = "NAMESPACE", default_value = "client-integration")]
    pub namespace: String,
    /// Integration ID (required)
    #[arg(long, env = "INTEGRATION_ID", default_value = "", hide_default_value = true)]
    pub integration_id: String,
    /// Key ID (auto-generated if not provided)
    #[arg(long, env = "KEY_ID", default_value = "", hide_default_value = true)]
    pub key_id: String,
    /// Human-readable description for the integration
    #[arg(long, env = "INTEGRATION_DESCRIPTION", default_value = "", hide_default_value = true)]
    pub integration_description: String,
    /// Human-readable description for the API key
    #[arg(long, env = "KEY_DESCRIPTION", default_value = "", hide_default_value = true)]
    pub key_description: String,
    /// Service tier for the API key
    #[arg(long, env = "KEY_TIER", default_value = "0", value_parser = go_style::integer)]
    pub key_tier: i64,
    /// Where the keys are: datastore, or sqlite:PATH
    #[arg(long, env = "KEY_STORE", default_value = "datastore")]
    pub key_store: KeyStoreChoice,
}

impl CreateIntegrationFlags {
    /// The store that the flags name; only Datastore needs a project.
    ///
    /// # Errors
    /// When it could not be used.
    pub fn store(&self, platform: &Platform) -> Result<StoreConfig, ConfigError> {
        if self.key_store == KeyStoreChoice::Datastore && self.project.is_empty() {
            return Err(ConfigError::new("-project is required"));
        }
        StoreConfig::new(
            self.key_store.clone(),
            self.project.clone(),
            // This tool does not reach for organizations, and has no flag for their namespace.
            String::new(),
            self.namespace.clone(),
            Detour::default(),
            platform,
        )
    }
}

/// The levels of the log, from the quietest.
pub(super) fn log_levels() -> PossibleValuesParser {
    PossibleValuesParser::new(["error", "warn", "info", "debug", "trace"])
}
