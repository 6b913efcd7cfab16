//! Many callers at once with one key that nobody knows yet, over sockets: one read.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use token_exchange::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::environment::{Clock, Moment};
use token_exchange::http::server::{self, Limits};
use token_exchange::key_store::cached::{CacheLimits, Cached};
use token_exchange::key_store::{
    Answer, IntegrationKey, KeyStore, OrganizationKey, Reading, Recency, Unavailable,
};
use token_exchange::signer::SigningLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::world::{record, written};
use crate::support::clock::moment_at;
use crate::support::in_process::{EDDSA, InProcess, Setting};
use crate::support::operator::Operator;
use crate::support::service::Launch;

const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_of_one_cold_key_get_a_token_by_one_read() {
    one_read(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_of_one_cold_key_get_a_token_by_one_read_when_the_first_of_them_leaves() {
    one_read(true).await;
}

/// `CACHE_CALLERS=10000` in the environment makes it as many as are promised.
#[test]
fn a_service_answers_all_callers_of_one_cold_key_by_one_read() {
    for first_leaves in [false, true] {
        let told = std::env::var("CACHE_CALLERS").ok();
        let callers: usize = told.map_or(1_000, |told| told.parse().expect("a number of callers"));
        server::raise_open_file_limit().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        let key = operator.integration_with_key("acme");
        let launch = Launch::token_exchange()
            .arg(concat!(
                "-private-key-path=",
                env!("CARGO_MANIFEST_DIR"),
                "/tests/golden/keys/eddsa.jwk"
            ))
            .arg(&format!("-max-connections={}", callers + 64))
            // Half of them may wait for the store.
            .arg(&format!("-max-in-flight={}", 2 * callers))
            .arg("-max-queue-wait=8s");
        let service = operator.serve(launch);
        let body = format!(r#"{{"api_key":"{key}"}}"#);
        let length = body.len();
        let request = format!(
            "POST /v0/token/integration HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );

        // All are connected before the first of them asks.
        let connect = || std::net::TcpStream::connect(service.address()).unwrap();
        let mut connections: Vec<_> = std::iter::repeat_with(connect).take(callers).collect();
        for connection in &mut connections {
            connection.write_all(request.as_bytes()).unwrap();
        }
        if first_leaves {
            drop(connections.swap_remove(0));
        }
        for (number, mut connection) in connections.into_iter().enumerate() {
            let mut answer = String::new();
            connection.set_read_timeout(Some(WITHIN)).unwrap();
            connection.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{number}: {answer}");
        }
        let page = service.metrics_page();
        assert!(
            page.contains(
                r#"tokenexchange_store_read_duration_seconds_count{outcome="answered"} 1"#
            ),
            "{page}"
        );
    }
}

async fn one_read(first_leaves: bool) {
    let callers = 500;
    let store = Arc::new(HeldStore::default());
    let cache = Cached::new(store.clone(), CacheLimits::DEFAULT, Arc::new(StandingClock));
    let cache = Arc::new(cache);
    let address = serve(cache.clone(), callers + 64);

    let first = tokio::spawn(call(address.clone()));
    until("the read has begun", || store.reads.load(Ordering::SeqCst) == 1).await;
    if first_leaves {
        first.abort();
    }
    let mut others = JoinSet::new();
    for _ in 1..callers {
        others.spawn(call(address.clone()));
    }
    let all = callers as u64 - 1;
    until("all others wait", || cache.figures().joined_reads() == all).await;
    store.may_answer.add_permits(1);

    assert_eq!(others.join_all().await, vec![200; callers - 1]);
    if !first_leaves {
        assert_eq!(first.await.unwrap(), 200);
    }
    assert_eq!(store.reads.load(Ordering::SeqCst), 1);
    assert_eq!(cache.figures().reads_in_flight(), 0);
}

/// No read grows old, however long the machine takes to make so many callers.
struct StandingClock;

impl Clock for StandingClock {
    fn moment(&self) -> Moment {
        moment_at(1_800_000_000)
    }
}

/// Has one key, and answers when it may.
struct HeldStore {
    reads: AtomicUsize,
    may_answer: Semaphore,
}

impl Default for HeldStore {
    fn default() -> Self {
        Self { reads: AtomicUsize::new(0), may_answer: Semaphore::new(0) }
    }
}

#[async_trait]
impl KeyStore for HeldStore {
    async fn integration_key(
        &self,
        _: &IntegrationId,
        _: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let _permit = self.may_answer.acquire().await.unwrap();
        Ok(record("secret").into())
    }

    async fn organization_key(
        &self,
        _: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        Ok(Answer::Absent.into())
    }
}

/// Serves on a port of its own, for this many connections.
fn serve(cache: Arc<Cached>, connections: usize) -> String {
    let signing =
        SigningLimits { queue: connections, max_wait: WITHIN, ..SigningLimits::default() };
    // Nor does it matter how long it takes to send so many heads.
    let limits = Limits { connections, head: WITHIN, ..Limits::PRODUCTION };
    let setting = Setting {
        key_file: EDDSA,
        signing,
        max_in_flight: connections,
        limits,
        ..Setting::default()
    };
    InProcess::serve(cache, setting).address
}

/// The status of one exchange.
async fn call(address: String) -> u16 {
    let key = written("a", "secret");
    let body = format!(r#"{{"api_key":"{}"}}"#, key.expose_secret());
    let request = format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(WITHIN, exchange).await.expect("every request gets an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(Duration::from_millis(5)).await;
    }
}
