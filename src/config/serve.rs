//! The flags of `serve` (and of `dev`), and what they come to.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;

use super::cache::CacheFlags;
use super::duration::duration;
use super::go_style;
use super::limits::{LimitsConfig, LimitsFlags};
use super::log::LogFlags;
use super::store::StoreFlags;
use super::{ConfigError, Platform, StoreConfig};
use crate::claims::ClockSkewAllowance;
use crate::http::server::ListenAddress;
use crate::key_store::cached::CacheLimits;
use crate::signer::KeyFile;
use crate::telemetry::logs::LogConfig;
use crate::telemetry::traces::TracesConfig;

/// Shorter, and every request would read the file; longer, and little would be left of the twelve
/// hours in which a new secret has to reach every instance.
const KEY_RELOAD_INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(1);

/// The flags of the Go service, and ours.
#[derive(Debug, Clone, Args)]
pub struct ServeFlags {
    /// Port to listen on, on all interfaces; 0 takes a free one [default: 8080]
    #[arg(long, env = "PORT", value_parser = go_style::integer)]
    pub port: Option<i64>,
    /// Path to the private key: a private JWK, or a JWK Set of them [default: /secrets/jwk-priv.json]
    #[arg(long, env = "PRIVATE_KEY_PATH")]
    pub private_key_path: Option<String>,
    /// How old the last look at the private key file may be before a request waits for a new one
    #[arg(long, env = "KEY_RELOAD_INTERVAL", default_value = "30s", value_parser = duration)]
    pub key_reload_interval: Duration,
    /// How far nbf of a token lies before its iat, for verifiers whose clocks are behind; at most 5m
    #[arg(long, env = "CLOCK_SKEW_ALLOWANCE", default_value = "0s", value_parser = duration)]
    pub clock_skew_allowance: Duration,
    /// Where /metrics is served, as host:port or :port [default: :9990]
    #[arg(long = "prometheusx.listen-address", env = "PROMETHEUSX_LISTEN_ADDRESS")]
    pub metrics_address: Option<String>,
    #[command(flatten)]
    pub log: LogFlags,
    #[command(flatten)]
    pub limits: LimitsFlags,
    #[command(flatten)]
    pub store: StoreFlags,
    #[command(flatten)]
    pub cache: CacheFlags,
}

/// What a service needs to know before it opens a port.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub address: ListenAddress,
    pub metrics_address: ListenAddress,
    pub key_file: KeyFile,
    /// In whole seconds.
    pub key_reload_interval: Duration,
    pub limits: LimitsConfig,
    pub clock_skew_allowance: ClockSkewAllowance,
    pub store: StoreConfig,
    pub cache: CacheLimits,
    /// `None` when none are wanted.
    pub traces: Option<TracesConfig>,
}

impl ServeFlags {
    /// # Errors
    /// When a value cannot work, or two contradict each other.
    pub fn resolve(&self, platform: &Platform) -> Result<ServeConfig, ConfigError> {
        let port = self.port.unwrap_or(8080);
        let port = u16::try_from(port).map_err(|_| {
            ConfigError::new(format!("-port: {port} is no port; ports are 0 to 65535"))
        })?;
        let address = ListenAddress::all_interfaces(port);
        let metrics_address = self.metrics_address.as_deref().unwrap_or(":9990");
        let metrics_address: ListenAddress = metrics_address
            .parse()
            .map_err(|error| ConfigError::new(format!("-prometheusx.listen-address: {error}")))?;
        if port != 0 && metrics_address.port() == port {
            return Err(ConfigError::new(format!(
                "-port and -prometheusx.listen-address both say {port}; give each a port of its own"
            )));
        }
        let path = &self.private_key_path;
        let key_file = KeyFile::at(path.as_deref().unwrap_or("/secrets/jwk-priv.json"));
        let key_reload_interval = self.key_reload_interval;
        if !KEY_RELOAD_INTERVALS.contains(&key_reload_interval) {
            return Err(ConfigError::new(
                "-key-reload-interval: it has to be between 1s and 1h; longer, and a new signing \
                 key would not reach every instance in time",
            ));
        }
        let limits = self.limits.resolve()?;
        let clock_skew_allowance = ClockSkewAllowance::try_from(self.clock_skew_allowance)
            .map_err(|error| ConfigError::new(format!("-clock-skew-allowance: {error}")))?;
        let store = self.store.resolve(platform)?;
        let cache = self.cache.resolve(limits.max_in_flight)?;
        let traces = platform.traces.resolve()?;
        Ok(ServeConfig {
            address,
            metrics_address,
            key_file,
            key_reload_interval,
            limits,
            clock_skew_allowance,
            store,
            cache,
            traces,
        })
    }

    /// What is logged: needed before anything else is looked at.
    ///
    /// # Errors
    /// When a value cannot work, or two contradict each other.
    pub fn log(&self, platform: &Platform) -> Result<LogConfig, ConfigError> {
        self.log.resolve(platform, self.store.project_id.as_ref())
    }
}
