//! Log lines on standard error: text for people, JSON for Google Cloud Logging.
//!
//! One line per event. No event may hold a secret; secrets are in types that print nothing.

mod filter;

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::panic::Location;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::filter::{InvalidFilter, LogFilter};
use super::audit::{Audit, AuditMode};
use super::lines::Lines;
pub use super::lines::{LineFigures, Written};
use crate::version::version;

/// How long the last lines may take at the end of the process: what its deadline of eight seconds
/// leaves after the drain, less a little.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(300);

/// The module by which panics are told, wherever they happened.
const PANICS: &str = "token_exchange::panic";

/// What makes Error Reporting take a line for an error (Error Reporting, section Format errors in
/// logs).
pub(super) const ERROR_EVENT: &str =
    "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent";

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default)]
pub struct LogConfig {
    pub format: LogFormat,
    pub filter: LogFilter,
    pub audit: AuditMode,
    pub origin: Origin,
}

/// Where lines come from, as Google Cloud knows it.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The Google Cloud project that traces are in.
    pub project: Option<String>,
    /// The name of the service.
    pub service: String,
}

impl Default for Origin {
    fn default() -> Self {
        Self { project: None, service: "token-exchange".to_owned() }
    }
}

/// The log of a process, until it is dropped.
#[must_use]
pub struct Log {
    pub audit: Audit,
    pub written: Written,
}

/// The form of a line, as it was decided.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Json(Origin),
    Text { is_coloured: bool },
}

impl Default for Form {
    fn default() -> Self {
        Self::Json(Origin::default())
    }
}

/// Sends the log of this process to standard error, until what is returned is dropped.
///
/// # Errors
/// When there is a log already.
pub fn start(config: LogConfig) -> io::Result<Log> {
    let LogConfig { format, filter, audit, origin } = config;
    let is_terminal = io::stderr().is_terminal();
    let form = match format {
        LogFormat::Auto if is_terminal => Form::Text { is_coloured: true },
        LogFormat::Text => Form::Text { is_coloured: is_terminal },
        LogFormat::Auto | LogFormat::Json => Form::Json(origin),
    };
    // The standard library's own handle takes a standard error that is closed for one that works.
    let out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    if audit == AuditMode::Required && leads_nowhere(&out) {
        return Err(io::Error::other(
            "-audit=required: standard error is closed, or leads to /dev/null, where no record \
             stays; send it to where it is kept",
        ));
    }
    let (lines, written) = Lines::to(out, LAST_LINES_WITHIN)?;
    let audit = Audit::new(lines.clone(), form.clone(), filter.clone(), audit);
    // It would complain on standard error, which may be what is gone: that would be a panic.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_max_level(filter.finest()).with_writer(lines);
    log_panics();
    match form {
        Form::Json(origin) => {
            let subscriber = builder.event_format(CloudLogging(origin)).finish();
            subscriber.with(filter.targets()).try_init().map_err(io::Error::other)?;
        }
        Form::Text { is_coloured } => {
            let subscriber = builder.with_target(false).with_ansi(is_coloured).finish();
            subscriber.with(filter.targets()).try_init().map_err(io::Error::other)?;
        }
    }
    Ok(Log { audit, written })
}

/// Whether what is written there is lost. The standard library puts `/dev/null` in the place of a
/// standard error that is closed.
fn leads_nowhere(out: &File) -> bool {
    let nowhere = std::fs::metadata("/dev/null").map(|file| file.rdev());
    matches!((out.metadata(), nowhere), (Ok(out), Ok(nowhere)) if out.rdev() == nowhere)
}

/// A panic becomes an event like any other, with its place and without its message, which can hold
/// anything.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tell_of_panic(panic.location());
    }));
}

fn tell_of_panic(location: Option<&Location<'_>>) {
    let location = location.map(ToString::to_string);
    tracing::error!(
        target: PANICS,
        location,
        "a defect of the service: it panicked; please report it"
    );
}

/// One JSON object per event, with the fields that Google Cloud Logging understands
/// (Structured logging, section Special JSON fields). The event's own fields stand beside them.
struct CloudLogging(Origin);

impl<S, N> FormatEvent<S, N> for CloudLogging
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        event.record(&mut Members(&mut line));
        let metadata = event.metadata();
        line.insert("severity".into(), severity(*metadata.level()).into());
        line.insert("time".into(), Timestamp::now().to_string().into());
        line.insert("target".into(), metadata.target().into());
        if metadata.target() == PANICS {
            let context = serde_json::to_value(ServiceContext::of(&self.0));
            line.insert("@type".into(), ERROR_EVENT.into());
            line.extend(context.ok().map(|context| ("serviceContext".into(), context)));
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}

/// Which service an error is one of.
#[derive(Serialize)]
pub(super) struct ServiceContext<'a> {
    service: &'a str,
    version: String,
}

impl<'a> ServiceContext<'a> {
    pub(super) fn of(origin: &'a Origin) -> Self {
        Self { service: &origin.service, version: version() }
    }
}

/// The level as events show it in text.
pub(super) fn coloured(level: Level, is_coloured: bool) -> String {
    let colour = match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        _ => 32,
    };
    if is_coloured { format!("\u{1b}[{colour}m{level:>5}\u{1b}[0m") } else { format!("{level:>5}") }
}

pub(super) fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "INFO",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

struct Members<'a>(&'a mut Map<String, Value>);

impl Members<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Members<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_panic_is_told_so_that_error_reporting_takes_it_for_an_error() {
        let log = tempfile::NamedTempFile::new().unwrap();
        let origin = Origin { service: "auth".to_owned(), ..Origin::default() };
        let subscriber = tracing_subscriber::fmt()
            .event_format(CloudLogging(origin))
            .with_writer(Arc::new(log.reopen().unwrap()))
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tell_of_panic(Some(Location::caller()));
            tracing::error!("something else");
        });
        let log = std::fs::read_to_string(log.path()).unwrap();
        let [panic, other] = [0, 1].map(|line| log.lines().nth(line).unwrap());
        let panic: Value = serde_json::from_str(panic).unwrap();
        assert_eq!(panic["@type"], ERROR_EVENT);
        assert_eq!(panic["serviceContext"]["service"], "auth");
        assert_eq!(panic["serviceContext"]["version"], version());
        assert_eq!(panic["severity"], "ERROR");
        assert!(panic["location"].as_str().unwrap().starts_with(file!()), "{panic}");
        assert!(!other.contains("@type"), "{other}");
    }
}
