//! Services for a row, and what to do to them.

use std::any::Any;
use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use token_exchange::key_life::Terms;
use token_exchange::key_store::sqlite::SqliteStore;
use token_exchange::key_store::{IntegrationKeyRow, KeyAdmin as _, Write};
use tokio::runtime::Runtime;

use super::By;
use super::witnesses::Witnesses;
use crate::refusals::{integration_key, organization_key, revoke, row, terms};
use crate::support::http_client::{Answer, Request};
use crate::support::service::{Launch, Service};
use crate::traces::otlp::Collector;

pub const WITHIN: Duration = Duration::from_secs(30);
pub const FAMILIES: [&str; 2] = ["integration", "autojoin"];

/// What is there before something is done.
pub struct Stage {
    pub metrics_address: String,
    /// What the page has to show first: what came before is over then.
    pub before: Vec<(&'static str, f64)>,
    /// Does it. What it leaves is kept until all has been looked at.
    pub act: Box<dyn FnOnce() -> Kept>,
    /// Who has to say the same as the page.
    pub witnesses: Witnesses,
}

impl Stage {
    /// With a request under way that leaves no room for another one.
    pub fn with_one_that_waits(mut self) -> Self {
        self.before = ONE_WAITS.to_vec();
        self.witnesses.address = None;
        self
    }
}

/// Whatever has to stay as long as the page is looked at.
pub type Kept = Box<dyn Any>;

/// A service whose spans are kept.
pub struct Traced {
    service: Service,
    collector: Collector,
}

impl Traced {
    pub fn serve(launch: Launch) -> Self {
        let collector = Collector::start();
        let service = launch.tracing_to(&collector.endpoint()).serve();
        Self { service, collector }
    }
}

impl Deref for Traced {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

/// A service at rest, to which something is done.
pub fn stage<T: 'static>(traced: Traced, act: impl FnOnce(&Service) -> T + 'static) -> Stage {
    let Traced { service, collector } = traced;
    let service = Rc::new(service);
    let witness = Rc::clone(&service);
    Stage {
        metrics_address: service.metrics_address().to_owned(),
        before: AT_REST.to_vec(),
        witnesses: Witnesses {
            log: Box::new(move || witness.process.stderr()),
            hears_records_only: false,
            collector: Some(Rc::new(collector)),
            address: Some(service.address().to_owned()),
        },
        act: Box::new(move || {
            let kept = act(&service);
            Box::new((service, kept))
        }),
    }
}

/// The same, after it has given one token. A signature is counted after it was handed over.
pub fn stage_after_a_token<T: 'static>(
    traced: Traced,
    act: impl FnOnce(&Service) -> T + 'static,
) -> Stage {
    let mut stage = stage(traced, act);
    stage.before.push((r#"tokenexchange_signing_duration_seconds_count{algorithm="RS256"}"#, 1.0));
    stage
}

pub const AT_REST: [(&str, f64); 3] = [
    ("tokenexchange_connections_open", 0.0),
    ("tokenexchange_exchanges_in_flight", 0.0),
    ("tokenexchange_store_reads_in_flight", 0.0),
];

/// A request is under way, and nothing else.
const ONE_WAITS: [(&str, f64); 2] =
    [("tokenexchange_connections_open", 1.0), ("tokenexchange_exchanges_in_flight", 1.0)];

pub fn page(metrics_address: &str) -> String {
    Request::get("/metrics").send(metrics_address, WITHIN).unwrap().text()
}

/// Sends a request whose answer has to have a status.
pub fn send(service: &Service, request: &Request, status: u16) -> Answer {
    let answer = request.send(service.address(), WITHIN).expect("every request gets an answer");
    assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
    answer
}

/// Presents a key; the answer has to have a status.
pub fn present(service: &Service, family: &str, key: &str, status: u16) {
    assert_eq!(service.exchange(family, key).status, status, "{family}: {key}");
}

/// Keys of both families in a file: a valid one, and one for each reason to refuse one.
pub struct Keys {
    folder: TempDir,
    keys: Vec<(&'static str, &'static str, String)>,
}

/// Made once; nobody writes to them.
pub static KEYS: LazyLock<Keys> = LazyLock::new(Keys::make);

impl Keys {
    /// Of a file of its own, for rows that do something to it.
    pub fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.db");
        let runtime = Runtime::new().unwrap();
        let keys = runtime.block_on(async {
            let store = SqliteStore::open(&file).unwrap();
            let mut keys = Vec::new();
            for (name, terms) in [
                ("valid", Terms::default()),
                ("not_active", Terms::default()),
                ("not_yet_valid", terms(Some("2999-01-01T00:00:00Z"), None)),
                ("expired", terms(None, Some("2021-01-01T00:00:00Z"))),
                ("revoked", Terms::default()),
            ] {
                let called = format!("ki_{name}");
                let key = integration_key(&store, &called, &terms).await;
                keys.push(("integration", name, key.expose_secret().to_owned()));
                let key = organization_key(&store, &called, &terms).await;
                keys.push(("autojoin", name, key.expose_secret().to_owned()));
            }
            let paused = row(&store, "ki_not_active").await;
            let paused = IntegrationKeyRow { status: "paused".to_owned(), ..paused };
            store.commit(&Write::ReplaceIntegrationKey(paused).into()).await.unwrap();
            revoke(&store, "ki_revoked").await;
            keys
        });
        Self { folder, keys }
    }

    pub fn key(&self, family: &str, name: &str) -> &str {
        let mut keys = self.keys.iter();
        &keys.find(|(of, called, _)| (*of, *called) == (family, name)).expect("there is one").2
    }

    pub fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("keys.db")
    }

    /// A service that has them, and signs with the recorded key.
    pub fn serve(&self, flags: &[&str]) -> Traced {
        self.serve_with(Launch::token_exchange().recorded_signing_key(), flags)
    }

    pub fn serve_with(&self, launch: Launch, flags: &[&str]) -> Traced {
        let launch = flags.iter().fold(launch, |launch, flag| launch.arg(flag));
        Traced::serve(launch.arg(&format!("-key-store=sqlite:{}", self.file().display())))
    }

    /// Takes the file away.
    pub fn remove(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            remove(&entry.unwrap().path());
        }
    }
}

