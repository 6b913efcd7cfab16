//! How the service does under more load than it can carry: `cargo bench --bench overload`.
//!
//! The service has core 0 to itself, and the generator, another process, core 1. First a closed loop
//! says what the service can do; then 2, 5 and 10 times as much comes, whether or not it is answered.
//! Once with all keys in a store that answers at once, and once with a tenth of the keys not in the
//! cache, and in a store that takes two seconds. `OVERLOAD_SECONDS` says how long each part is
//! measured, after five seconds (15 unless it is said). It needs `taskset`, and two cores with
//! nothing else to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code, unused_imports)]

#[path = "support/pinned.rs"]
mod pinned;
#[path = "support/stand_in.rs"]
mod stand_in;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::time::Duration;

use self::pinned::{ON_SERVICE_CORE, drive, request};
use self::stand_in::StandIn;
use self::support::load::{Arrivals, Numbers, Plan, Probe, Report, Stats};
use self::support::operator::Operator;
use self::support::service::{Launch, Service};

const WARM_UP: Duration = Duration::from_secs(5);
/// More than ever wait at once for an answer.
const CONNECTIONS: usize = 1500;
const JWKS: &str = "/.well-known/jwks.json";

fn main() {
    if pinned::is_generator() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let key = operator.integration_with_key("load");
    let service = operator.serve(launch());
    scene("All keys in SQLite", &service, &[request(&key)]);
    drop(service);

    let store = StandIn::start();
    let service = launch().keys_in(&store.address(), "load").serve();
    let slow = request(StandIn::SLOW_KEY);
    let mut requests = vec![request(StandIn::FAST_KEY); 9];
    requests.push(slow);
    scene("A tenth of the keys not in the cache, in a store that takes 2 s", &service, &requests);
}

fn launch() -> Launch {
    pinned::service_after(ON_SERVICE_CORE).recorded_signing_key().arg("-log-level=info")
}

fn scene(name: &str, service: &Service, requests: &[String]) {
    let seconds = std::env::var("OVERLOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    let plan = Plan {
        address: service.address().to_owned(),
        requests: requests[..1].to_vec(),
        numbers: Numbers::Counting,
        arrivals: Arrivals::ClosedLoop,
        connections: 64,
        warm_up: WARM_UP,
        measure: Duration::from_secs(seconds.unwrap_or(15)),
        probes: Vec::new(),
        process: None,
        awake: false,
    };
    let at_capacity = drive(&plan).of(200);
    let capacity = at_capacity.a_second;
    println!("\n{name}\ncapacity: {capacity:.0} tokens a second, p99 {:.1} ms", at_capacity.p99);
    println!(
        "load  tokens/s  goodput  p50 ms  p99 ms  503/s  p50 ms  p99 ms  others  \
         JWKS     p99 ms  health   p99 ms"
    );
    for times in [2.0, 5.0, 10.0] {
        let probe = |path: &str| Probe { path: path.to_owned(), a_second: 50.0 };
        let plan = Plan {
            requests: requests.iter().map(|one| StandIn::in_round(one, times)).collect(),
            arrivals: Arrivals::Poisson { rate: times * capacity, seed: 1 },
            connections: CONNECTIONS,
            probes: vec![probe(JWKS), probe("/health")],
            ..plan.clone()
        };
        print_row(times, capacity, &drive(&plan));
    }
}

fn print_row(times: f64, capacity: f64, report: &Report) {
    let (good, refused) = (report.of(200), report.of(503));
    let others = report.by_status.iter().filter(|(status, _)| !matches!(status, 200 | 503));
    let others: usize = others.map(|(_, stats)| stats.count).sum();
    let (jwks, jwks_p99) = success(report, JWKS);
    let (health, health_p99) = success(report, "/health");
    println!(
        "{times:>3.0}x  {:>8.0}  {:>6.1}%  {:>6.1}  {:>6.1}  {:>5.0}  {:>6.1}  {:>6.1}  {others:>6}  \
         {jwks:>6.2}%  {jwks_p99:>6.1}  {health:>6.2}%  {health_p99:>6.1}",
        good.a_second,
        100.0 * good.a_second / capacity,
        good.p50,
        good.p99,
        refused.a_second,
        refused.p50,
        refused.p99,
    );
}

/// How many of a hundred probes were answered with 200, and how late.
#[allow(clippy::cast_precision_loss, reason = "nobody counts that far")]
fn success(report: &Report, path: &str) -> (f64, f64) {
    let by_status = &report.probes[path];
    let all: usize = by_status.values().map(|stats| stats.count).sum();
    let good: Stats = by_status.get(&200).cloned().unwrap_or_default();
    (100.0 * good.count as f64 / all.max(1) as f64, good.p99)
}
