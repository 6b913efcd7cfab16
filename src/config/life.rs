//! The flags of the commands that own the life of an API key.
//!
//! None of them has a variable in the environment, except those of the store: a stray `YES` or
//! `NOW` must not confirm anything.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::go_style;
use super::store::StoreFlags;
use super::when::{Span, When};

/// The form of what a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

/// What every command has that looks at a store.
#[derive(Debug, Args)]
pub struct ReadFlags {
    #[arg(long, default_value = "table")]
    pub output: OutputFormat,
    #[command(flatten)]
    pub store: StoreFlags,
}

/// What every command has that changes a store.
#[derive(Debug, Args)]
pub struct ChangeFlags {
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Say what would be done, and do nothing; exit code 3 if there is something
    #[arg(long)]
    pub dry_run: bool,
    /// Who does this, for the record [default: the user of this process]
    #[arg(long)]
    pub by: Option<String>,
    #[command(flatten)]
    pub read: ReadFlags,
}

/// Names a key of an integration.
#[derive(Debug, Args)]
pub struct NamedIntegrationKey {
    /// The integration that has the key
    #[arg(long)]
    pub integration_id: String,
    /// The key, as `list` prints it
    #[arg(long)]
    pub key_id: String,
}

/// Names a key of an organization.
#[derive(Debug, Args)]
pub struct NamedOrganizationKey {
    /// The organization that holds the key
    #[arg(long)]
    pub organization: String,
    /// The key's fingerprint as `list` prints it, or a beginning that no other key has
    #[arg(long)]
    pub fingerprint: String,
}

/// When a new key can be used.
#[derive(Debug, Args)]
pub struct ValidityFlags {
    /// When it ends: 90d, or a time of RFC 3339 [default: never]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<When>,
    /// When it begins: 2h, or a time of RFC 3339 [default: now]
    #[arg(long, value_name = "WHEN")]
    pub not_before: Option<When>,
    /// A remark for the record, not secret
    #[arg(long)]
    pub note: Option<String>,
}

/// When the old key of a roll ends.
#[derive(Debug, Args)]
pub struct OverlapFlags {
    /// How long the old key goes on
    #[arg(long, default_value = "7d", conflicts_with = "now")]
    pub overlap: Span,
    /// End the old key at once
    #[arg(long)]
    pub now: bool,
}

#[derive(Debug, Subcommand)]
pub enum IntegrationCommand {
    /// All integrations
    #[command(args_override_self = true)]
    List(ReadFlags),
    /// An integration and its keys
    #[command(args_override_self = true)]
    Show(IntegrationShowFlags),
    /// Create an integration, without keys
    #[command(args_override_self = true)]
    Create(IntegrationCreateFlags),
}

#[derive(Debug, Args)]
pub struct IntegrationShowFlags {
    #[arg(long)]
    pub integration_id: String,
    #[command(flatten)]
    pub read: ReadFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationCreateFlags {
    /// 1 to 64 bytes, without a dot
    #[arg(long)]
    pub integration_id: String,
    /// What it is, in words
    #[arg(long, default_value = "", hide_default_value = true)]
    pub description: String,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Subcommand)]
pub enum IntegrationKeyCommand {
    /// The keys of an integration, or of all
    #[command(args_override_self = true)]
    List(IntegrationKeyListFlags),
    /// A key, all that is known of it
    #[command(args_override_self = true)]
    Show(IntegrationKeyShowFlags),
    /// Give another key to an integration that exists; prints the key once
    #[command(args_override_self = true)]
    Create(IntegrationKeyCreateFlags),
    /// For integrators: make a key here, and a line for the operator that holds nothing secret
    #[command(args_override_self = true)]
    Generate(IntegrationKeyGenerateFlags),
    /// Take a key by the line that its recipient generated
    #[command(args_override_self = true)]
    Import(IntegrationKeyImportFlags),
    /// Replace a key: its successor is printed once, and the old one ends after an overlap
    #[command(args_override_self = true)]
    Roll(IntegrationKeyRollFlags),
    /// End a key at once, everywhere; prints when its last token ends
    #[command(args_override_self = true)]
    Revoke(IntegrationKeyRevokeFlags),
    /// Set when a key ends
    #[command(args_override_self = true)]
    Expire(IntegrationKeyExpireFlags),
}

