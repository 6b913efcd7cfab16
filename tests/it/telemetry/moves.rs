//! What each request and each fault moves on the page: exactly what the table promises, and nothing
//! else. Each row has a service of its own, and its page is compared before and after, whole.
//!
//! A row says what is there (`Stage`), what is done, what has moved since, and which warnings are in
//! the log. That each answer has a record and a span, and that these say what the page says, is the
//! same for all rows (`Witnesses`).

#![allow(clippy::float_cmp, reason = "what is counted is whole")]

mod callers;
mod faults;
mod here;
mod load;
mod machine;
mod stage;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use token_exchange::exchange::Reason;

use self::stage::Stage;
use super::table::{Values, table};
use crate::support::eventually::poll;
use crate::support::metrics_page::{Page, family_of, labels_in, name_of};

/// Far more than it takes: the longest row waits ten seconds for a body, and others for a store.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// Services at once.
const LANES: usize = 4;

/// What moves with time alone, or with the look at the page.
const BY_ITSELF: [&str; 5] = [
    "process_",
    "tokenexchange_clock_skew_seconds",
    "tokenexchange_datastore_retry_budget",
    "tokenexchange_signing_key_next_",
    // Spans are sent when a batch is due; `traces::collectors` has collectors of all kinds.
    "tokenexchange_traces_",
];

/// What no row moves, and why.
const NOT_MOVED: [(&str, &str); 7] = [
    // `google::tokens` has the sources of access tokens, which are not there with an emulator.
    ("tokenexchange_datastore_credentials_built_total", ""),
    ("tokenexchange_datastore_failed_credentials_total", ""),
    // `cache::bulkhead` has the thousand readers that it takes.
    ("tokenexchange_store_read_duration_seconds", "overloaded"),
    // `store_faults::budget` spends it.
    ("tokenexchange_datastore_retries_forgone_total", ""),
    // `logs` stops reading.
    ("tokenexchange_log_lines_dropped_total", ""),
    ("tokenexchange_log_lines_dropped_total", "log"),
    ("tokenexchange_log_lines_dropped_total", "audit"),
];

/// Reasons that no row gives: `audit::reasons` breaks off a body and crowds the store, and
/// `audit::required` has logs that cannot be written.
const NOT_GIVEN: [Reason; 3] = [Reason::BodyBroken, Reason::Crowded, Reason::Audit];

/// One row of the table.
struct Row {
    what: String,
    /// `None` when its tools are missing.
    stage: Box<dyn FnOnce() -> Option<Stage> + Send>,
    moves: Vec<(String, By)>,
    /// The lines of the log that are warnings or worse, but for records.
    says: Vec<&'static str>,
}

/// How far a series moves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    Exactly(f64),
    /// Once at least.
    Some,
    /// It may, or may not.
    Perhaps,
}

/// The series that have moved, or `None` without the row's tools; an error, if they are not those of
/// the row.
type Outcome = Result<Option<Vec<String>>, String>;

impl Row {
    fn new(
        what: impl Into<String>,
        stage: impl FnOnce() -> Option<Stage> + Send + 'static,
        moves: impl IntoIterator<Item = Vec<(String, By)>>,
    ) -> Self {
        let moves = moves.into_iter().flatten().collect();
        Self { what: what.into(), stage: Box::new(stage), moves, says: Vec::new() }
    }

    fn says(mut self, line: &'static str) -> Self {
        self.says.push(line);
        self
    }

    fn run(self) -> Outcome {
        let Some(Stage { metrics_address, before, act, witnesses }) = (self.stage)() else {
            return Ok(None);
        };
        let page = || Page::read(&stage::page(&metrics_address));
        let standing = poll(SETTLED_WITHIN, || {
            let page = page();
            before.iter().all(|(series, value)| page.series[*series] == *value).then_some(page)
        });
        let standing = standing.ok_or_else(|| format!("{}: it is not at rest", self.what))?;
        let _held = act();
        let mut last = BTreeMap::new();
        let settled = poll(SETTLED_WITHIN, || {
            last = moved(&standing, &page());
            agrees(&self.moves, &last).then_some(())
        });
        if settled.is_none() {
            let expected: BTreeMap<_, _> = self.moves.into_iter().collect();
            return Err(format!("{}: moved {last:#?}\ninstead of {expected:?}", self.what));
        }
        let agreed = witnesses.agree(&metrics_address, &self.says);
        agreed.map_err(|why| format!("{}: {why}", self.what))?;
        Ok(Some(last.into_keys().collect()))
    }
}

