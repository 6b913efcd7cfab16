//! What became of a request: finds its records in a log, and says what they mean.
//!
//! The log is read as the service prints it, a JSON object a line, with or without what
//! `docker compose logs` and the like put before each, or as `gcloud logging read --format=json`
//! gives it, an array. It is other people's text: whatever it holds is read, counted or skipped, and
//! never more of it kept than a bound allows.
//!
//! What may not enter: files, printing, and how records are written (that is `telemetry`).

mod advice;
mod pieces;
mod record;

use std::io::{self, BufRead};

use jiff::Timestamp;

pub use self::advice::{ADVICE, Advice};
pub use self::pieces::Form;
use self::pieces::{Piece, Pieces};
pub use self::record::{Audit, Record, Request, SCHEMA};
use self::record::{Reading, read};

/// Records of one request that are kept: a client that tries again for a day is told from one that
/// tries again twice, and memory is for the whole of it.
const MAX_RECORDS: usize = 100;

/// What was found in a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Findings {
    /// In the order of the log.
    pub records: Vec<Record>,
    /// Beyond those that are kept.
    pub more: u64,
    /// Records of the request in a schema that is not known here.
    pub in_another_schema: u64,
    pub seen: Seen,
}

/// What the log consists of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    pub form: Form,
    /// Records of whatever request.
    pub records: u64,
    /// The times of the first and the last of them, as the log has them.
    pub span: Option<(Timestamp, Timestamp)>,
    /// Lines or entries that are JSON, and no record.
    pub others: u64,
    /// Records that do not have the form of a record.
    pub unreadable: u64,
    /// The newest schema among the records that is not known here.
    pub other_schema: Option<u64>,
    /// Lines or elements that are no JSON.
    pub not_json: u64,
    /// Those that are longer than is read of one.
    pub too_long: u64,
    /// Lines that the service itself says it has dropped.
    pub dropped: u64,
    /// The log ends in the middle of a line or of the array.
    pub truncated: bool,
}

/// Reads a log to its end and keeps what is of the request, by its id or by the `jti` of its token.
///
/// # Errors
/// When the log cannot be read on. What it says is never an error.
pub fn search(log: impl BufRead, id: &str) -> io::Result<Findings> {
    let mut pieces = Pieces::of(log)?;
    let mut findings =
        Findings { records: Vec::new(), more: 0, in_another_schema: 0, seen: Seen::default() };
    while let Some(piece) = pieces.next()? {
        match piece {
            Piece::Whole(bytes) => findings.take(read(bytes), id),
            Piece::Cut(bytes) => {
                // A line may lack its newline and be whole all the same.
                let reading = read(bytes);
                findings.seen.truncated |= reading == Reading::NotJson;
                findings.take(reading, id);
            }
            Piece::TooLong => findings.seen.too_long += 1,
        }
    }
    findings.seen.form = pieces.form();
    findings.seen.truncated |= pieces.is_cut();
    Ok(findings)
}

impl Findings {
    /// Whether a later record says that this one's token never left: it was written too late, where
    /// no token is given without its record.
    #[must_use]
    pub fn is_withdrawn(&self, record: &Record) -> bool {
        let Audit { jti: Some(jti), decision, .. } = &record.audit else { return false };
        decision == "granted"
            && self
                .records
                .iter()
                .any(|other| other.audit.reason == "audit" && other.audit.jti.as_ref() == Some(jti))
    }

    fn take(&mut self, reading: Reading, id: &str) {
        match reading {
            Reading::Record(record) => {
                self.seen.count(record.time);
                if !record.is_of(id) {
                } else if self.records.len() < MAX_RECORDS {
                    self.records.push(*record);
                } else {
                    self.more += 1;
                }
            }
            Reading::OtherSchema { schema, ids } => {
                self.seen.other_schema = self.seen.other_schema.max(Some(schema));
                self.in_another_schema += u64::from(ids.iter().any(|known| known == id));
            }
            Reading::Dropped(lines) => {
                self.seen.others += 1;
                self.seen.dropped = self.seen.dropped.saturating_add(lines);
            }
            Reading::Other => self.seen.others += 1,
            Reading::Unreadable => self.seen.unreadable += 1,
            Reading::NotJson => self.seen.not_json += 1,
        }
    }
}

impl Seen {
    fn count(&mut self, time: Option<Timestamp>) {
        self.records += 1;
        if let Some(time) = time {
            let (first, last) = self.span.unwrap_or((time, time));
            self.span = Some((first.min(time), last.max(time)));
        }
    }
}
