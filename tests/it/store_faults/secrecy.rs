//! Nothing secret comes out, whatever the store does: every fault, both forms of the log at the
//! finest level, and then a search through all that was said.

use serde_json::Value;

use super::each_fault::faults;
use super::scene::{Scene, WITHIN, api_key, save_up, secret};
use crate::google::road::{Road, assert_recovers};
use crate::support::fault_proxy::{Fault, FaultProxy, Form};
use crate::support::google::{Authority, Certificate, TokenAnswer};
use crate::support::http_client::Request;
use crate::support::service::{Launch, Service, Signal};

/// More than a search for access tokens presents.
const KEYS: usize = 16;

#[test]
fn no_secret_comes_out_under_any_fault_in_a_log_of_json() {
    let Some(scene) = Scene::with_keys(keys()) else { return };
    search(&scene.proxy, loud(scene.launch()).serve());
}

#[test]
fn no_secret_comes_out_under_any_fault_in_a_log_of_text() {
    let Some(scene) = Scene::with_keys(keys()) else { return };
    search(&scene.proxy, loud(scene.launch()).serve_logging_text());
}

#[test]
fn no_access_token_comes_out_whatever_becomes_of_it() {
    let Some(road) = Road::with_keys(KEYS) else { return };
    let service = loud(road.launch()).serve();
    let mut heard = Heard::default();
    let mut number = 0..;
    let mut ask = |heard: &mut Heard| {
        heard.exchange(&service, "integration", number.next().unwrap());
    };
    for answer in [TokenAnswer::Status(403), TokenAnswer::Status(200)] {
        road.metadata.answers(answer);
        ask(&mut heard);
    }
    road.metadata.answers(TokenAnswer::TOKEN);
    assert_recovers(&service, KEYS - 1);
    for fault in [Fault::Quote, Fault::ResetStream, Fault::None] {
        road.front.once(fault);
        ask(&mut heard);
    }
    for code in [3, 7, 13, 16] {
        road.front.plan(move |_| Fault::Status(code, Form::AfterMessage));
        ask(&mut heard);
    }
    road.front.plan(|_| Fault::None);
    assert_recovers(&service, KEYS - 2);
    road.front.present(Authority::new().server(Certificate::Right));
    road.front.cut();
    ask(&mut heard);
    assert!(road.metadata.given().len() > 1);
    heard.secrets.extend(road.metadata.given().into_iter().map(|given| given.token));
    heard.search(service);
}

fn keys() -> usize {
    faults().len() + 10
}

fn loud(launch: Launch) -> Launch {
    launch.arg("-log-level=debug")
}

fn search(proxy: &FaultProxy, service: Service) {
    let mut heard = Heard::default();
    for (number, (fault, _)) in faults().into_iter().enumerate() {
        for family in ["integration", "autojoin"] {
            save_up(&service);
            proxy.once(fault);
            heard.exchange(&service, family, number);
            proxy.cut();
        }
    }
    // A server that quotes both halves of a question, of which one holds the key.
    proxy.plan(|_| Fault::Quote);
    for number in faults().len()..keys() {
        heard.exchange(&service, "autojoin", number);
    }
    assert!(heard.secrets.iter().any(|secret| secret.starts_with("eyJ")), "there were tokens");
    heard.search(service);
}

/// All that was said, and what must not have been.
#[derive(Default)]
struct Heard {
    text: String,
    secrets: Vec<String>,
}

impl Heard {
    /// Keeps the answer, but for the token in it, which is meant for the caller.
    fn exchange(&mut self, service: &Service, family: &str, number: usize) {
        let answer = service.exchange(family, &api_key(family, number));
        let text = answer.text();
        let token = serde_json::from_str::<Value>(&text).ok();
        let token = token.and_then(|body| body["token"].as_str().map(str::to_owned));
        self.text.push_str(&token.as_ref().map_or(text.clone(), |token| text.replace(token, "")));
        for (name, value) in &answer.headers {
            self.text.extend([name, ": ", value, "\n"]);
        }
        self.secrets.extend(token);
        self.secrets.extend([api_key(family, number), secret(number)]);
    }

    fn search(mut self, mut service: Service) {
        let page = Request::get("/metrics").send(service.metrics_address(), WITHIN).unwrap();
        self.text.push_str(&page.text());
        service.process.signal(Signal::TERM);
        assert!(service.process.wait_exit(WITHIN).success());
        let log = service.process.stderr();
        assert!(log.contains("it could not be found out whether a key is right"), "{log}");
        self.text.push_str(&log);
        self.text.push_str(&service.process.stdout());

        let signing_key: Value =
            serde_json::from_str(&crate::support::golden::text("keys/eddsa.jwk")).unwrap();
        self.secrets.push(signing_key["d"].as_str().unwrap().to_owned());
        for secret in &self.secrets {
            let at = self.text.find(secret.as_str());
            let around = at.map(|at| &self.text[at.saturating_sub(200)..at]);
            assert!(at.is_none(), "a secret came out behind: {around:?}");
        }
    }
}
