//! An operator at the command line: makes keys with the real commands, on any store.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::http_client::{Answer, Request};
use super::service::{Finished, Launch, Service};
use super::terminal::Person;

const WITHIN: Duration = Duration::from_secs(30);

/// Runs commands on one store, which they are told by their environment.
pub struct Operator {
    environment: Vec<(&'static str, String)>,
}

impl Operator {
    /// Works on an SQLite database.
    pub fn on_sqlite(path: &Path) -> Self {
        Self { environment: vec![("KEY_STORE", format!("sqlite:{}", path.display()))] }
    }

    /// Works on a project of a Datastore emulator.
    pub fn on_datastore(emulator_host: &str, project: &str) -> Self {
        let environment = [
            ("DATASTORE_EMULATOR_HOST", emulator_host),
            ("PROJECT_ID", project),
            // The name that the Go tool knows.
            ("PROJECT", project),
        ];
        Self { environment: environment.map(|(name, value)| (name, value.to_owned())).to_vec() }
    }

    /// Runs a command to its end, whatever it comes to.
    pub fn run(&self, words: &[&str]) -> Finished {
        let launch = words.iter().fold(Launch::token_exchange(), |launch, word| launch.arg(word));
        self.on_store(launch).run(WITHIN)
    }

    /// Runs a command at a terminal, where a person can answer it.
    pub fn at_a_terminal(&self, words: &[&str]) -> Person {
        let launch = words.iter().fold(Launch::token_exchange(), |launch, word| launch.arg(word));
        Person::runs(self.on_store(launch))
    }

    /// Runs a command that has to succeed, and reads the JSON that it prints.
    pub fn run_for_json(&self, words: &[&str]) -> Value {
        let Finished { status, stdout, stderr } = self.run(&[words, &["--output=json"]].concat());
        assert!(status.success(), "{words:?}: {status}\n{stderr}");
        serde_json::from_str(&stdout).expect("the command prints JSON")
    }

    /// A new integration with a first key; that key.
    pub fn integration_with_key(&self, integration: &str) -> String {
        let flag = format!("-integration-id={integration}");
        let Finished { status, stdout, stderr } = self.run(&["create-integration", &flag]);
        assert!(status.success(), "{stderr}");
        let line = stdout.lines().find_map(|line| line.strip_prefix("API Key:"));
        line.expect("the key is printed").trim().to_owned()
    }

    /// A new key of an integration that exists.
    pub fn integration_key(&self, integration: &str, tier: i64) -> String {
        let (id, tier) = (format!("--integration-id={integration}"), format!("--tier={tier}"));
        let made = self.run_for_json(&["integration-key", "create", &id, &tier]);
        made["api_key"].as_str().expect("the key is printed").to_owned()
    }

    /// A new organization and a key of it.
    pub fn organization_with_key(&self, organization: &str) -> String {
        let flag = format!("--organization={organization}");
        self.run_for_json(&["organization", "create", &flag]);
        let made = self.run_for_json(&["organization-key", "create", &flag]);
        made["api_key"].as_str().expect("the key is printed").to_owned()
    }

    /// Starts the service on this store.
    pub fn serve(&self, launch: Launch) -> Service {
        self.on_store(launch).serve()
    }

    fn on_store(&self, launch: Launch) -> Launch {
        self.environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }
}

impl Service {
    /// Presents an API key; `family` is the last segment of the path.
    pub fn exchange(&self, family: &str, api_key: &str) -> Answer {
        let body = serde_json::json!({ "api_key": api_key }).to_string();
        Request::post(&format!("/v0/token/{family}"), body)
            .send(self.address(), WITHIN)
            .expect("every request gets an answer")
    }

    /// Presents an API key that is right.
    pub fn token(&self, family: &str, api_key: &str) -> String {
        let answer = self.exchange(family, api_key);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let body: Value = serde_json::from_str(&answer.text()).expect("the answer is JSON");
        body["token"].as_str().expect("there is a token").to_owned()
    }

    /// The page of metrics.
    pub fn metrics_page(&self) -> String {
        Request::get("/metrics").send(self.metrics_address(), WITHIN).unwrap().text()
    }

    /// Where verifiers fetch the key set.
    pub fn jwks_url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.address())
    }
}
