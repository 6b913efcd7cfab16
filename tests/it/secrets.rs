//! No secret ever leaves: every route and every error at the finest log level, and then a search
//! through all that came out.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::emulator::{self, unique_project};
use crate::support::eventually::eventually;
use crate::support::golden;
use crate::support::http_client::Request;
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};
use crate::support::stand_in::{FailingStore, RefusingStore};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn no_secret_comes_out_of_a_service_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    search(&Operator::on_sqlite(&folder.path().join("keys.db")));
}

#[test]
fn no_secret_comes_out_of_a_service_on_datastore() {
    let Some(emulator) = emulator::firestore() else { return };
    search(&Operator::on_datastore(emulator.host(), &unique_project()));
}

#[test]
fn no_secret_comes_out_while_the_store_refuses_every_question() {
    let store = FailingStore::start(7);
    search_without_a_store(store.host());
}

#[test]
fn no_secret_comes_out_while_the_store_cannot_be_reached() {
    let store = RefusingStore::start();
    search_without_a_store(&store.host());
}

fn search(operator: &Operator) {
    let integration = operator.integration_with_key("acme");
    let organization = operator.organization_with_key("mlab");

    let mut heard = Heard::default();
    heard.secrets.extend([integration.clone(), organization.clone(), secret_of(&integration)]);
    // Commands that fail say why, and that is all they say.
    for words in [
        &["create-integration", "-integration-id=acme"][..],
        &["integration-key", "create", "--integration-id=nobody"],
        &["organization-key", "create", "--organization=nobody"],
        &["organization", "create", "--organization=mlab"],
    ] {
        let failed = operator.run(words);
        assert!(!failed.status.success(), "{words:?} has to fail");
        heard.say(&failed.stdout);
        heard.say(&failed.stderr);
    }
    let mut service = operator.serve(loud());
    for (family, key) in [("integration", &integration), ("autojoin", &organization)] {
        let token = service.token(family, key);
        heard.secrets.push(token.rsplit('.').next().unwrap().to_owned());
        heard.secrets.push(token);
    }
    abuse(&service, &integration, &organization, &mut heard);
    finish(&mut service, heard);
}

fn search_without_a_store(host: &str) {
    let (integration, organization) =
        ("mlabk.cii_acme.ki_1.c2VjcmV0LW9mLXRoZS1rZXk".to_owned(), "c2VjcmV0LW9yZw".to_owned());
    let mut heard = Heard::default();
    heard.secrets.extend([integration.clone(), organization.clone(), secret_of(&integration)]);
    let mut service = loud().keys_in(host, "secrets").serve();
    abuse(&service, &integration, &organization, &mut heard);
    finish(&mut service, heard);
}

fn loud() -> Launch {
    Launch::token_exchange().recorded_signing_key().arg("-log-level=trace")
}

/// Presents the keys in every way that is answered with an error.
fn abuse(service: &Service, integration: &str, organization: &str, heard: &mut Heard) {
    let json = |key: &str| format!(r#"{{"api_key":"{key}"}}"#);
    let wrong_secret = format!("{integration}x");
    heard.secrets.push(wrong_secret.clone());
    let bodies = [
        json(integration),
        json(organization),
        json(&wrong_secret),
        json(&format!("{organization}x")),
        json(&format!(" {integration}")),
        json(&format!("{integration}.{organization}")),
        format!(r#"{{"api_key":["{integration}"]}}"#),
        format!(r#"{{"api_key":"{integration}"#),
        format!(r#"{{"{integration}":"{organization}"}}"#),
        integration.to_owned(),
        format!("{}{}", json(integration), " ".repeat(20_000)),
    ];
    for family in ["integration", "autojoin"] {
        let target = format!("/v0/token/{family}");
        for body in &bodies {
            heard.answer(service, &Request::post(&target, body.as_str()));
        }
        for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let mut request = Request::post(&target, json(integration));
            method.clone_into(&mut request.method);
            heard.answer(service, &request.header("Authorization", organization));
        }
        heard.answer(service, &Request::post(&format!("{target}?api_key={integration}"), "{"));
        heard.answer(service, &Request::post(&format!("{target}/{organization}"), "{"));
    }
    for target in ["/health", "/.well-known/jwks.json", "/nothing"] {
        heard.answer(service, &Request::get(target).header("Cookie", integration));
    }
    let page = Request::get("/metrics").send(service.metrics_address(), WITHIN).unwrap();
    heard.say(&page.text());
}

fn finish(service: &mut Service, mut heard: Heard) {
    let key = golden::signing_key();
    let private = ["d", "p", "q", "dp", "dq", "qi"].map(|member| key[member].as_str().unwrap());
    heard.secrets.extend(private.map(str::to_owned));

    service.process.signal(Signal::HUP);
    eventually("the keys are read again", WITHIN, || {
        service.process.stderr().contains("signing keys read again").then_some(())
    });
    service.process.signal(Signal::TERM);
    assert!(service.process.wait_exit(WITHIN).success());
    let log = service.process.stderr();
    assert!(log.contains("a key was refused") || log.contains("could not be found out"), "{log}");
    assert!(log.contains("token_exchange::audit"), "{log}");
    heard.say(&log);
    heard.say(&service.process.stdout());

    for secret in &heard.secrets {
        let at = heard.text.find(secret.as_str());
        let around = at.map(|at| &heard.text[at.saturating_sub(200)..at]);
        assert!(at.is_none(), "a secret came out behind: {around:?}");
    }
}

fn secret_of(integration_key: &str) -> String {
    integration_key.rsplit('.').next().unwrap().to_owned()
}

/// All that was said, and what must not have been.
#[derive(Default)]
struct Heard {
    text: String,
    secrets: Vec<String>,
}

impl Heard {
    fn say(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Keeps an answer, but for the token in it, which is meant for the caller.
    fn answer(&mut self, service: &Service, request: &Request) {
        let answer = request.send(service.address(), WITHIN).expect("every request is answered");
        let text = answer.text();
        let token = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|body| body["token"].as_str().map(str::to_owned));
        match token {
            Some(token) => {
                self.say(&text.replace(&token, ""));
                self.secrets.push(token);
            }
            None => self.say(&text),
        }
        for (name, value) in &answer.headers {
            self.say(&format!("{name}: {value}\n"));
        }
    }
}
