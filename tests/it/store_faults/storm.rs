//! Many exchanges of valid keys in a storm of faults: nobody is turned away as invalid.
//!
//! A few thousand here. The full size, on a release build:
//! `STORM_EXCHANGES=1000000 cargo test --release --test it store_faults::storm`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::scene::{Scene, api_key, figure};
use crate::support::fault_proxy::{Fault, storm};
use crate::support::http_client::{KeptAlive, Request};
use crate::support::skip::announce;

const EXCHANGES: usize = 3_000;
const CLIENTS: usize = 16;
const KEYS: usize = 500;
const FAULTS_PER_MILLE: u64 = 30;

#[test]
fn in_a_storm_of_faults_no_valid_key_gets_401() {
    let told = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let exchanges: usize = told("STORM_EXCHANGES").unwrap_or(EXCHANGES);
    let seed = told("STORM_SEED").unwrap_or(1) as u64;
    let Some(scene) = Scene::with_keys(KEYS) else { return };
    let service = scene.launch().serve();
    scene.proxy.plan(storm(seed, FAULTS_PER_MILLE));

    let begun = Instant::now();
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
            let status = connection.send(&presented(family, number % KEYS)).status;
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

    let retries = figure(&service, "tokenexchange_datastore_retries_total").unwrap_or_default();
    announce(&format!(
        "storm: seed {seed}, {exchanges} exchanges in {:.1} s, answers {answers:?}; \
         {} calls, {retries} retries, {} connections",
        begun.elapsed().as_secs_f64(),
        scene.proxy.calls(),
        scene.proxy.connections(),
    ));
    assert!(answers.keys().all(|status| [200, 503].contains(status)), "{answers:?}");
    assert_eq!(answers.values().sum::<usize>(), exchanges);

    // And then it is over.
    scene.proxy.plan(|_| Fault::None);
    scene.proxy.cut();
    assert_eq!(service.exchange("autojoin", &api_key("autojoin", 0)).status, 200);
}

fn presented(family: &str, number: usize) -> Request {
    let body = serde_json::json!({ "api_key": api_key(family, number) }).to_string();
    let mut request = Request::post(&format!("/v0/token/{family}"), body);
    request.headers.retain(|(name, _)| name != "Connection");
    request
}
