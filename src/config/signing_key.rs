//! The flags of `signing-key`. None of them comes from the environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};

use super::duration::duration;
use super::inspect::is_url;
use super::{ConfigError, OutputFormat};
use crate::signer::Algorithm;
use crate::signer::generate::RsaSize;

#[derive(Debug, Subcommand)]
pub enum SigningKeyCommand {
    /// Make a private key in a new file
    #[command(args_override_self = true)]
    Generate(GenerateKeyFlags),
    /// Show the public keys of a file as they are published
    #[command(args_override_self = true)]
    Show(ShowKeysFlags),
    /// Add the key that signs next, or revoke one that leaked
    #[command(args_override_self = true)]
    Rotate(RotateKeysFlags),
    /// Show when each key signs, and what is not safe (exit code 3)
    #[command(args_override_self = true)]
    Check(CheckKeysFlags),
    /// Print one key of a file as the bare private JWK that the Go service reads
    #[command(args_override_self = true)]
    Extract(ExtractKeyFlags),
}

/// What a new key is to be.
#[derive(Debug, Args)]
pub struct NewKeyFlags {
    /// The algorithm that it signs with; Cloud Endpoints takes RS256, RS384, RS512 and ES256
    #[arg(long, default_value = "RS256", value_parser = algorithms())]
    pub alg: String,
    /// The size of an RSA key: 2048, 3072, 4096 or 8192 [default: 2048]
    #[arg(long)]
    pub bits: Option<u32>,
    /// The key id [default: the thumbprint of RFC 7638]
    #[arg(long)]
    pub kid: Option<String>,
}

impl NewKeyFlags {
    /// # Errors
    /// When there can be no such key.
    pub fn resolve(&self) -> Result<(Algorithm, RsaSize), ConfigError> {
        let algorithm = Algorithm::from_name(&self.alg)
            .ok_or_else(|| ConfigError::new(format!("--alg: {} cannot sign", self.alg)))?;
        if self.kid.as_deref() == Some("") {
            return Err(ConfigError::new("--kid: it must not be empty"));
        }
        let Some(bits) = self.bits else { return Ok((algorithm, RsaSize::default())) };
        if !matches!(algorithm, Algorithm::Rsa(..)) {
            return Err(ConfigError::new(format!("--bits: a key for {} has one size", self.alg)));
        }
        RsaSize::from_bits(bits)
            .map(|size| (algorithm, size))
            .ok_or_else(|| ConfigError::new("--bits: it has to be 2048, 3072, 4096 or 8192"))
    }
}

#[derive(Debug, Args)]
pub struct GenerateKeyFlags {
    /// The file to write; it must not exist
    pub file: PathBuf,
    #[command(flatten)]
    pub key: NewKeyFlags,
}

#[derive(Debug, Args)]
pub struct ShowKeysFlags {
    /// The key file
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct RotateKeysFlags {
    /// The key file; it is replaced
    pub file: PathBuf,
    /// How long until the new key is meant to sign: time to upload the file, and 14h06m for
    /// everybody to learn of it
    #[arg(long, default_value = "24h", value_parser = duration)]
    pub lead: Duration,
    /// Revoke this key at once, and add one
    #[arg(long, value_name = "KID", conflicts_with = "redo")]
    pub leaked: Option<String>,
    /// Give the key that waits a new start, because no instance has seen the file yet
    #[arg(long, conflicts_with_all = ["alg", "bits"])]
    pub redo: bool,
    /// Show what would be done, and do nothing (exit code 3)
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub key: NewKeyFlags,
}

#[derive(Debug, Args)]
pub struct CheckKeysFlags {
    /// A key file, or the URL of a key set, or both: then they are compared
    #[arg(required = true, num_args = 1..=2, value_name = "FILE|URL")]
    pub targets: Vec<String>,
    /// How often the URL is asked, so that every instance answers
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub samples: u32,
    #[arg(long, default_value = "table")]
    pub output: OutputFormat,
}

impl CheckKeysFlags {
    /// The file and the URL among the targets.
    ///
    /// # Errors
    /// When there are two of a kind.
    pub fn resolve(&self) -> Result<(Option<PathBuf>, Option<&str>), ConfigError> {
        let (urls, files): (Vec<_>, Vec<_>) =
            self.targets.iter().map(String::as_str).partition(|target| is_url(target));
        match (&files[..], &urls[..]) {
            ([file], []) => Ok((Some(file.into()), None)),
            ([], [url]) => Ok((None, Some(url))),
            ([file], [url]) => Ok((Some(file.into()), Some(url))),
            _ => Err(ConfigError::new("one file, one URL, or one of each can be checked")),
        }
    }
}

#[derive(Debug, Args)]
pub struct ExtractKeyFlags {
    /// The key file
    pub file: PathBuf,
    /// The key to print
    #[arg(long)]
    pub kid: String,
}

fn algorithms() -> PossibleValuesParser {
    PossibleValuesParser::new(Algorithm::NAMES.split(", "))
}
