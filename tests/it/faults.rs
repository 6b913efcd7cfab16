//! What a caller gets when something inside goes wrong.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::process::Signal;
use token_exchange::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::key_store::{
    IntegrationKey, KeyStore, OrganizationKey, Reading, Recency, Unavailable, UnavailableKind,
};

use crate::support::eventually::eventually;
use crate::support::http_client::{Answer as HttpAnswer, Connection, Request};
use crate::support::in_process::{InProcess, Setting};
use crate::support::operator::Operator;
use crate::support::service::Launch;
use crate::support::stand_in::SilentStore;

const WITHIN: Duration = Duration::from_secs(30);

/// An organization's key reaches the store with any text.
const BODY: &str = r#"{"api_key":"any"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_request_is_a_counted_500_and_the_service_goes_on() {
    let ports = serve(Arc::new(BrokenStore::Panics));
    for _ in 0..2 {
        let answer = ports.post("/v0/token/autojoin").await;
        assert_eq!(answer.status, 500);
        assert_eq!(answer.text(), "Failed to generate token\n");
    }
    let page = ports.metrics().await;
    let panics = r#"tokenexchange_rejections_total{family="autojoin",reason="panic"} 2"#;
    assert!(page.contains(panics), "{page}");
    let counted = r#"tokenexchange_autojoin_requests_total{code="500",method="post"} 2"#;
    assert!(page.contains(counted), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_found_out_is_503_with_retry_after_and_never_cached() {
    let ports = serve(Arc::new(BrokenStore::IsAway));
    let answer = ports.post("/v0/token/autojoin").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn no_answer_of_a_token_route_may_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let key = operator.organization_with_key("mlab");
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let target = "/v0/token/autojoin";
    let oversized = "x".repeat(17_000);
    for (request, status) in [
        (Request::post(target, format!(r#"{{"api_key":"{key}"}}"#)), 200),
        (Request::post(target, "{"), 400),
        (Request::post(target, "{}"), 401),
        (Request::get(target), 405),
        (Request::post(target, oversized), 413),
    ] {
        let answer = request.send(service.address(), WITHIN).unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{status}");
    }
}

#[test]
fn a_refusal_names_the_key_to_the_operator_and_nothing_to_the_caller() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    operator.integration_with_key("acme");
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let answer = service.exchange("integration", "mlabk.cii_acme.ki_none\u{1b}.x");
    assert_eq!((answer.status, answer.text().as_str()), (401, "Invalid API key\n"));
    // What a terminal would obey is written so that it does not.
    let named = r#""integration":"acme","key":"ki_none\u001b""#;
    eventually("the refusal is logged", WITHIN, || {
        service.process.stderr().contains(named).then_some(())
    });
}

#[test]
fn a_body_that_never_ends_gets_408_after_ten_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let mut request = Request::post("/v0/token/autojoin", r#"{"api_"#);
    request.headers.retain(|(name, _)| name != "Content-Length");
    let request = request.header("Content-Length", "50");

    let begun = Instant::now();
    let answer = request.send(service.address(), WITHIN).unwrap();
    let took = begun.elapsed();

    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!((Duration::from_millis(9900)..Duration::from_secs(13)).contains(&took), "{took:?}");
}

#[test]
fn a_store_that_stays_silent_is_503_within_its_deadline() {
    let store = SilentStore::start();
    let service =
        Launch::token_exchange().recorded_signing_key().keys_in(&store.host(), "silent").serve();
    let begun = Instant::now();
    let answer = service.exchange("autojoin", "any");
    let took = begun.elapsed();
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(took < Duration::from_millis(5500), "{took:?}");
    eventually("the operator is told", WITHIN, || {
        service.process.stderr().contains("reads of the key store fail").then_some(())
    });
}

#[test]
fn a_request_that_is_not_ready_at_the_end_of_the_drain_gets_503_and_the_service_ends_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let mut service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let mut connection = Connection::open(service.address(), WITHIN).unwrap();
    let request = Request::post("/v0/token/autojoin", "{");
    let head = "POST /v0/token/autojoin HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{";
    connection.sender().unwrap().write(head.as_bytes());
    // Accepted and being read by the time that a later request is answered.
    service.exchange("autojoin", "any");

    service.process.signal(Signal::TERM);
    let begun = Instant::now();
    let answer = connection.read_answer(&request).unwrap();
    assert_eq!(answer.status, 503);
    assert!(service.process.wait_exit(WITHIN).success());
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(service.process.stderr().contains(r#""reason":"abandoned""#), "it leaves its record");
}

#[test]
fn hangup_reads_the_signing_keys_again() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("key.jwk");
    let golden = format!("{}/tests/golden", env!("CARGO_MANIFEST_DIR"));
    std::fs::copy(format!("{golden}/signing-key.jwk"), &key_file).unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let flag = format!("-private-key-path={}", key_file.display());
    let service = operator.serve(Launch::token_exchange().arg(&flag));
    let key_set = || {
        let answer = Request::get("/.well-known/jwks.json").send(service.address(), WITHIN);
        answer.unwrap().text()
    };
    let before = key_set();

    std::fs::write(&key_file, "half a fi").unwrap();
    service.process.signal(Signal::HUP);
    eventually("the damaged file is complained about", WITHIN, || {
        service.process.stderr().contains("the signing keys stay as they were").then_some(())
    });
    assert_eq!(key_set(), before);

    std::fs::copy(format!("{golden}/keys/rsa3072.jwk"), &key_file).unwrap();
    service.process.signal(Signal::HUP);
    eventually("the new key is published", WITHIN, || (key_set() != before).then_some(()));
}

/// A store that fails in one way.
enum BrokenStore {
    Panics,
    IsAway,
}

impl BrokenStore {
    fn fail<T>(&self) -> Result<Reading<T>, Unavailable> {
        match self {
            Self::Panics => panic!("a defect"),
            Self::IsAway => Err(Unavailable::new(UnavailableKind::Unreachable, "made up")),
        }
    }
}

#[async_trait]
impl KeyStore for BrokenStore {
    async fn integration_key(
        &self,
        _: &IntegrationId,
        _: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        self.fail()
    }

    async fn organization_key(
        &self,
        _: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        self.fail()
    }
}

fn serve(store: Arc<dyn KeyStore>) -> InProcess {
    InProcess::serve(store, Setting::default())
}

impl InProcess {
    async fn post(&self, target: &str) -> HttpAnswer {
        send(self.address.clone(), Request::post(target, BODY)).await
    }

    async fn metrics(&self) -> String {
        send(self.metrics_address.clone(), Request::get("/metrics")).await.text()
    }
}

async fn send(address: String, request: Request) -> HttpAnswer {
    tokio::task::spawn_blocking(move || request.send(&address, WITHIN)).await.unwrap().unwrap()
}
