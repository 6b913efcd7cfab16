//! `explain`: says in plain words what became of a request, by the lines of its log.
//!
//! What a record means is known to `explain`, the room of the core; here it is read and shown.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::desk::show;
use super::table::{facts, paragraph, time, whole_seconds};
use super::{Error, Outcome, complain};
use crate::config::ExplainFlags;
use crate::explain::{Advice, Findings, Form, Record, SCHEMA, Seen, search};

pub(super) fn run(flags: &ExplainFlags) -> Outcome {
    refuse_credentials(&flags.id)?;
    let mut findings = found(&flags.file, &flags.id)?;
    // Cloud Logging gives the newest first, and a story is told from its beginning.
    findings.records.sort_by_key(|record| record.time);
    for note in notes(&findings) {
        complain(&paragraph("note: ", &note));
    }
    if findings.records.is_empty() {
        for hint in hints(&findings) {
            complain(&paragraph("  - ", &hint));
        }
        return Err("there is no record of this request in the log".into());
    }
    let now = Timestamp::now();
    show(flags.output, || json(&findings), || text(&findings, now))
}

/// Whoever takes a token or a key for an id must not find it in the history of a shell without
/// being told, nor in our answer.
fn refuse_credentials(id: &str) -> Outcome {
    if id.starts_with("eyJ") {
        return Err("this is a token, not the id of one: `explain-token` reads it".into());
    }
    if id.starts_with("mlabk.") {
        return Err("this is an API key, not the id of a request".into());
    }
    if id.is_empty() {
        return Err("the id is empty".into());
    }
    Ok(())
}

fn found(path: &Path, id: &str) -> Result<Findings, Error> {
    let log: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = File::open(path);
        Box::new(opened.map_err(|error| format!("cannot read {}: {error}", path.display()))?)
    };
    search(BufReader::new(log), id)
        .map_err(|error| format!("cannot read {}: {error}", path.display()).into())
}

/// What was not as it should be in the log, whether or not the request was found.
fn notes(findings: &Findings) -> Vec<String> {
    let Seen { form, unreadable, other_schema, not_json, too_long, truncated, .. } = findings.seen;
    let piece = if form == Form::Array { "elements" } else { "lines" };
    let mut notes = Vec::new();
    let mut note = |count: u64, words: &str| {
        if count > 0 {
            notes.push(format!("{piece} that {words}: {count}"));
        }
    };
    note(not_json, "are no JSON, and were skipped");
    note(too_long, "are too long, and were skipped");
    note(unreadable, "should be records and do not have their form, and were skipped");
    if truncated {
        notes.push("the log ends in the middle; what came after that is not known".to_owned());
    }
    if let Some(schema) = other_schema {
        notes.push(format!(
            "there are records of schema {schema}, of which this program does not know more than \
             that; it knows schema {SCHEMA}: use the one of the service's version"
        ));
    }
    if findings.in_another_schema > 0 {
        notes.push(format!("records of this request among them: {}", findings.in_another_schema));
    }
    if findings.more > 0 {
        let kept = findings.records.len();
        notes.push(format!("only the first {kept} are shown; further records: {}", findings.more));
    }
    notes
}

/// Where a record can be that was not found.
fn hints(findings: &Findings) -> Vec<String> {
    let seen = &findings.seen;
    let mut hints = Vec::new();
    if seen.records == 0 {
        hints.push(
            "the log has no record at all: it has to be the service's, written as JSON \
             (`-log-format json`), or what `gcloud logging read --format=json` gives, and with \
             level `info`"
                .to_owned(),
        );
    }
    if let Some((first, last)) = seen.span {
        hints.push(format!(
            "the records of the log are from {} to {}: is the request from another time?",
            whole_seconds(first),
            whole_seconds(last)
        ));
    }
    if seen.dropped > 0 {
        hints.push(format!(
            "the service dropped {} lines, because they were not read fast enough: the record may \
             be one of them",
            seen.dropped
        ));
    }
    hints.push(
        "the record is best effort, and may be lost when an instance ends; with `-audit required` \
         there is no token without one"
            .to_owned(),
    );
    hints.push(
        "what no exchange was begun for has no record: 404, 405, `/health`, the key set, and 503 \
         at the door for want of time or room"
            .to_owned(),
    );
    hints.push(
        "the id of a request is the `X-Request-Id` of its answer; the one of a token is its `jti`, \
         which `explain-token` shows"
            .to_owned(),
    );
    hints
}

fn text(findings: &Findings, now: Timestamp) -> String {
    let (withdrawn, standing): (Vec<_>, Vec<_>) =
        findings.records.iter().partition(|record| findings.is_withdrawn(record));
    let stories: Vec<_> = standing.iter().map(|record| story(record, now)).collect();
    let mut stories = stories.join("\n");
    if !withdrawn.is_empty() {
        stories.push_str(
            "\nAn earlier line says that a token was given. That line was written too late, and no \
             token left.\n",
        );
    }
    match standing.len() {
        1 => stories,
        count => {
            format!("{count} records of this request: the client tried again.\n\n{stories}")
        }
    }
}