/// The series that have moved, a histogram by its count.
fn moved(before: &Page, after: &Page) -> BTreeMap<String, f64> {
    let is_compared = |series: &&String| {
        let name = name_of(series);
        !name.ends_with("_bucket")
            && !name.ends_with("_sum")
            && !BY_ITSELF.iter().any(|prefix| name.starts_with(prefix))
    };
    let all: BTreeSet<&String> = before.series.keys().chain(after.series.keys()).collect();
    let value = |page: &Page, series: &str| page.series.get(series).copied().unwrap_or(0.0);
    let moves = all.into_iter().filter(is_compared).map(|series| {
        let by = value(after, series) - value(before, series);
        (series.clone(), by)
    });
    moves.filter(|(_, by)| *by != 0.0).collect()
}

fn agrees(expected: &[(String, By)], moved: &BTreeMap<String, f64>) -> bool {
    let is_expected = |series: &String| expected.iter().any(|(of, _)| of == series);
    moved.keys().all(is_expected)
        && expected.iter().all(|(series, by)| match (by, moved.get(series)) {
            (By::Exactly(by), Some(moved)) => by == moved,
            (By::Some, Some(moved)) => *moved > 0.0,
            (By::Perhaps, _) => true,
            (_, None) => false,
        })
}

#[test]
fn every_request_and_every_fault_moves_exactly_what_it_should_and_all_that_is_promised_moves() {
    let quiet = [callers::rows(), faults::rows(), load::rows(), machine::rows()];
    let quiet = run(quiet.into_iter().flatten().collect(), LANES);
    let loud = run(load::loud_rows(), 1);
    let (moved, failures): (Vec<_>, Vec<_>) =
        quiet.into_iter().chain(loud).partition(Result::is_ok);
    let failures: Vec<String> = failures.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    // Without its tools a row has moved nothing, and nothing can be said of all of them.
    if let Some(moved) = moved.into_iter().map(Result::unwrap).collect::<Option<Vec<_>>>() {
        let moved: BTreeSet<Part> =
            moved.iter().flatten().flat_map(|series| parts_of(series)).collect();
        let promised = promised();
        let missing: Vec<_> = promised.difference(&moved).collect();
        let extra: Vec<_> = moved.difference(&promised).collect();
        assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:?}, extra: {extra:?}");
    }
}

/// Runs rows, so many at a time.
fn run(rows: Vec<Row>, lanes: usize) -> Vec<Outcome> {
    let waiting = Mutex::new(rows);
    let outcomes = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                let next = || waiting.lock().unwrap().pop();
                while let Some(row) = next() {
                    let what = row.what.clone();
                    let outcome = catch_unwind(AssertUnwindSafe(|| row.run()));
                    let outcome = outcome.unwrap_or_else(|_| Err(format!("{what}: it panicked")));
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Each family that is no gauge, and each value of its labels that the table lists.
fn promised() -> BTreeSet<Part> {
    let mut promised = BTreeSet::new();
    for (family, told) in table().into_iter().filter(|(_, told)| told.kind != "gauge") {
        if BY_ITSELF.iter().any(|prefix| family.starts_with(prefix)) {
            continue;
        }
        promised.insert((family.clone(), String::new()));
        for values in told.labels.into_values() {
            let Values::These(values) = values else { continue };
            promised.extend(values.into_iter().map(|value| (family.clone(), value)));
        }
    }
    for (family, value) in NOT_MOVED {
        assert!(promised.remove(&(family.to_owned(), value.to_owned())), "{family}, {value}");
    }
    for reason in NOT_GIVEN {
        let part = ("tokenexchange_rejections_total".to_owned(), reason.as_str().to_owned());
        assert!(promised.remove(&part), "{reason:?}");
    }
    promised
}

/// A family and a value of one of its labels; without a value, the family itself.
type Part = (String, String);

fn parts_of(series: &str) -> Vec<Part> {
    let family = family_of(name_of(series));
    let told = &table()[family];
    if told.kind == "gauge" {
        return Vec::new();
    }
    let listed = |(label, value): (&str, &str)| match &told.labels[label] {
        Values::These(_) => Some(value.to_owned()),
        Values::Open => None,
    };
    let values = labels_in(series).filter_map(listed);
    values.chain([String::new()]).map(|value| (family.to_owned(), value)).collect()
}
