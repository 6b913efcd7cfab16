//! `/ready`: whether an instance is worth sending traffic.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use token_exchange::environment::{Clock, Moment, System};
use token_exchange::key_store::sqlite::SqliteStore;
use tokio::runtime::Runtime;

use super::scene::{Scene, WITHIN, get};
use crate::support::eventually::eventually;
use crate::support::http_client::Request;
use crate::support::in_process::{InProcess, Setting};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Signal};
use crate::support::stand_in::RefusingStore;

#[test]
fn a_service_that_listens_is_ready_whatever_the_method() {
    let scene = Scene::new(&[]);
    for method in ["GET", "HEAD", "POST", "OPTIONS", "BREW"] {
        let request =
            Request::new(method, "/ready").header("Host", "x").header("Connection", "close");
        let answer = request.send(scene.service.address(), WITHIN).unwrap();
        assert_eq!(answer.status, 200, "{method}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.text(), if method == "HEAD" { "" } else { "ready" });
    }
    assert_eq!(scene.get("/ready/").status, 404);
}

#[test]
fn readiness_does_not_depend_on_the_store() {
    let store = RefusingStore::start();
    let service =
        Launch::token_exchange().recorded_signing_key().keys_in(&store.host(), "away").serve();
    assert_eq!(service.exchange("autojoin", "any").status, 503);
    assert_eq!(get(&service, "/ready").status, 200);
}

#[test]
fn a_service_that_drains_is_not_ready_and_alive() {
    let scene = Scene::new(&[]);
    scene.service.process.signal(Signal::TERM);
    // As long as somebody connects the port stays open.
    let answer = eventually("the drain", WITHIN, || {
        Some(scene.get("/ready")).filter(|answer| answer.status != 200)
    });
    assert_eq!((answer.status, answer.text().as_str()), (503, "draining\n"));
    assert_eq!(scene.get("/health").status, 200);
}

#[test]
fn while_signing_fails_it_is_tried_once_a_second_and_ready_again_without_any_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let key = Operator::on_sqlite(&path).integration_with_key("acme");
    let clock = Arc::new(Breakable::default());
    let runtime = Runtime::new().unwrap();
    let address = serve(&runtime, &path, Arc::clone(&clock) as Arc<dyn Clock>);
    let exchange = || {
        let body = serde_json::json!({ "api_key": key }).to_string();
        Request::post("/v0/token/integration", body).send(&address, WITHIN).unwrap()
    };
    let ready = || Request::get("/ready").send(&address, WITHIN).unwrap();
    assert_eq!(exchange().status, 200);

    clock.is_broken.store(true, Ordering::SeqCst);
    assert_eq!(exchange().status, 500);
    let begun = Instant::now();
    clock.failures.store(0, Ordering::SeqCst);
    for _ in 0..20 {
        let answer = ready();
        assert_eq!((answer.status, answer.text().as_str()), (503, "signing fails\n"));
    }
    let trials = clock.failures.load(Ordering::SeqCst);
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    assert!((1..=seconds + 1).contains(&trials), "{trials} trials in {seconds} s");

    clock.is_broken.store(false, Ordering::SeqCst);
    eventually("ready again", WITHIN, || (ready().status == 200).then_some(()));
    assert_eq!(exchange().status, 200);
}

/// A clock on which signing fails: it panics when a thread that signs looks at it.
#[derive(Default)]
pub struct Breakable {
    pub is_broken: AtomicBool,
    failures: AtomicUsize,
}

impl Clock for Breakable {
    fn moment(&self) -> Moment {
        let signs = std::thread::current().name().is_some_and(|name| name.starts_with("signing-"));
        if signs && self.is_broken.load(Ordering::SeqCst) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            panic!("made up");
        }
        System.moment()
    }
}

fn serve(runtime: &Runtime, store: &Path, clock: Arc<dyn Clock>) -> String {
    let _runtime = runtime.enter();
    let store = Arc::new(SqliteStore::open(store).unwrap());
    InProcess::serve(store, Setting { clock, ..Setting::default() }).address
}
