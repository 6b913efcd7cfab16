//! Log lines on standard error: text for people, JSON for Google Cloud Logging.
//!
//! One line per event. No event may hold a secret; secrets are in types that print nothing.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::lines::{Lines, Written};

/// How long the last lines may take at the end of the process: what its deadline of eight seconds
/// leaves after the drain, less a little.
const LAST_LINES_WITHIN: Duration = Duration::from_millis(300);

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// Sends the log of this process to standard error, until what is returned is dropped.
///
/// `level` is that of the service itself. The libraries below it are heard only when they warn:
/// their finer levels are about frames and buffers, which can hold what nobody may read.
///
/// # Errors
/// When there is a log already.
pub fn start(format: LogFormat, level: Level) -> io::Result<Written> {
    let filter = Targets::new().with_default(Level::WARN).with_target("token_exchange", level);
    let (lines, written) = Lines::to(io::stderr(), LAST_LINES_WITHIN)?;
    // It would complain on standard error, which may be what is gone: that would be a panic.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_max_level(level.max(Level::WARN)).with_writer(lines);
    let is_json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    log_panics();
    if is_json {
        let subscriber = builder.event_format(CloudLogging).finish();
        subscriber.with(filter).try_init().map_err(io::Error::other)?;
    } else {
        let subscriber = builder.with_target(false).with_ansi(io::stderr().is_terminal()).finish();
        subscriber.with(filter).try_init().map_err(io::Error::other)?;
    }
    Ok(written)
}

/// A panic becomes an event like any other, with its place and without its message, which can hold
/// anything.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a defect of the service: it panicked; please report it");
    }));
}

/// One JSON object per event, with the fields that Google Cloud Logging understands
/// (Structured logging, section Special JSON fields). The event's own fields stand beside them.
struct CloudLogging;

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
        writeln!(writer, "{}", Value::Object(line))
    }
}

fn severity(level: Level) -> &'static str {
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
