//! A wall clock that is wrong, or jumps: tokens are dated by it as it is, and nothing else breaks.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use token_exchange::api_key::{IntegrationApiKey, IntegrationId, KeyId};
use token_exchange::claims::ClockSkewAllowance;
use token_exchange::environment::{Clock, Moment, System};
use token_exchange::exchange::{Exchange, Integration, NoToken, Report};
use token_exchange::key_store::sqlite::SqliteStore;
use token_exchange::key_store::{Description, KeyAdmin, NewIntegration, NewIntegrationKey};
use token_exchange::signer::{KeyFile, Signer};

use crate::signing_keys::file::{DAY_ZERO, dated, key, set};
use crate::support::clock::{TestClock, WallClock};
use crate::support::eventually::eventually;
use crate::support::golden;
use crate::support::http_client::{Connection, Request};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};
use crate::support::token::Token;

const WITHIN: Duration = Duration::from_secs(30);
const DAY: i64 = 86_400;
/// By how much the clocks of these tests are set.
const JUMPS: [i64; 4] = [30, -30, DAY, -DAY];

#[tokio::test]
async fn a_token_is_dated_by_one_look_at_the_clock_wherever_in_an_exchange_it_jumps() {
    let folder = tempfile::tempdir().unwrap();
    let (store, api_key) = store_with_a_key(folder.path()).await;
    for jump in JUMPS {
        for look in 0..8 {
            let clock = Arc::new(JumpsAtLook::new(look, jump));
            let exchange = exchange(store.clone(), clock.clone(), 3);
            let times = BTreeSet::from([DAY_ZERO, DAY_ZERO.checked_add_signed(jump).unwrap()]);
            while !clock.has_jumped() {
                match exchange
                    .exchange::<Integration>(api_key.reveal(), &mut Report::default())
                    .await
                {
                    Ok(token) => {
                        let claims = claims(token.reveal().expose_secret());
                        let iat = claims["iat"].as_u64().unwrap();
                        assert!(times.contains(&iat), "{jump:+} s at look {look}: {claims:?}");
                        assert_eq!(claims["exp"], iat + 20);
                        assert_eq!(claims["nbf"], iat - 3);
                    }
                    // As far as anybody can tell, an answer too old to rest on; never a 401.
                    Err(error) => assert!(
                        jump > 0 && matches!(error, NoToken::Unavailable(_)),
                        "{jump:+} s at look {look}: {error}"
                    ),
                }
            }
            let token = exchange
                .exchange::<Integration>(api_key.reveal(), &mut Report::default())
                .await
                .unwrap();
            let claims = claims(token.reveal().expose_secret());
            assert_eq!(claims["iat"], clock.now(), "{jump:+} s at look {look}, the next token");
        }
    }
}

#[test]
fn a_service_whose_clock_is_set_dates_its_tokens_by_it_and_tells_of_each_jump_once() {
    let Some(clock) = WallClock::right() else { return };
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let api_key = operator.integration_with_key("acme");
    let launch = Launch::token_exchange().recorded_signing_key();
    let service = operator.serve(clock.rules(launch));

    for (seconds, jumps) in [(0, 0), (30, 0), (-30, 0), (DAY, 1), (-DAY, 2), (0, 3)] {
        clock.set(seconds);
        for _ in 0..3 {
            let right = unix_seconds();
            let claims = claims(&service.token("integration", &api_key));
            let iat = claims["iat"].as_i64().unwrap();
            assert!((0..=20).contains(&(iat - seconds - right)), "{seconds:+}: {claims:?}");
            assert_eq!(claims["nbf"], iat);
            assert_eq!(claims["exp"], iat + 20);
        }
        assert_eq!(counted_jumps(&service), jumps, "at {seconds:+}");
    }
    let told = eventually("each jump is in the log", WITHIN, || {
        let told = jumps_in_log(&service.process.stderr());
        (told.len() >= 3).then_some(told)
    });
    let about = |direction: &str, seconds: u64| {
        let count = told.iter().filter(|(said, by)| said == direction && by.abs_diff(seconds) < 60);
        count.count()
    };
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!((about("forward", 86_400), about("back", 172_800)), (2, 1), "{told:?}");
}