#[derive(Debug, Args)]
pub struct IntegrationKeyListFlags {
    /// Only the keys of this integration
    #[arg(long)]
    pub integration_id: Option<String>,
    #[command(flatten)]
    pub read: ReadFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyShowFlags {
    #[command(flatten)]
    pub key: NamedIntegrationKey,
    #[command(flatten)]
    pub read: ReadFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyCreateFlags {
    /// The integration that gets the key
    #[arg(long)]
    pub integration_id: String,
    /// Key ID, beginning with ki_ [default: generated]
    #[arg(long)]
    pub key_id: Option<String>,
    /// What the key is for, in words
    #[arg(long, default_value = "", hide_default_value = true)]
    pub description: String,
    /// The service tier that tokens state
    #[arg(long, default_value = "0", value_parser = go_style::integer)]
    pub tier: i64,
    #[command(flatten)]
    pub validity: ValidityFlags,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyGenerateFlags {
    /// The integration's id, as the operator told it
    #[arg(long)]
    pub integration_id: String,
    /// Key ID, beginning with ki_ [default: generated]
    #[arg(long)]
    pub key_id: Option<String>,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyImportFlags {
    /// The line, or - to read it from standard input
    pub line: String,
    /// What the key is for, in words
    #[arg(long, default_value = "", hide_default_value = true)]
    pub description: String,
    /// The service tier that tokens state
    #[arg(long, default_value = "0", value_parser = go_style::integer)]
    pub tier: i64,
    #[command(flatten)]
    pub validity: ValidityFlags,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyRollFlags {
    #[command(flatten)]
    pub key: NamedIntegrationKey,
    /// The successor, as a recipient's line, or - to read it from standard input
    #[arg(long, value_name = "LINE")]
    pub import: Option<String>,
    /// When the successor ends: 90d, or a time of RFC 3339 [default: never]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<When>,
    #[command(flatten)]
    pub overlap: OverlapFlags,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyRevokeFlags {
    #[command(flatten)]
    pub key: NamedIntegrationKey,
    /// Why, for the record
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct IntegrationKeyExpireFlags {
    #[command(flatten)]
    pub key: NamedIntegrationKey,
    /// When it ends: 90d, or a time of RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub at: When,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Subcommand)]
pub enum OrganizationCommand {
    /// All organizations
    #[command(args_override_self = true)]
    List(ReadFlags),
    /// An organization and its keys
    #[command(args_override_self = true)]
    Show(OrganizationShowFlags),
    /// Create an organization, without keys
    #[command(args_override_self = true)]
    Create(OrganizationCreateFlags),
}

#[derive(Debug, Args)]
pub struct OrganizationShowFlags {
    #[arg(long)]
    pub organization: String,
    #[command(flatten)]
    pub read: ReadFlags,
}

#[derive(Debug, Args)]
pub struct OrganizationCreateFlags {
    /// The organization's name, as tokens state it
    #[arg(long)]
    pub organization: String,
    /// An address of theirs
    #[arg(long, default_value = "", hide_default_value = true)]
    pub email: String,
    /// The share of their nodes that measure
    #[arg(long, default_value = "1.0")]
    pub probability_multiplier: f64,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Subcommand)]
pub enum OrganizationKeyCommand {
    /// The keys of an organization, or of all, by their fingerprints
    #[command(args_override_self = true)]
    List(OrganizationKeyListFlags),
    /// Give a key to an organization that exists; prints the key once
    #[command(args_override_self = true)]
    Create(OrganizationKeyCreateFlags),
    /// Replace a key: its successor is printed once, and the old one ends after an overlap
    #[command(args_override_self = true)]
    Roll(OrganizationKeyRollFlags),
    /// End a key at once, under every organization that holds it
    #[command(args_override_self = true)]
    Revoke(OrganizationKeyRevokeFlags),
    /// Set when a key ends
    #[command(args_override_self = true)]
    Expire(OrganizationKeyExpireFlags),
}

#[derive(Debug, Args)]
pub struct OrganizationKeyListFlags {
    /// Only the keys of this organization
    #[arg(long)]
    pub organization: Option<String>,
    #[command(flatten)]
    pub read: ReadFlags,
}

#[derive(Debug, Args)]
pub struct OrganizationKeyCreateFlags {
    /// The organization that gets the key
    #[arg(long)]
    pub organization: String,
    #[command(flatten)]
    pub validity: ValidityFlags,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct OrganizationKeyRollFlags {
    #[command(flatten)]
    pub key: NamedOrganizationKey,
    /// When the successor ends: 90d, or a time of RFC 3339 [default: never]
    #[arg(long, value_name = "WHEN")]
    pub expires: Option<When>,
    #[command(flatten)]
    pub overlap: OverlapFlags,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct OrganizationKeyRevokeFlags {
    #[command(flatten)]
    pub key: NamedOrganizationKey,
    /// Why, for the record
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct OrganizationKeyExpireFlags {
    #[command(flatten)]
    pub key: NamedOrganizationKey,
    /// When it ends: 90d, or a time of RFC 3339
    #[arg(long, value_name = "WHEN")]
    pub at: When,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct DoctorFlags {
    /// Mend what can be mended without loss, after showing it
    #[arg(long)]
    pub fix: bool,
    #[command(flatten)]
    pub change: ChangeFlags,
}

/// The form of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ManifestFormat {
    Yaml,
    Json,
}

#[derive(Debug, Args)]
pub struct ExportFlags {
    #[arg(long, default_value = "yaml")]
    pub output: ManifestFormat,
    #[command(flatten)]
    pub store: StoreFlags,
}

#[derive(Debug, Args)]
pub struct ApplyFlags {
    /// A manifest in YAML or JSON, or - to read it from standard input
    pub file: PathBuf,
    /// Revoke integration keys that the manifest does not name; nothing is ever deleted
    #[arg(long)]
    pub prune: bool,
    #[command(flatten)]
    pub change: ChangeFlags,
}

#[derive(Debug, Args)]
pub struct CompletionsFlags {
    pub shell: Shell,
}

/// A shell that completions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl IntegrationCommand {
    pub(super) fn store(&self) -> &StoreFlags {
        match self {
            Self::List(flags) => &flags.store,
            Self::Show(flags) => &flags.read.store,
            Self::Create(flags) => &flags.change.read.store,
        }
    }
}

impl IntegrationKeyCommand {
    /// `None` where no store is needed.
    pub(super) fn store(&self) -> Option<&StoreFlags> {
        match self {
            Self::List(flags) => Some(&flags.read.store),
            Self::Show(flags) => Some(&flags.read.store),
            Self::Create(flags) => Some(&flags.change.read.store),
            Self::Generate(_) => None,
            Self::Import(flags) => Some(&flags.change.read.store),
            Self::Roll(flags) => Some(&flags.change.read.store),
            Self::Revoke(flags) => Some(&flags.change.read.store),
            Self::Expire(flags) => Some(&flags.change.read.store),
        }
    }
}

impl OrganizationCommand {
    pub(super) fn store(&self) -> &StoreFlags {
        match self {
            Self::List(flags) => &flags.store,
            Self::Show(flags) => &flags.read.store,
            Self::Create(flags) => &flags.change.read.store,
        }
    }
}

impl OrganizationKeyCommand {
    pub(super) fn store(&self) -> &StoreFlags {
        match self {
            Self::List(flags) => &flags.read.store,
            Self::Create(flags) => &flags.change.read.store,
            Self::Roll(flags) => &flags.change.read.store,
            Self::Revoke(flags) => &flags.change.read.store,
            Self::Expire(flags) => &flags.change.read.store,
        }
    }
}
