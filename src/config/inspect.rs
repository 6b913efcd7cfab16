//! The flags of the commands that look at logs, tokens and services, and change nothing. None of
//! them comes from the environment.

use std::path::PathBuf;

use clap::Args;

use super::{ConfigError, OutputFormat};

#[derive(Debug, Args)]
pub struct ExplainFlags {
    /// The request's id, as `X-Request-Id` of its answer says it, or the jti of its token
    #[arg(value_name = "REQUEST_ID|JTI")]
    pub id: String,
    /// JSON lines as the service prints them, or what `gcloud logging read --format=json` gives
    #[arg(default_value = "-")]
    pub file: PathBuf,
    #[arg(long, default_value = "table")]
    pub output: OutputFormat,
}

#[derive(Debug, Args)]
pub struct ExplainTokenFlags {
    /// The token, or - to read it from standard input, where no list of processes shows it
    pub token: String,
    /// The key set to verify it by: a URL, or a file with a key set or a key
    #[arg(long, value_name = "FILE|URL")]
    pub jwks: Option<String>,
    #[arg(long, default_value = "table")]
    pub output: OutputFormat,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySetPlace<'a> {
    File(PathBuf),
    Url(&'a str),
}

impl ExplainTokenFlags {
    /// Where the key set is, if one is named.
    #[must_use]
    pub fn key_set(&self) -> Option<KeySetPlace<'_>> {
        self.jwks.as_deref().map(|place| {
            if is_url(place) { KeySetPlace::Url(place) } else { KeySetPlace::File(place.into()) }
        })
    }
}

#[derive(Debug, Args)]
pub struct CompareFlags {
    /// The service to be compared with: the Go service, as `https://HOST`
    #[arg(value_name = "REFERENCE_URL")]
    pub reference: String,
    /// The service that is to take its place, as `https://HOST`
    #[arg(value_name = "CANDIDATE_URL")]
    pub candidate: String,
    /// An API key that both have to exchange, in a file, or - to read it from standard input
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    #[arg(long, default_value = "table")]
    pub output: OutputFormat,
}

impl CompareFlags {
    /// Both services, as a scheme and a host: paths are part of what is compared.
    ///
    /// # Errors
    /// When one of them is something else.
    pub fn resolve(&self) -> Result<(&str, &str), ConfigError> {
        Ok((base(&self.reference)?, base(&self.candidate)?))
    }
}

fn base(url: &str) -> Result<&str, ConfigError> {
    let base = url.strip_suffix('/').unwrap_or(url);
    let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@']) => Ok(base),
        _ => Err(ConfigError::new(
            "a service is named by https:// or http:// and its host, without a path",
        )),
    }
}

pub(super) fn is_url(place: &str) -> bool {
    place.starts_with("https://") || place.starts_with("http://")
}
