//! The flags of the log, and what they come to.

use clap::Args;
use tracing::Level;

use super::flags::log_levels;
use super::{ConfigError, Platform};
use crate::telemetry::audit::{AuditMode, TARGET};
use crate::telemetry::logs::{LogConfig, LogFilter, LogFormat, Origin};

/// What is written to standard error.
#[derive(Debug, Clone, Args)]
pub struct LogFlags {
    /// The form of log lines; auto is text on a terminal and JSON otherwise
    #[arg(long, env = "LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// How much is logged
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_parser = log_levels(), ignore_case = true)]
    pub log_level: String,
    /// Whether an exchange is answered whose record cannot be written, or refused with 503
    #[arg(long, env = "AUDIT", default_value = "best-effort")]
    pub audit: AuditMode,
}

impl LogFlags {
    /// `project` is that of the store, where somebody has named one.
    ///
    /// # Errors
    /// When `RUST_LOG` is no filter, or hides what is required.
    pub(super) fn resolve(
        &self,
        platform: &Platform,
        project: Option<&String>,
    ) -> Result<LogConfig, ConfigError> {
        // clap lets only names of levels through.
        let mut filter = LogFilter::at(self.log_level.parse().unwrap_or(Level::INFO));
        if let Some(rust_log) = &platform.log_filter {
            filter = filter
                .overruled_by(rust_log)
                .map_err(|error| ConfigError::new(format!("RUST_LOG: {error}")))?;
        }
        if self.audit == AuditMode::Required && !filter.shows(TARGET, Level::INFO) {
            return Err(ConfigError::new(format!(
                "-audit=required contradicts -log-level or RUST_LOG, which hide records of \
                 exchanges; let {TARGET} be at info"
            )));
        }
        let service = platform.service.clone().unwrap_or_else(|| Origin::default().service);
        let project = platform.project.as_ref().or(project).cloned();
        let origin = Origin { project, service };
        Ok(LogConfig { format: self.log_format, filter, audit: self.audit, origin })
    }
}
