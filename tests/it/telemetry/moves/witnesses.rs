//! What the log and the spans say of what was done, held against what the page has counted.
//!
//! Whoever finds something on one of the three looks for it on the others: each answer that is
//! counted has a record and a span of the same family, status and reason, each signature, each look
//! into memory and each attempt at the store a span, and nothing else has any. A service is compared
//! from its start on.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::SETTLED_WITHIN;
use super::stage::{FAMILIES, WITHIN, page};
use crate::support::eventually::poll;
use crate::support::http_client::Request;
use crate::support::log::{is_record, lines};
use crate::support::metrics_page::{Page, labels_in, name_of};
use crate::traces::otlp::{Collector, Node, Trace};

/// The name of the last request.
const LAST: &str = "the-last";

/// What the log says of them, from time to time.
const IS_SHED: &str = "more is asked for than can be done in time";

/// Reasons that have no record and no span: the door has looked at nothing.
const AT_THE_DOOR: [&str; 2] = ["shed", "too_many"];

/// Those who tell of a service, beside its page.
pub struct Witnesses {
    /// The log so far.
    pub log: Box<dyn Fn() -> String>,
    /// A service in this process keeps its records alone: what else it says, nobody hears.
    pub hears_records_only: bool,
    /// `None` where there are more spans than a collector has to keep.
    pub collector: Option<Rc<Collector>>,
    /// Where one more request is answered, after which nothing of what was before can come.
    /// `None` where there is no room for one.
    pub address: Option<String>,
}

impl Witnesses {
    /// Compares all three, once they have said all that they have to say. The lines beside the
    /// records that are warnings or worse have to be these.
    pub fn agree(&self, metrics_address: &str, says: &[&str]) -> Result<(), String> {
        if let Some(address) = &self.address {
            let last = Request::post("/v0/token/autojoin", "").header("X-Request-Id", LAST);
            // A queue that has stood may still be shed.
            let sent = poll(SETTLED_WITHIN, || {
                let answer = last.send(address, WITHIN).expect("it is answered");
                (answer.status == 400).then_some(())
            });
            sent.ok_or("there is no room for the last request")?;
        }
        let mut why = String::new();
        let agreed = poll(SETTLED_WITHIN, || {
            let outcome = self.compare(&Page::read(&page(metrics_address)), says);
            outcome.map_err(|said| why = said).ok()
        });
        agreed.ok_or(why)
    }

    fn compare(&self, page: &Page, says: &[&str]) -> Result<(), String> {
        let lines = lines(&(self.log)());
        let is_last = |line: &Value| line["audit"]["request_id"] == LAST;
        if self.address.is_some() && !lines.iter().any(is_last) {
            return Err(format!("the log ends with {:?}", lines.last()));
        }
        let mut says = says.to_vec();
        let counted = Account::of_page(page);
        if counted.is_shed {
            says.push(IS_SHED);
        }
        let warns = |line: &&Value| !is_record(line) && line["severity"] != "INFO";
        let mut warnings: Vec<_> =
            lines.iter().filter(warns).map(|line| line["message"].as_str().unwrap()).collect();
        // Some are said again from time to time.
        warnings.dedup();
        if warnings != says && !self.hears_records_only {
            return Err(format!("the log says {warnings:#?} instead of {says:#?}"));
        }
        let recorded = Account::of_records(lines.iter().filter(|line| is_record(line)));
        counted.hold("the log", recorded)?;
        match &self.collector {
            Some(collector) => {
                counted.hold("the collector", Account::of_traces(&collector.traces()))
            }
            None => Ok(()),
        }
    }
}

/// How often of each kind.
type Tally = BTreeMap<String, u64>;

/// What has come to be, from whomever it is known; `None` is what cannot be known from there.
#[derive(Debug, Clone, Default, PartialEq)]
struct Account {
    /// By family and status.
    answers: Tally,
    /// By family and reason.
    refusals: Tally,
    /// Something was refused at the door.
    is_shed: bool,
    signatures: Option<u64>,
    /// What answers rest on.
    sources: Option<Tally>,
    /// By their outcome.
    attempts: Option<Tally>,
}

impl Account {
    /// What is known on both sides has to be the same.
    fn hold(&self, by: &str, told: Self) -> Result<(), String> {
        let mut counted = Self { is_shed: false, ..self.clone() };
        let mut told = told;
        leave_out_unless_both(&mut counted.signatures, &mut told.signatures);
        leave_out_unless_both(&mut counted.sources, &mut told.sources);
        leave_out_unless_both(&mut counted.attempts, &mut told.attempts);
        if counted == told {
            return Ok(());
        }
        Err(format!("counted are {counted:#?}\n{by} has {told:#?}"))
    }

