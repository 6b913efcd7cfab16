//! How the service does under more load than it can carry: `cargo bench --bench overload`.
//!
//! The service has core 0 to itself, and the generator, another process, core 1. First a closed loop
//! says what the service can do; then 2, 5 and 10 times as much comes, whether or not it is answered.
//! Once with all keys in a store that answers at once, and once with a tenth of the keys not in the
//! cache, and in a store that takes two seconds. `OVERLOAD_SECONDS` says how long each part is
//! measured, after five seconds (15 unless it is said). It needs `taskset`, and two cores with
//! nothing else to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code, unused_imports)]

#[path = "support/slow_store.rs"]
mod slow_store;
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use self::slow_store::SlowStore;
use self::support::load::{Arrivals, Plan, Probe, Report, Stats, generate};
use self::support::operator::Operator;
use self::support::service::{Launch, Service};

const SERVICE_CORE: &str = "taskset -cp 0 $$ > /dev/null";
const GENERATOR_CORE: &str = "1";
const WARM_UP: Duration = Duration::from_secs(5);
/// More than ever wait at once for an answer.
const CONNECTIONS: usize = 1500;
const JWKS: &str = "/.well-known/jwks.json";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, plan] = &arguments[..]
        && word == "generate"
    {
        let plan: Plan = serde_json::from_str(plan).unwrap();
        println!("{}", serde_json::to_string(&generate(&plan)).unwrap());
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let key = operator.integration_with_key("load");
    let service = operator.serve(launch());
    scene("All keys in SQLite", &service, &[request(&key)]);
    drop(service);

    let store = SlowStore::start();
    let service = launch().keys_in(&store.address(), "load").serve();
    let slow = request(SlowStore::SLOW_KEY);
    let mut requests = vec![request(SlowStore::FAST_KEY); 9];
    requests.push(slow);
    scene("A tenth of the keys not in the cache, in a store that takes 2 s", &service, &requests);
}

fn launch() -> Launch {
    Launch::token_exchange_after(SERVICE_CORE).recorded_signing_key().arg("-log-level=info")
}

fn request(key: &str) -> String {
    let body = serde_json::json!({ "api_key": key }).to_string();
    let length = body.len();
    format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: load\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn scene(name: &str, service: &Service, requests: &[String]) {
    let seconds = std::env::var("OVERLOAD_SECONDS").ok().and_then(|text| text.parse().ok());
    let plan = Plan {
        address: service.address().to_owned(),
        requests: requests[..1].to_vec(),
        arrivals: Arrivals::ClosedLoop,
        connections: 64,
        warm_up: WARM_UP,
        measure: Duration::from_secs(seconds.unwrap_or(15)),
        probes: Vec::new(),
    };
    let at_capacity = in_another_process(&plan).of(200);
    let capacity = at_capacity.a_second;
    println!("\n{name}\ncapacity: {capacity:.0} tokens a second, p99 {:.1} ms", at_capacity.p99);
    println!(
        "load  tokens/s  goodput  p50 ms  p99 ms  503/s  p50 ms  p99 ms  others  \
         JWKS     p99 ms  health   p99 ms"
    );
    for times in [2.0, 5.0, 10.0] {
        let probe = |path: &str| Probe { path: path.to_owned(), a_second: 50.0 };
        let plan = Plan {
            requests: requests.iter().map(|one| SlowStore::in_round(one, times)).collect(),
            arrivals: Arrivals::Poisson { rate: times * capacity, seed: 1 },
            connections: CONNECTIONS,
            probes: vec![probe(JWKS), probe("/health")],
            ..plan.clone()
        };
        print_row(times, capacity, &in_another_process(&plan));
    }
}

fn in_another_process(plan: &Plan) -> Report {
    let generator = Command::new("taskset")
        .args(["-c", GENERATOR_CORE])
        .arg(std::env::current_exe().unwrap())
        .arg("generate")
        .arg(serde_json::to_string(plan).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .expect("taskset runs");
    serde_json::from_slice(&generator.stdout).expect("the generator reports")
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