fn remove(file: &Path) {
    std::fs::remove_file(file).unwrap();
}

/// A name and the labels that it has on the page.
pub fn once(series: impl Into<String>) -> Vec<(String, By)> {
    times(1, series)
}

pub fn times(number: u32, series: impl Into<String>) -> Vec<(String, By)> {
    vec![(series.into(), By::Exactly(f64::from(number)))]
}

/// So many answers of a token route.
pub fn answers(number: u32, family: &str, code: u16) -> Vec<(String, By)> {
    answered(By::Exactly(f64::from(number)), family, code)
}

pub fn answered(by: By, family: &str, code: u16) -> Vec<(String, By)> {
    let labels = format!(r#"{{code="{code}",method="post"}}"#);
    vec![
        (format!("tokenexchange_{family}_requests_total{labels}"), by),
        (format!("tokenexchange_{family}_request_duration_seconds_count{labels}"), by),
    ]
}

/// So many signatures of the recorded key.
pub fn signed(by: By) -> Vec<(String, By)> {
    ["wait", "duration"]
        .map(|of| (format!(r#"tokenexchange_signing_{of}_seconds_count{{algorithm="RS256"}}"#), by))
        .to_vec()
}

/// Tokens, with their signatures.
pub fn tokens(number: u32, family: &str) -> Vec<(String, By)> {
    [answers(number, family, 200), signed(By::Exactly(f64::from(number)))].concat()
}

pub fn rejection(family: &str, reason: &str) -> String {
    format!(r#"tokenexchange_rejections_total{{family="{family}",reason="{reason}"}}"#)
}

/// One answer that is no token.
pub fn rejected(family: &str, reason: &str, code: u16) -> Vec<(String, By)> {
    [answers(1, family, code), once(rejection(family, reason))].concat()
}

/// A read of the store, by what became of it.
pub fn read(outcome: &str) -> String {
    format!(r#"tokenexchange_store_read_duration_seconds_count{{outcome="{outcome}"}}"#)
}

/// What an answer rests on.
pub fn source(source: &str) -> String {
    format!(r#"tokenexchange_cache_answers_total{{source="{source}"}}"#)
}

/// Something that is remembered.
pub fn remembered(kind: &str) -> Vec<(String, By)> {
    once(format!(r#"tokenexchange_cache_entries{{kind="{kind}"}}"#))
}

/// The store was asked, and said so.
pub fn asked(kind: &str) -> Vec<(String, By)> {
    [once(source("store")), once(read("answered")), remembered(kind)].concat()
}
