//! Many exchanges of valid keys in a storm of faults: nobody is turned away as invalid. What is
//! remembered hides most of a storm, so a quarter of them meet a service that remembers nothing.
//!
//! A few thousand here. The full size, on a release build:
//! `STORM_EXCHANGES=1000000 cargo test --release --test it store_faults::storm`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::scene::{Scene, api_key, figure};
use crate::support::fault_proxy::{Fault, storm};
use crate::support::http_client::{KeptAlive, Request};
use crate::support::service::Service;
use crate::support::skip::announce;

const EXCHANGES: usize = 1_600;
const CLIENTS: usize = 32;
const KEYS: usize = 40;
const FAULTS_PER_MILLE: u64 = 30;

/// Ages of a moment: every key is read again and again, and some outlast the bound.
const SHORT_AGES: &[&str] =
    &["-cache-fresh=100ms", "-cache-max-age=300ms", "-cache-stale-if-error=2s"];

#[test]
fn in_a_storm_of_faults_no_valid_key_gets_401() {
    let told = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let exchanges: usize = told("STORM_EXCHANGES").unwrap_or(EXCHANGES);
    let seed = told("STORM_SEED").unwrap_or(1);
    let Some(scene) = Scene::with_keys(KEYS) else { return };
    for (memory, flags, exchanges) in [
        ("nothing", &["-cache-capacity=0"][..], exchanges / 4),
        ("keys", SHORT_AGES, exchanges - exchanges / 4),
    ] {
        let service = flags.iter().fold(scene.launch(), |launch, flag| launch.arg(flag)).serve();
        let calls = scene.proxy.calls();
        scene.proxy.plan(storm(seed as u64, FAULTS_PER_MILLE));
        let begun = Instant::now();
        let answers = ride_out(&service, exchanges);
        announce(&format!(
            "storm on a service that remembers {memory}: seed {seed}, {exchanges} exchanges in \
             {:.1} s, answers {answers:?}, resting on {}; {} calls, {} retries",
            begun.elapsed().as_secs_f64(),
            sources(&service),
            scene.proxy.calls() - calls,
            figure(&service, "tokenexchange_datastore_retries_total").unwrap_or_default(),
        ));
        assert!(answers.keys().all(|status| [200, 503].contains(status)), "{answers:?}");
        assert_eq!(answers.values().sum::<usize>(), exchanges);

        // And then it is over.
        scene.proxy.plan(|_| Fault::None);
        scene.proxy.cut();
        assert_eq!(service.exchange("autojoin", &api_key("autojoin", 0)).status, 200);
    }
}

/// How often each status was the answer.
fn ride_out(service: &Service, exchanges: usize) -> BTreeMap<u16, usize> {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut answers = BTreeMap::<u16, usize>::new();
        let mut connection = KeptAlive::to(service.address());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= exchanges {
                return answers;
            }
            let family = if number.is_multiple_of(2) { "integration" } else { "autojoin" };
            let status = connection.send(&presented(family, number / 2 % KEYS)).status;
            *answers.entry(status).or_default() += 1;
        }
    };
    let mut answers = BTreeMap::<u16, usize>::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        for (status, count) in clients.into_iter().flat_map(|client| client.join().unwrap()) {
            *answers.entry(status).or_default() += count;
        }
    });
    answers
}

/// What the answers of the service rest on, as its metrics have it.
fn sources(service: &Service) -> String {
    let page = service.metrics_page();
    let of_line = |line: &str| {
        let rest = line.strip_prefix("tokenexchange_cache_answers_total{source=\"")?;
        Some(rest.replace("\"}", ""))
    };
    page.lines().filter_map(of_line).collect::<Vec<_>>().join(", ")
}

fn presented(family: &str, number: usize) -> Request {
    let body = serde_json::json!({ "api_key": api_key(family, number) }).to_string();
    let mut request = Request::post(&format!("/v0/token/{family}"), body);
    request.headers.retain(|(name, _)| name != "Connection");
    request
}
