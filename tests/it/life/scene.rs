//! A store with an operator, the service, and (where there can be one) the Go service's own reader.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::interop::programs::{self, Program};
use crate::support::emulator::{self, Emulator, unique_project};
use crate::support::eventually::eventually;
use crate::support::operator::Operator;
use crate::support::service::{Finished, Launch, Service};

/// Far more than the second that an expiry takes.
const WITHIN: Duration = Duration::from_secs(20);

pub struct Scene {
    pub operator: Operator,
    service: Service,
    pub datastore: Option<Datastore>,
    pub folder: TempDir,
}

pub struct Datastore {
    pub emulator: &'static Emulator,
    pub project: String,
    go: Option<Program>,
}

/// Who accepts a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    Everywhere,
    Nowhere,
    /// Expiry and `not_before` are facts of ours alone.
    OnlyByGo,
}

/// What the Go program must still be able to say of the store.
#[derive(Debug)]
pub struct Key {
    pub family: &'static str,
    pub api_key: String,
}

pub fn integration_key(api_key: &str) -> Key {
    Key { family: "integration", api_key: api_key.to_owned() }
}

pub fn organization_key(api_key: &str) -> Key {
    Key { family: "autojoin", api_key: api_key.to_owned() }
}

impl Scene {
    #[allow(clippy::unnecessary_wraps, reason = "the other stores may be missing")]
    pub fn on_sqlite() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        Some(Self::new(operator, None, folder))
    }

    pub fn on_firestore() -> Option<Self> {
        Some(Self::on_datastore_of(emulator::firestore()?))
    }

    pub fn on_datastore() -> Option<Self> {
        Some(Self::on_datastore_of(emulator::datastore()?))
    }

    fn on_datastore_of(emulator: &'static Emulator) -> Self {
        let project = unique_project();
        let operator = Operator::on_datastore(emulator.host(), &project);
        let datastore = Datastore { emulator, project, go: programs::go_datastore() };
        Self::new(operator, Some(datastore), tempfile::tempdir().unwrap())
    }

    fn new(operator: Operator, datastore: Option<Datastore>, folder: TempDir) -> Self {
        // What commands do shows at once, as with the Go program, which remembers nothing.
        let launch = Launch::token_exchange().recorded_signing_key().arg("-cache-capacity=0");
        let service = operator.serve(launch);
        Self { operator, service, datastore, folder }
    }

    /// Runs a command that has to succeed, and reads the JSON that it prints.
    pub fn json(&self, words: &[&str]) -> Value {
        self.operator.run_for_json(words)
    }

    /// Runs a command that has to succeed.
    pub fn done(&self, words: &[&str]) -> Finished {
        let finished = self.operator.run(words);
        assert_eq!(finished.status.code(), Some(0), "{words:?}: {}", finished.stderr);
        finished
    }

    /// The Go client still loads every entity of its four kinds, and whoever validates a key
    /// agrees with us, unless expiry is named as the difference.
    pub fn agrees(&self, keys: &[(&Key, Accepted)]) {
        if let Some(Datastore { go: Some(_), .. }) = &self.datastore {
            let _ = self.go(&["read"], "");
        }
        self.verdicts(keys);
    }

    /// Who accepts which key, in a store that may hold what the Go client cannot load.
    pub fn verdicts(&self, keys: &[(&Key, Accepted)]) {
        for (key, accepted) in keys {
            let (ours, theirs) = match accepted {
                Accepted::Everywhere => (true, true),
                Accepted::Nowhere => (false, false),
                Accepted::OnlyByGo => (false, true),
            };
            assert_eq!(self.is_accepted(key), ours, "{key:?} by the service");
            if let Some(go) = self.is_accepted_by_go(key) {
                assert_eq!(go, theirs, "{key:?} by the Go program");
            }
        }
    }

    /// Waits until the service refuses a key, and never longer than an expiry takes.
    pub fn wait_until_refused(&self, key: &Key) {
        eventually("the key is refused", WITHIN, || (!self.is_accepted(key)).then_some(()));
    }

    /// What the service answers to a key.
    pub fn status(&self, key: &Key) -> u16 {
        self.service.exchange(key.family, &key.api_key).status
    }

    fn is_accepted(&self, key: &Key) -> bool {
        let answer = self.service.exchange(key.family, &key.api_key);
        match answer.status {
            200 => true,
            401 => {
                assert_eq!(answer.text(), "Invalid API key\n");
                false
            }
            other => panic!("{key:?}: {other} {}", answer.text()),
        }
    }

    fn is_accepted_by_go(&self, key: &Key) -> Option<bool> {
        self.datastore.as_ref()?.go.as_ref()?;
        let answer = self.go(&[&format!("validate-{}", key.family)], &key.api_key);
        Some(answer["valid"].as_bool().expect("a verdict"))
    }

    /// What the Go program says. It fails on any entity of the four kinds that it cannot load.
    pub fn go(&self, words: &[&str], input: &str) -> Value {
        let datastore = self.datastore.as_ref().expect("the Go program reads Datastore");
        let go = datastore.go.as_ref().expect("Go is there");
        let words = [words, &["-project", &datastore.project]].concat();
        let environment = [("DATASTORE_EMULATOR_HOST", datastore.emulator.host())];
        go.run(&words, &environment, input).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// What the log of the service says of its refusals.
    pub fn log(&self) -> String {
        self.service.process.stderr()
    }

    /// The key id of an API key of an integration.
    pub fn key_id(api_key: &str) -> &str {
        api_key.split('.').nth(2).expect("an integration's key")
    }
}
