//! `create-integration`: one case after the other, since later ones meet what earlier ones wrote.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::created::{Created, PrintedKey};
use super::{
    ANSWER_WITHIN, RUN_WITHIN, Subject, cases, check_explained, is_without_a_store, report,
};
use crate::support::emulator::{self, Emulator};
use crate::support::equal::equal;
use crate::support::golden::{self, CliCase};
use crate::support::http_client::Request;
use crate::support::service::{Finished, Launch, Service};
use crate::support::skip::announce;
use crate::support::stand_in::{FailingStore, RefusingStore};
use crate::support::token::Token;

const PERMISSION_DENIED: u8 = 7;
const RECORDED_PROJECT: &str = "golden-cli";

#[test]
fn create_integration_does_what_was_recorded_and_its_keys_work() {
    let Some(emulator) = emulator::firestore() else { return };
    let mut replay = Replay::on(emulator);
    let cases = cases(Subject::CreateIntegration);
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| replay.check(case).err().map(|why| format!("{}: {why}", case.name)))
        .collect();
    announce(&format!("replayed {} command lines of create-integration", cases.len()));
    report(&failures, cases.len());
}

/// What takes the place of the recording, by the words of `expect`.
enum Demand {
    AsRecorded,
    /// As recorded, but an integration that is there stays as it is.
    IntegrationUntouched,
    /// Exit status 1, a reason, and nothing written.
    Refusal,
}

impl Demand {
    fn of(case: &CliCase) -> Self {
        match case.expect.as_deref() {
            None => Self::AsRecorded,
            Some(
                "exit 0 and the same stdout: the key is added, the integration that is there stays untouched",
            ) => Self::IntegrationUntouched,
            Some("refuse to overwrite" | "refuse, exit 1" | "exit 1 with the reason") => {
                Self::Refusal
            }
            Some(unknown) => panic!("an expectation that this test does not know: {unknown}"),
        }
    }
}

struct Replay {
    emulator: &'static Emulator,
    project: String,
    home: tempfile::TempDir,
    refusing: RefusingStore,
    failing: FailingStore,
    /// A service for each namespace that keys were made in.
    services: BTreeMap<String, Service>,
}

impl Replay {
    fn on(emulator: &'static Emulator) -> Self {
        Self {
            emulator,
            project: emulator::unique_project(),
            home: tempfile::tempdir().unwrap(),
            refusing: RefusingStore::start(),
            failing: FailingStore::start(PERMISSION_DENIED),
            services: BTreeMap::new(),
        }
    }

    fn check(&mut self, case: &CliCase) -> Result<(), String> {
        let created = Created::recorded_of(case);
        let namespace = created.as_ref().map_or("client-integration", |c| c.namespace.as_str());
        let before = self.entities(namespace);
        let finished = self.run(case)?;
        let exit = match (Demand::of(case), &created) {
            (Demand::AsRecorded | Demand::IntegrationUntouched, Some(created)) => {
                return self.check_created(case, created, &finished, &before);
            }
            (Demand::Refusal, _) => 1,
            (_, None) => case.exit.ok_or("nothing to compare")?,
        };
        check_explained(&finished, exit)?;
        equal("the store", self.entities(namespace).as_slice(), before.as_slice())
    }

    fn run(&self, case: &CliCase) -> Result<Finished, String> {
        let here = |value: &str| match value {
            RECORDED_PROJECT => self.project.clone(),
            "127.0.0.1:1" => self.refusing.host(),
            "${a server that answers PERMISSION_DENIED}" => self.failing.host().to_owned(),
            value => value.replace("project=golden-cli", &format!("project={}", self.project)),
        };
        let mut launch = Launch::create_integration();
        if is_without_a_store(case) {
            // Nor does the machine that runs the test lend any.
            launch = launch
                .env("HOME", self.home.path().to_str().unwrap())
                .env("GCE_METADATA_HOST", &self.refusing.host());
        } else {
            launch = launch.env("DATASTORE_EMULATOR_HOST", self.emulator.host());
        }
        for (name, value) in &case.env {
            launch = launch.env(name, &here(value));
        }
        case.argv[1..]
            .iter()
            .fold(launch, |launch, word| launch.arg(&here(word)))
            .try_run(RUN_WITHIN)
    }

    fn check_created(
        &mut self,
        case: &CliCase,
        created: &Created,
        finished: &Finished,
        before: &[Value],
    ) -> Result<(), String> {
        equal("exit status", &finished.status.code(), &case.exit)
            .map_err(|why| format!("{why}: {}", finished.stderr))?;
        let printed = captures(&case.stdout, &finished.stdout).ok_or_else(|| {
            format!("stdout is {:?}, recorded is {:?}", finished.stdout, case.stdout)
        })?;
        let key = PrintedKey::parse(created, &printed)?;
        if finished.stderr.contains(&key.secret) {
            return Err("the secret is on stderr".to_owned());
        }
        self.check_written(case, created, &key, before)?;
        self.check_exchange(created, &key)
    }