/// One record in words.
fn story(record: &Record, now: Timestamp) -> String {
    let when = record.time.map_or_else(|| "at an unknown time".to_owned(), |at| time(at, now));
    let advice = advice(record);
    let happened = advice.map_or_else(
        || format!("for a reason that this program does not know: {}", record.audit.reason),
        |advice| advice.happened.to_owned(),
    );
    let mut text =
        paragraph("", &format!("{when}: {}: {happened}.", record.audit.decision.to_uppercase()));
    text += &facts(circumstances(record, now));
    text + &paragraph("", &format!("What to do: {}.", advice.map_or(NO_ADVICE, |a| a.remedy)))
}

const NO_ADVICE: &str = "use the program of the service's version, or see its documents";

fn advice(record: &Record) -> Option<&'static Advice> {
    Advice::on(&record.audit.reason, record.audit.detail.as_deref())
}

fn circumstances(record: &Record, now: Timestamp) -> Vec<(&'static str, String)> {
    let audit = &record.audit;
    let mut lines = Vec::new();
    let mut add = |name, value: Option<String>| lines.extend(value.map(|value| (name, value)));
    add("cause", audit.detail.clone());
    add("token for", audit.family.clone());
    add("integration", audit.integration.clone());
    add("key", audit.key.clone());
    add("organization", audit.organization.clone());
    add("its key", audit.fingerprint.as_ref().map(|print| format!("fingerprint {print}")));
    add("request", request(record));
    add("request id", audit.request_id.clone());
    add("trace", record.trace.clone());
    add("jti", audit.jti.clone());
    add("signed with", signed_with(record));
    add("issued", moment(audit.issued_at).map(|at| time(at, now)));
    add("valid until", moment(audit.expires_at).map(|at| time(at, now)));
    add("answer from", audit.rests_on().map(str::to_owned));
    add("took", took(record));
    lines
}

fn request(record: &Record) -> Option<String> {
    let request = &record.request;
    let asked = [&request.request_method, &request.request_url];
    let asked: Vec<_> = asked.into_iter().flatten().map(String::as_str).collect();
    let answered = request.status.map(|status| format!("answered {status}"));
    let after = request.latency.as_ref().map(|latency| format!("after {latency}"));
    let words: Vec<_> = (!asked.is_empty())
        .then(|| asked.join(" "))
        .into_iter()
        .chain(answered)
        .chain(after)
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn signed_with(record: &Record) -> Option<String> {
    let kid = record.audit.kid.as_deref()?;
    let algorithm = record.audit.algorithm.as_deref().unwrap_or("an unknown algorithm");
    Some(format!("{algorithm}, key {kid}"))
}

fn took(record: &Record) -> Option<String> {
    let audit = &record.audit;
    let parts = [
        ("key store", audit.store_seconds),
        ("wait for the signature", audit.signing_wait_seconds),
        ("signature", audit.signing_seconds),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter_map(|(name, seconds)| Some(format!("{name} {:.1} ms", seconds? * 1_000.0)))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn moment(seconds: Option<f64>) -> Option<Timestamp> {
    // Beyond what a calendar has it is none.
    Timestamp::from_second(whole(seconds?)).ok()
}

/// What Cloud Logging gives back as floating point, and was none.
#[allow(clippy::cast_possible_truncation, reason = "saturates")]
fn whole(number: f64) -> i64 {
    number as i64
}

fn json(findings: &Findings) -> Value {
    let record = |record: &Record| {
        let (audit, advice) = (&record.audit, advice(record));
        json!({
            "time": record.time.map(|time| time.to_string()),
            "decision": audit.decision,
            "reason": audit.reason,
            "happened": advice.map(|advice| advice.happened),
            "remedy": advice.map(|advice| advice.remedy),
            "detail": audit.detail,
            "family": audit.family,
            "integration": audit.integration,
            "key": audit.key,
            "organization": audit.organization,
            "fingerprint": audit.fingerprint,
            "request_id": audit.request_id,
            "trace": record.trace,
            "jti": audit.jti,
            "kid": audit.kid,
            "algorithm": audit.algorithm,
            "issued_at": moment(audit.issued_at).map(|time| time.to_string()),
            "expires_at": moment(audit.expires_at).map(|time| time.to_string()),
            "source": audit.source,
            "status": record.request.status.map(whole),
            "latency": record.request.latency,
            "store_seconds": audit.store_seconds,
            "signing_wait_seconds": audit.signing_wait_seconds,
            "signing_seconds": audit.signing_seconds,
            "withdrawn": findings.is_withdrawn(record),
        })
    };
    json!({
        "records": findings.records.iter().map(record).collect::<Vec<_>>(),
        "more": findings.more,
    })
}