#[test]
fn the_deadlines_of_connections_do_not_move_with_the_wall_clock() {
    let Some(clock) = WallClock::right() else { return };
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let service = operator.serve(clock.rules(Launch::token_exchange().recorded_signing_key()));
    let head = health().head();
    let (first, rest) = head.split_at(9);
    let mut endless = Vec::new();
    for seconds in [DAY, -DAY] {
        let mut idle = answered(&service);
        let mut half = Connection::open(service.address(), WITHIN).unwrap();
        half.sender().unwrap().write(first);
        let connection = Connection::open(service.address(), WITHIN).unwrap();
        connection.sender().unwrap().write(first);
        endless.push((seconds, connection, Instant::now()));

        clock.set(seconds);
        // Neither is a day older now.
        idle.sender().unwrap().write(&head);
        half.sender().unwrap().write(rest);
        for connection in [&mut idle, &mut half] {
            let answer = connection.read_answer(&health()).unwrap();
            assert_eq!(answer.status, 200, "at {seconds:+}");
        }
    }
    // And what never ends is ended after the five seconds of a head, not a day later.
    for (seconds, mut connection, begun) in endless {
        connection.read_to_end().unwrap_or_else(|why| panic!("at {seconds:+}: {why:?}"));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_secs(4), "closed after {waited:?} at {seconds:+}");
    }
}

#[test]
fn a_key_past_its_exp_by_a_wrong_clock_is_told_of_again_when_its_time_has_come() {
    let Some(clock) = WallClock::right() else { return };
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("keys.jwks");
    let now = unix_seconds().unsigned_abs();
    let mut expiring = dated(key("old"), now - 200_000, now - 100_000);
    expiring["exp"] = json!(now + 3600);
    std::fs::write(&key_file, set(&[expiring])).unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let launch = Launch::token_exchange()
        .arg(&format!("-private-key-path={}", key_file.display()))
        .arg("-key-reload-interval=1s");
    let service = operator.serve(clock.rules(launch));
    let told = || lines(&service.process.stderr(), "the signing key is past its exp").len();
    assert_eq!(told(), 0);
    for (seconds, expected) in [(DAY, 1), (0, 1), (DAY, 2)] {
        clock.set(seconds);
        // Two seconds make a look due, and a request makes the look.
        let looked_at = Instant::now();
        eventually("the file is looked at", WITHIN, || {
            Request::get("/.well-known/jwks.json").send(service.address(), WITHIN).unwrap();
            (looked_at.elapsed() >= Duration::from_secs(2) && told() == expected).then_some(())
        });
    }
}

#[test]
fn the_allowance_moves_nbf_back_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let api_key = operator.integration_with_key("acme");
    let organization_key = operator.organization_with_key("acme");
    let launch = || Launch::token_exchange().recorded_signing_key();
    for (launch, allowance) in [
        (launch(), 0),
        (launch().arg("-clock-skew-allowance=0s"), 0),
        (launch().arg("-clock-skew-allowance=30s"), 30),
        (launch().env("CLOCK_SKEW_ALLOWANCE", "5m"), 300),
    ] {
        let service = operator.serve(launch);
        for (family, api_key, lifetime) in
            [("integration", &api_key, 20), ("autojoin", &organization_key, 3600)]
        {
            let before = unix_seconds();
            let token = service.token(family, api_key);
            let claims = claims(&token);
            let iat = claims["iat"].as_i64().unwrap();
            assert!((before..=unix_seconds()).contains(&iat), "{claims:?}");
            assert_eq!(claims["exp"], iat + lifetime, "{family} allowing for {allowance} s");
            assert_eq!(claims["nbf"], iat - allowance, "{family} allowing for {allowance} s");
            let body = format!("{{\"token\":\"{token}\"}}\n");
            Token::from_body(&body).unwrap().verify(&golden::signing_key()).unwrap();
        }
    }
}