    /// The store holds what it held before, and the integration and key that were created.
    fn check_written(
        &self,
        case: &CliCase,
        created: &Created,
        key: &PrintedKey,
        before: &[Value],
    ) -> Result<(), String> {
        let new = match Demand::of(case) {
            Demand::IntegrationUntouched => vec![created.key_entity(&self.project, key)],
            _ => vec![
                created.integration_entity(&self.project),
                created.key_entity(&self.project, key),
            ],
        };
        if let (Some(recorded), Demand::AsRecorded) = (&case.entities_after, Demand::of(case)) {
            let recorded = Value::from(recorded.clone())
                .to_string()
                .replace(RECORDED_PROJECT, &self.project)
                .replace("${key_id}", &key.key_id)
                .replace("${sha256 of the secret in hex}", &key.hash());
            let recorded: Vec<Value> = serde_json::from_str(&recorded).unwrap();
            equal("what is demanded of the store", &new, &recorded)?;
        }
        let after = self
            .entities(&created.namespace)
            .into_iter()
            .map(
                |entity| {
                    if before.contains(&entity) { Ok(entity) } else { with_nameless_time(entity) }
                },
            )
            .collect::<Result<Vec<_>, _>>()?;
        equal("the store", &sorted(after), &sorted([before, &new].concat()))
    }

    /// The printed key is exchanged for a token that says what was asked for.
    fn check_exchange(&mut self, created: &Created, key: &PrintedKey) -> Result<(), String> {
        let service = self.services.entry(created.namespace.clone()).or_insert_with(|| {
            Launch::token_exchange()
                .keys_in(self.emulator.host(), &self.project)
                .arg(&format!("-client-integration-ns={}", created.namespace))
                .recorded_signing_key()
                .serve()
        });
        let PrintedKey { key_id, secret } = key;
        let api_key = format!("mlabk.cii_{}.{key_id}.{secret}", created.integration_id);
        let body = json!({ "api_key": api_key }).to_string();
        let answer = Request::post("/v0/token/integration", body)
            .send(service.address(), ANSWER_WITHIN)
            .map_err(|failure| format!("the key cannot be exchanged: {failure:?}"))?;
        let body = answer.text();
        let token = Token::from_body(&body)?;
        token.verify(&golden::signing_key())?;
        equal("int_id", &token.claims["int_id"], &created.integration_id.as_str().into())?;
        equal("key_id", &token.claims["key_id"], &key_id.as_str().into())?;
        equal("tier", &token.claims["tier"], &created.tier.into())
    }

    fn entities(&self, namespace: &str) -> Vec<Value> {
        ["IntegrationMeta", "IntegrationAPIKey"]
            .into_iter()
            .flat_map(|kind| self.emulator.entities(&self.project, namespace, kind))
            .collect()
    }
}

/// What stands for the `${names}` of a template, if the text has its form; a name that stands there
/// twice must stand for the same.
fn captures(template: &str, text: &str) -> Option<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut parts = template.split("${");
    let mut rest = text.strip_prefix(parts.next()?)?;
    for part in parts {
        let (name, literal) = part.split_once('}')?;
        let end = if literal.is_empty() { rest.len() } else { rest.find(literal)? };
        let value = rest[..end].to_owned();
        rest = &rest[end + literal.len()..];
        if found.insert(name.to_owned(), value.clone()).is_some_and(|first| first != value) {
            return None;
        }
    }
    rest.is_empty().then_some(found)
}

/// The entity with `${timestamp}` for its `created_at`, which must be now.
fn with_nameless_time(mut entity: Value) -> Result<Value, String> {
    let time = entity["properties"]["created_at"]["timestampValue"].take();
    let time: jiff::Timestamp = time
        .as_str()
        .and_then(|time| time.parse().ok())
        .ok_or_else(|| format!("created_at is {time}"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if now.abs_diff(u64::try_from(time.as_second()).unwrap_or(0)) > 60 {
        return Err(format!("created_at is {time}, which is not now"));
    }
    entity["properties"]["created_at"]["timestampValue"] = "${timestamp}".into();
    Ok(entity)
}

fn sorted(mut entities: Vec<Value>) -> Value {
    entities.sort_by_key(|entity| entity["key"]["path"].to_string());
    entities.into()
}
