//! Keys that are not valid now: the caller gets the contract's words, the operator learns which.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use token_exchange::api_key::{
    IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey, OrganizationName,
};
use token_exchange::environment::{Clock, Moment, System, UnixSeconds};
use token_exchange::exchange::{Exchange, Integration, NoToken, Refusal, Report, TokenFamily};
use token_exchange::key_life::{self, Author, Occasion, Remark, Terms};
use token_exchange::key_store::datastore::{DatastoreConfig, DatastoreStore, Place};
use token_exchange::key_store::sqlite::SqliteStore;
use token_exchange::key_store::{
    Description, IntegrationKeyRow, KeyAdmin, KeyStatus, NewIntegration, NewIntegrationKey,
    NewOrganization, NewOrganizationKey, OrganizationKeysOf, UnavailableKind, Write,
};
use token_exchange::signer::{KeyFile, Signer};

use crate::support::clock::moment_at;
use crate::support::emulator::{self, unique_project};
use crate::support::http_client::Request;
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};
use crate::support::token::Token;

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_valid_now_gets_401_and_the_log_says_why_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let store = SqliteStore::open(&path).unwrap();
    let operator = Operator::on_sqlite(&path);
    refuse_everything(&store, operator.serve(Launch::token_exchange().recorded_signing_key()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_not_valid_now_gets_401_and_the_log_says_why_on_datastore() {
    let Some(emulator) = emulator::firestore() else { return };
    let project = unique_project();
    let config = DatastoreConfig {
        project_id: project.clone(),
        platform_namespace: "platform-credentials".to_owned(),
        integration_namespace: "client-integration".to_owned(),
        place: Place::Emulator { host: emulator.host().to_owned() },
    };
    let store = DatastoreStore::connect(config, Arc::new(System)).unwrap();
    let operator = Operator::on_datastore(emulator.host(), &project);
    refuse_everything(&store, operator.serve(Launch::token_exchange().recorded_signing_key()))
        .await;
}

async fn refuse_everything(store: &dyn KeyAdmin, mut service: Service) {
    let keys = [
        ("ki_waits", terms(Some("2999-01-01T00:00:00Z"), None), "not_yet_valid"),
        ("ki_expired", terms(None, Some("2021-01-01T00:00:00Z")), "expired"),
        ("ki_revoked", terms(None, Some("2999-01-01T00:00:00Z")), "revoked"),
        ("ki_paused", Terms::default(), "not_active"),
    ];
    let mut presented = Vec::new();
    for (name, terms, reason) in keys {
        let integration = integration_key(store, name, &terms).await;
        // A status of another tool, which leaves organizations without keys alone.
        if reason == "not_active" {
            let row = row(store, name).await;
            let paused = IntegrationKeyRow { status: "paused".to_owned(), ..row };
            store.commit(&Write::ReplaceIntegrationKey(paused).into()).await.unwrap();
        } else {
            let organization = organization_key(store, name, &terms).await;
            if reason == "revoked" {
                revoke(store, name).await;
            }
            presented.push(("autojoin", organization, reason));
        }
        presented.push(("integration", integration, reason));
    }
    for (family, key, reason) in &presented {
        let answer = service.exchange(family, key.expose_secret());
        assert_eq!(answer.status, 401, "{family}, {reason}");
        assert_eq!(answer.text(), "Invalid API key\n");
    }
    // Who does not know the secret learns nothing of a key, not even from the time it takes.
    let (_, revoked, _) = presented
        .iter()
        .find(|(family, _, reason)| (*family, *reason) == ("integration", "revoked"))
        .unwrap();
    let answer = service.exchange("integration", &format!("{}x", revoked.expose_secret()));
    assert_eq!(answer.status, 401);

    let page = Request::get("/metrics").send(service.metrics_address(), WITHIN).unwrap().text();
    for (family, _, reason) in &presented {
        let counted =
            format!(r#"tokenexchange_rejections_total{{family="{family}",reason="{reason}"}} 1"#);
        assert!(page.contains(&counted), "{counted}\n{page}");
    }
    assert!(page.contains(r#"{family="integration",reason="wrong_secret"} 1"#), "{page}");
    service.process.signal(crate::support::service::Signal::TERM);
    assert!(service.process.wait_exit(WITHIN).success());
    let log = service.process.stderr();
    for (words, times) in [
        ("the key is not yet valid", 2),
        ("the key has expired", 2),
        ("the key was revoked", 2),
        ("the key is not active", 1),
        ("the secret is wrong", 1),
    ] {
        assert_eq!(log.matches(words).count(), times, "{words}\n{log}");
    }
}

#[tokio::test]
async fn a_key_is_valid_from_its_first_second_to_its_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("keys.db")).unwrap());
    let terms = terms(Some("2027-01-01T00:00:00Z"), Some("2027-01-02T00:00:00Z"));
    let key = integration_key(&*store, "ki_1", &terms).await;
    for (now, refusal) in [
        ("2026-12-31T23:59:59Z", Some(Refusal::NotYetValid)),
        ("2027-01-01T00:00:00Z", None),
        ("2027-01-01T23:59:59Z", None),
        ("2027-01-02T00:00:00Z", Some(Refusal::Expired)),
    ] {
        let at = now.parse::<Timestamp>().unwrap().as_second().unsigned_abs();
        let exchange = exchange(store.clone(), Arc::new(Times::new(vec![at, at])));
        let outcome = exchange.exchange::<Integration>(key.clone(), &mut Report::default()).await;
        match (outcome, refusal) {
            (Ok(_), None) => {}
            (Err(NoToken::Refused(found)), Some(refusal)) => {
                assert_eq!(found, refusal, "{now}");
            }
            (other, _) => panic!("{now}: {:?}", other.map(|_| "a token")),
        }
    }
}

#[tokio::test]
async fn an_answer_that_has_grown_old_on_the_way_is_asked_for_once_more() {
    // A machine that is stopped between the answer and the token: the clock has gone on.
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("keys.db")).unwrap());
    let key = integration_key(&*store, "ki_1", &Terms::default()).await;
    for (times, is_old) in [
        (vec![0, 5], false),
        (vec![0, 6, 6, 11], false),
        (vec![0, 6, 6, 12], true),
        // A clock that is set back makes nothing old.
        (vec![3600, 0], false),
    ] {
        let times = times.into_iter().map(|passed| 1_800_000_000 + passed).collect();
        let exchange = exchange(store.clone(), Arc::new(Times::new(times)));
        match exchange.exchange::<Integration>(key.clone(), &mut Report::default()).await {
            Ok(_) => assert!(!is_old),
            Err(NoToken::Unavailable(why)) => {
                assert!(is_old);
                assert_eq!(why.kind, UnavailableKind::TooSlow);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_token_is_dated_by_the_moment_at_which_its_key_was_judged() {
    // One look at the clock decides both, so a signature that waits makes no token last longer.
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(&folder.path().join("keys.db")).unwrap());
        let key = integration_key(&*store, "ki_1", &Terms::default()).await;
        let exchange = exchange(store, Arc::new(Times::new(vec![1_800_000_000, 1_800_000_003])));
        let token = exchange.exchange::<Integration>(key, &mut Report::default()).await.unwrap();
        let body = format!("{{\"token\":\"{}\"}}\n", token.reveal().expose_secret());
        let claims = Token::from_body(&body).unwrap().claims;
        assert_eq!(claims["iat"], 1_800_000_003);
        assert_eq!(claims["exp"], 1_800_000_003 + Integration::LIFETIME_SECONDS);
    });
}

fn exchange(store: Arc<SqliteStore>, clock: Arc<dyn Clock>) -> Exchange {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signing-key.jwk");
    let signer = Arc::new(
        Signer::start(Arc::new(KeyFile::at(path)), Duration::from_secs(30), Arc::new(System))
            .unwrap(),
    );
    Exchange::new(store, signer, clock, Arc::new(System))
}

/// A clock that shows these times, one after another.
struct Times {
    times: Vec<UnixSeconds>,
    looks: AtomicUsize,
}

impl Times {
    fn new(times: Vec<UnixSeconds>) -> Self {
        Self { times, looks: AtomicUsize::new(0) }
    }
}

impl Clock for Times {
    fn moment(&self) -> Moment {
        let time = self.times.get(self.looks.fetch_add(1, Ordering::SeqCst));
        moment_at(*time.expect("nobody looks again"))
    }
}

pub fn terms(not_before: Option<&str>, expires_at: Option<&str>) -> Terms {
    let time = |text: &str| text.parse().unwrap();
    Terms { not_before: not_before.map(time), expires_at: expires_at.map(time), note: None }
}

/// A key of an integration of the same name.
pub async fn integration_key(store: &dyn KeyAdmin, name: &str, terms: &Terms) -> SecretString {
    let id = IntegrationId::parse(name).unwrap();
    let key = IntegrationApiKey::generate(id.clone(), KeyId::parse(name).unwrap(), &System);
    let key = key.unwrap();
    let record = NewIntegrationKey::of(&key, Description::default(), 0, on().at);
    let integration =
        NewIntegration { id, description: Description::default(), created_at: on().at };
    let planned = key_life::create_integration(&integration, Some((&record, terms)), &on());
    store.commit(&planned.unwrap().change).await.unwrap();
    key.reveal()
}

/// A key of an organization of the same name.
pub async fn organization_key(store: &dyn KeyAdmin, name: &str, terms: &Terms) -> SecretString {
    let organization = NewOrganization {
        name: OrganizationName::parse(name).unwrap(),
        email: String::new(),
        probability_multiplier: 1.0,
        created_at: on().at,
    };
    store.create_organization(&organization).await.unwrap();
    let row = store.read_organization(&organization.name).await.unwrap();
    let key = NewOrganizationKey {
        organization: organization.name,
        key: OrganizationApiKey::generate(&System).unwrap(),
        created_at: on().at,
    };
    let planned = key_life::create_organization_key(row.as_ref(), &key, terms, &on()).unwrap();
    store.commit(&planned.change).await.unwrap();
    key.key.reveal().clone()
}

pub async fn row(store: &dyn KeyAdmin, name: &str) -> IntegrationKeyRow {
    let (id, key) = (IntegrationId::parse(name).unwrap(), KeyId::parse(name).unwrap());
    store.read_integration_key(&id, &key).await.unwrap().unwrap()
}

pub async fn revoke(store: &dyn KeyAdmin, name: &str) {
    let reason = Remark::parse("lost").unwrap();
    let planned = key_life::revoke_integration_key(&row(store, name).await, &reason, &on());
    store.commit(&planned.change).await.unwrap();
    // As a tool would that does not know the facts: the stricter wins.
    let status = KeyStatus::ACTIVE.to_owned();
    let active = IntegrationKeyRow { status, ..row(store, name).await };
    store.commit(&Write::ReplaceIntegrationKey(active).into()).await.unwrap();
    let organization = OrganizationName::parse(name).unwrap();
    let of = OrganizationKeysOf::Organization(&organization);
    let rows = store.list_organization_keys(of, None).await.unwrap().rows;
    let planned = key_life::revoke_organization_key(&rows, &reason, &on()).unwrap();
    store.commit(&planned.change).await.unwrap();
}

/// Long ago, so that a key can have expired by now.
fn on() -> Occasion {
    Occasion { at: "2020-01-01T00:00:00Z".parse().unwrap(), by: Author::parse("ana").unwrap() }
}