#[test]
fn an_allowance_that_no_token_can_have_stops_the_start_and_the_message_says_why() {
    for (value, word) in
        [("5m1s", "at most 300 s"), ("1500ms", "whole seconds"), ("24h", "at most 300 s")]
    {
        let flag = format!("-clock-skew-allowance={value}");
        let launch =
            Launch::token_exchange().recorded_signing_key().arg("-key-store=sqlite:none.db");
        let refused = launch.arg(&flag).run(WITHIN);
        assert_eq!(refused.status.code(), Some(1), "{value}: {}", refused.stderr);
        let message = &refused.stderr;
        assert!(message.contains("-clock-skew-allowance: ") && message.contains(word), "{message}");
    }
    for value in ["-1s", "30", "a while"] {
        let flag = format!("-clock-skew-allowance={value}");
        let refused = Launch::token_exchange().arg(&flag).run(WITHIN);
        assert_eq!(refused.status.code(), Some(2), "{value}: {}", refused.stderr);
    }
}

/// A clock that is right until somebody has looked at it so often, and then is set.
struct JumpsAtLook {
    clock: TestClock,
    looks: AtomicUsize,
    look: usize,
    by: i64,
}

impl JumpsAtLook {
    fn new(look: usize, by: i64) -> Self {
        Self { clock: TestClock::at(DAY_ZERO), looks: AtomicUsize::new(0), look, by }
    }

    fn has_jumped(&self) -> bool {
        self.looks.load(Ordering::SeqCst) > self.look
    }
}

impl Clock for JumpsAtLook {
    fn moment(&self) -> Moment {
        if self.looks.fetch_add(1, Ordering::SeqCst) == self.look {
            self.clock.jump(self.by);
        }
        self.clock.moment()
    }
}

fn exchange(store: Arc<dyn KeyAdmin>, clock: Arc<dyn Clock>, allowance: u64) -> Exchange {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keys/eddsa.jwk");
    let key_file = Arc::new(KeyFile::at(path));
    let signer = Signer::start(key_file, Duration::from_secs(30), Arc::clone(&clock)).unwrap();
    let allowance = ClockSkewAllowance::try_from(Duration::from_secs(allowance)).unwrap();
    Exchange::new(store, Arc::new(signer), clock, Arc::new(System)).allowing(allowance)
}

async fn store_with_a_key(folder: &Path) -> (Arc<SqliteStore>, IntegrationApiKey) {
    let store = Arc::new(SqliteStore::open(&folder.join("keys.db")).unwrap());
    let id = IntegrationId::parse("acme").unwrap();
    let key = IntegrationApiKey::generate(id.clone(), KeyId::parse("ki_1").unwrap(), &System);
    let key = key.unwrap();
    let created_at = "2020-01-01T00:00:00Z".parse().unwrap();
    let record = NewIntegrationKey::of(&key, Description::default(), 0, created_at);
    let integration = NewIntegration { id, description: Description::default(), created_at };
    store.create_integration(&integration, &record).await.unwrap();
    (store, key)
}

fn claims(token: &str) -> Value {
    let body = format!("{{\"token\":\"{token}\"}}\n");
    Value::Object(Token::from_body(&body).unwrap().claims)
}

/// On a connection that stays open.
fn health() -> Request {
    Request::new("GET", "/health").header("Host", "localhost")
}

/// A kept-alive connection on which a request was answered.
fn answered(service: &Service) -> Connection {
    let mut connection = Connection::open(service.address(), WITHIN).unwrap();
    let request = health();
    connection.sender().unwrap().write(&request.head());
    assert_eq!(connection.read_answer(&request).unwrap().status, 200);
    connection
}

fn counted_jumps(service: &Service) -> u64 {
    let page = Request::get("/metrics").send(service.metrics_address(), WITHIN).unwrap().text();
    let line = page.lines().find_map(|line| line.strip_prefix("tokenexchange_clock_jumps_total "));
    line.expect("jumps are counted from the start").parse().unwrap()
}

fn jumps_in_log(log: &str) -> Vec<(String, u64)> {
    let events = lines(log, "the wall clock jumped");
    let told = |event: &Value| {
        assert_eq!(event["severity"], "WARNING");
        (event["direction"].as_str().unwrap().to_owned(), event["seconds"].as_u64().unwrap())
    };
    events.iter().map(told).collect()
}

fn lines(log: &str, begin: &str) -> Vec<Value> {
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_meant =
        |event: &Value| event["message"].as_str().is_some_and(|message| message.starts_with(begin));
    events.filter(is_meant).collect()
}

fn unix_seconds() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}