    fn of_page(page: &Page) -> Self {
        let by = |family: &str, labels: &[&str]| {
            let series = page.series.iter();
            let of = series.filter(|(series, value)| name_of(series) == family && **value > 0.0);
            let entries = of.map(|(series, value)| {
                let all: BTreeMap<_, _> = labels_in(series).collect();
                let values: Vec<_> = labels.iter().map(|label| all[label]).collect();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "what is counted is whole"
                )]
                let count = *value as u64;
                (values.join(" "), count)
            });
            entries.collect::<Tally>()
        };
        let answers = FAMILIES.into_iter().flat_map(|family| {
            let codes = by(&format!("tokenexchange_{family}_requests_total"), &["code"]);
            codes.into_iter().map(move |(code, count)| (format!("{family} {code}"), count))
        });
        let answers = answers.collect();
        let refusals = by("tokenexchange_rejections_total", &["family", "reason"]);
        let signatures = by("tokenexchange_signing_duration_seconds_count", &[]).into_values();
        // Of those that were signed too late there is no token to tell of.
        let are_late = refusals.keys().any(|refusal| refusal.ends_with(" queue_wait"));
        let signatures = (!are_late).then(|| signatures.sum());
        // A service in this process may have no memory before its store, and counts nothing of it.
        let has_memory = page.families.contains_key("tokenexchange_cache_answers_total");
        let sources = has_memory.then(|| by("tokenexchange_cache_answers_total", &["source"]));
        let attempts = Self::attempts_of(page, sources.as_ref(), by);
        Self { answers, refusals, is_shed: false, signatures, sources, attempts }.without_the_door()
    }

    fn attempts_of(
        page: &Page,
        sources: Option<&Tally>,
        by: impl Fn(&str, &[&str]) -> Tally,
    ) -> Option<Tally> {
        // A read that no request waits for is in no trace.
        if sources?.contains_key("refreshing") {
            return None;
        }
        // An attempt is counted from its connection on, and drawn without one, too.
        let unconnected = page.series.get("tokenexchange_datastore_failed_connections_total");
        if unconnected.is_some_and(|count| *count > 0.0) {
            return None;
        }
        let attempts = "tokenexchange_datastore_attempt_duration_seconds";
        if page.families.contains_key(attempts) {
            return Some(by(&format!("{attempts}_count"), &["outcome"]));
        }
        // A file is tried once for each read.
        Some(by("tokenexchange_store_read_duration_seconds_count", &["outcome"]))
    }

    /// Takes away what was counted at the door.
    fn without_the_door(mut self) -> Self {
        for family in FAMILIES {
            for reason in AT_THE_DOOR {
                let Some(count) = self.refusals.remove(&format!("{family} {reason}")) else {
                    continue;
                };
                self.is_shed = true;
                let answers = format!("{family} 503");
                *self.answers.get_mut(&answers).expect("each has an answer") -= count;
                self.answers.retain(|_, count| *count > 0);
            }
        }
        self
    }

    fn of_records<'a>(records: impl Iterator<Item = &'a Value>) -> Self {
        let mut account = Self::default();
        let (mut signatures, mut sources) = (0, Tally::new());
        for record in records {
            let audit = &record["audit"];
            let text = |name: &str| audit[name].as_str();
            account.exchange(
                text("family").unwrap(),
                text("reason").unwrap(),
                record["httpRequest"].get("status").map(Value::to_string),
            );
            signatures += u64::from(audit.get("signing_seconds").is_some());
            let unavailable = || text("reason").filter(|reason| *reason == "unavailable");
            if let Some(source) = text("source").or_else(unavailable) {
                count(&mut sources, source);
            }
        }
        Self { signatures: Some(signatures), sources: Some(sources), ..account }
    }

    fn of_traces(traces: &[Trace]) -> Self {
        let mut account = Self::default();
        let (mut signatures, mut sources, mut attempts) = (0, Tally::new(), Tally::new());
        for trace in traces {
            let attribute = |name: &str| trace.attribute(&format!("token_exchange.{name}"));
            account.exchange(
                attribute("family").unwrap(),
                attribute("reason").unwrap(),
                trace.attribute("http.response.status_code").map(str::to_owned),
            );
            for stage in &trace.request.below {
                match stage.name.as_str() {
                    "sign" => {
                        let is_made = stage.attributes.contains_key("token_exchange.algorithm");
                        signatures += u64::from(is_made);
                    }
                    "find" => find(stage, &mut sources, &mut attempts),
                    _ => {}
                }
            }
        }
        let (sources, attempts) = (Some(sources), Some(attempts));
        Self { signatures: Some(signatures), sources, attempts, ..account }
    }

    fn exchange(&mut self, family: &str, reason: &str, status: Option<String>) {
        if let Some(status) = status {
            count(&mut self.answers, &format!("{family} {status}"));
        }
        if reason != "granted" {
            count(&mut self.refusals, &format!("{family} {reason}"));
        }
    }
}

fn leave_out_unless_both<T>(one: &mut Option<T>, other: &mut Option<T>) {
    if one.is_none() || other.is_none() {
        (*one, *other) = (None, None);
    }
}

fn find(find: &Node, sources: &mut Tally, attempts: &mut Tally) {
    if let Some(source) = find.attributes.get("token_exchange.source").or(find.error.as_ref()) {
        count(sources, source);
    }
    // The attempts of a read that was joined are those of the request that began it.
    if !find.attributes.contains_key("token_exchange.joined") {
        for attempt in &find.below {
            count(attempts, &attempt.attributes["token_exchange.outcome"]);
        }
    }
}

fn count(tally: &mut Tally, what: &str) {
    *tally.entry(what.to_owned()).or_default() += 1;
}
