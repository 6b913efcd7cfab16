//! One record of each exchange that got past the door: what was asked for, what was decided, on
//! what it rests. `docs/audit.md` is the schema.
//!
//! On the way of a request a record is only handed over; it is put into words where it is written.
//! No secret can enter: there is none in a [`Report`].

mod line;

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{StatusCode, Version};
use jiff::Timestamp;
use tracing::Level;

use super::lines::{Deferred, Lines};
use super::logs::{Form, LogFilter, Written};
use super::traces::RequestTrace;
use crate::exchange::{Decision, Reason, Report};
use crate::http::RequestId;

/// The version of the schema: a member that is taken away, or means something else, makes a new one.
pub const SCHEMA: u32 = 1;

/// The module by which filters know the records.
pub const TARGET: &str = "token_exchange::audit";

/// What becomes of an exchange whose record cannot be written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AuditMode {
    /// It goes on; the record is counted as dropped.
    #[default]
    BestEffort,
    /// It is answered with 503, without a token.
    Required,
}

/// Why an exchange must not be answered as it was decided: nobody would ever know of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record of the exchange could not be written")]
pub struct Unrecorded;

/// Keeps records. Clones keep them in the same place; the default one keeps none.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Book>>);

struct Book {
    lines: Lines,
    form: Form,
    filter: LogFilter,
    mode: AuditMode,
}

/// What the operator is told beside the reason. Free of secrets, as every error is.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// One exchange that is over.
#[derive(Debug, Clone)]
pub struct Record {
    /// The kind of token that was asked for.
    pub family: &'static str,
    pub request_id: RequestId,
    /// Where it stands in a trace, if it does.
    pub trace: Option<RequestTrace>,
    /// Of HTTP.
    pub version: Version,
    /// When the head of the request had come.
    pub begun: Instant,
    pub ended_at: Timestamp,
    /// From its beginning to its end.
    pub latency: Duration,
    /// What the caller was told, if anybody was.
    pub status: Option<StatusCode>,
    /// Why there is no token; `None` if there is one.
    pub rejected: Option<Reason>,
    pub cause: Option<Cause>,
    pub report: Report,
}

impl Record {
    /// What became of it.
    #[must_use]
    pub fn decision(&self) -> Decision {
        self.rejected.map_or(Decision::Granted, Reason::decision)
    }

    /// The same exchange, whose record was not written in time: whatever was decided, there was no
    /// token.
    #[must_use]
    pub fn unrecorded(&self, status: Option<StatusCode>) -> Self {
        let cause: Cause = Arc::new(Unrecorded);
        // Its own end: whoever sorts the lines has it after the one that it takes back.
        let (ended_at, latency) = (Timestamp::now(), self.begun.elapsed());
        let rejected = Some(Reason::Audit);
        Self { ended_at, latency, status, rejected, cause: Some(cause), ..self.clone() }
    }

    /// What the operator has to act on is loud; what callers do is not.
    fn level(&self) -> Level {
        match self.decision() {
            Decision::Granted | Decision::Refused | Decision::Shed | Decision::Abandoned => {
                Level::INFO
            }
            Decision::Unavailable => Level::WARN,
            Decision::Failed => Level::ERROR,
        }
    }
}

impl Audit {
    pub(super) fn new(lines: Lines, form: Form, filter: LogFilter, mode: AuditMode) -> Self {
        Self(Some(Arc::new(Book { lines, form, filter, mode })))
    }

    /// Keeps every record in one place, as JSON and apart from any log, until what is returned
    /// beside it is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn to(out: impl Write + Send + 'static, mode: AuditMode) -> io::Result<(Self, Written)> {
        let (lines, written) = Lines::to(out, Duration::from_secs(1))?;
        Ok((Self::new(lines, Form::default(), LogFilter::default(), mode), written))
    }

    /// Has a record written. Where records are required, waits until it is, for a second at most.
    ///
    /// # Errors
    /// When a required record was not written.
    pub async fn keep(&self, record: Arc<Record>) -> Result<(), Unrecorded> {
        let Some(book) = &self.0 else { return Ok(()) };
        match book.mode {
            AuditMode::BestEffort => {
                self.note(record);
                Ok(())
            }
            AuditMode::Required => {
                let entry = Entry { record, book: Arc::clone(book) };
                let is_written = book.lines.keep_surely(Box::new(entry)).await;
                if is_written { Ok(()) } else { Err(Unrecorded) }
            }
        }
    }

    /// Has a record written that nobody waits for.
    pub fn note(&self, record: Arc<Record>) {
        if let Some(book) = &self.0
            && book.filter.shows(TARGET, record.level())
        {
            book.lines.keep(Box::new(Entry { record, book: Arc::clone(book) }));
        }
    }
}

/// A record on its way.
struct Entry {
    record: Arc<Record>,
    book: Arc<Book>,
}

impl Deferred for Entry {
    fn write_to(&self, lines: &mut Vec<u8>) {
        line::write(&self.record, &self.book.form, lines);
    }

    fn withdraw(&mut self) {
        self.record = Arc::new(self.record.unrecorded(None));
    }
}
