//! How fast, and how soon: rates beside their limits, and latencies.

use std::time::Duration;

use crate::pinned::{ON_SERVICE_CORE, drive, request};
use crate::reference::{Hello, Raw};
use crate::scene::{Keys, REMEMBERING, Rate, most_are_tokens, rate_of, rounds, window};
use crate::support::load::plan::Schedule;
use crate::support::load::{Arrivals, Plan, Probe};
use crate::table::{Spread, Table};

const JWKS: &str = "/.well-known/jwks.json";
const RECORDS_DROPPED: &str = "tokenexchange_log_lines_dropped_total{kind=\"audit\"}";

/// Exchanges of each algorithm, beside the rate of a core that says hello and signs, and nothing
/// else. By the time that each had on the core: one generator does not ask for enough to keep a core
/// busy with hello alone, and a neighbour takes another part of each window.
pub fn rates(table: &mut Table) {
    let (keys, hello, peer) = (Keys::on_sqlite(1), Hello::start(), Peer::told());
    let wanted = std::env::var("ALGORITHMS").unwrap_or_default();
    for (algorithm, goal, times_the_peer) in [
        ("RS256", Some("at least 0.93"), Some("at least 2.3 without AVX-512")),
        ("PS256", None, None),
        ("ES256", Some("at least 0.75"), None),
        ("EdDSA", Some("at least 0.75"), Some("at least 50 without AVX-512")),
    ] {
        if !wanted.is_empty() && !wanted.split(',').any(|one| one == algorithm) {
            continue;
        }
        let mut scene = keys.serve(algorithm, &REMEMBERING);
        let mut raw = Raw::start(algorithm);
        scene.warm_up();
        let (mut ours, mut signed, mut said, mut peers) = (vec![], vec![], vec![], vec![]);
        for _ in 0..rounds() {
            ours.push(scene.rate(window()));
            signed.push(raw.rate(window()));
            said.push(hello.rate(window()));
            peers.extend(peer.as_ref().map(|peer| peer.rate(window())));
        }
        let each = |rates: &[Rate], of: fn(&Rate) -> f64| rates.iter().map(of).collect::<Vec<_>>();
        let of_limit = |of: fn(&Rate) -> f64| {
            let limit = |(signed, said)| 1.0 / (1.0 / of(signed) + 1.0 / of(said));
            let limits = signed.iter().zip(&said).map(limit);
            ours.iter().zip(limits).map(|(ours, limit)| of(ours) / limit).collect::<Vec<_>>()
        };
        let by_time = of_limit(|rate| rate.a_core_second());
        table.row(&format!("{algorithm}: exchanges / their limit"), goal, &by_time);
        let by_clock = of_limit(|rate| rate.a_second);
        table.row(&format!("{algorithm}: the same, by the clock"), None, &by_clock);
        for (what, rates) in
            [("exchanges", &ours), ("raw signatures", &signed), ("hello", &said), ("peer", &peers)]
        {
            if !rates.is_empty() {
                let (a_second, busy) = (each(rates, |r| r.a_second), each(rates, |r| r.busy));
                table.row(&format!("{algorithm}: {what} a second"), None, &a_second);
                table.row(&format!("{algorithm}: {what}, busy"), None, &busy);
            }
        }
        let of = match &peer {
            Some(Peer { process: Some(_), .. }) => |rate: &Rate| rate.a_core_second(),
            _ => |rate: &Rate| rate.a_second,
        };
        let times: Vec<f64> =
            ours.iter().zip(&peers).map(|(ours, peer)| of(ours) / of(peer)).collect();
        let dropped = scene.service.metrics_page();
        let dropped = dropped.lines().find_map(|line| line.strip_prefix(RECORDS_DROPPED)).unwrap();
        let measure = format!("{algorithm}: records dropped");
        table.row(&measure, None, &[dropped.trim().parse().unwrap()]);
        if !times.is_empty() {
            table.row(&format!("{algorithm}: exchanges / the peer's"), times_the_peer, &times);
        }
    }
}

/// Another service on the same core.
struct Peer {
    address: String,
    request: String,
    process: Option<u32>,
}

impl Peer {
    fn told() -> Option<Self> {
        let url = std::env::var("PEER_URL").ok()?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let key = std::env::var("PEER_API_KEY").expect("PEER_API_KEY, which the peer knows");
        let process = std::env::var("PEER_PID").ok().map(|id| id.parse().expect("a process"));
        Some(Self { address, request: request(&key), process })
    }

    fn rate(&self, window: Duration) -> Rate {
        // What it asks for its keys may be on the generator's core.
        rate_of(&self.address, &self.request, self.process, false, window)
    }
}

/// The key set, while all that the core can sign is asked for.
pub fn key_set_under_load(table: &mut Table) {
    let keys = Keys::on_sqlite(1);
    for algorithm in ["RS256", "EdDSA"] {
        let mut scene = keys.serve(algorithm, &REMEMBERING);
        scene.warm_up();
        let (mut p50, mut p99) = (vec![], vec![]);
        for _ in 0..rounds() {
            let probe = Probe { path: JWKS.to_owned(), a_second: 200.0 };
            let plan = scene.plan(Arrivals::ClosedLoop, window().max(Duration::from_secs(1)));
            let report = drive(&Plan { probes: vec![probe], ..plan });
            assert_eq!(report.probes[JWKS].len(), 1, "{:?}", report.probes);
            let probed = &report.probes[JWKS][&200];
            p50.push(probed.p50);
            p99.push(probed.p99);
        }
        table.row(&format!("{algorithm}: key set under full load, p50, ms"), "at most 1", &p50);
        table.row(&format!("{algorithm}: key set under full load, p99, ms"), "at most 5", &p99);
    }
}

/// Requests that come by chance, seven for each ten that there is time for. Beside their p99 that of
/// a queue as busy in which nothing is done but waiting and serving. The generator sleeps between
/// them: awake, it is late by some milliseconds whenever another process has had its core.
pub fn latency_at_70_percent(table: &mut Table) {
    let keys = Keys::on_sqlite(1);
    let mut scene = keys.serve_after(ON_SERVICE_CORE, "RS256", &REMEMBERING);
    let mut raw = Raw::start("RS256");
    scene.warm_up();
    let (mut signatures, mut busy, mut queue) = (vec![], vec![], vec![]);
    let (mut p50, mut p99) = (vec![], vec![]);
    for seed in 0..rounds() {
        let capacity = scene.rate(window()).a_second;
        let signature = 1.0 / raw.rate(window()).a_second;
        let rate = 0.7 * capacity;
        let report = drive(&scene.plan(Arrivals::Poisson { rate, seed }, 4 * window()));
        most_are_tokens(&report);
        let service = report.busy / rate;
        signatures.push(1000.0 * signature);
        busy.push(report.busy);
        queue.push(p99_of_a_queue(report.busy, seed) * service / signature);
        p50.push(report.of(200).p50 / 1000.0 / signature);
        p99.push(report.of(200).p99 / 1000.0 / signature);
    }
    table.row("RS256: one signature, ms", None, &signatures);
    table.row("RS256: busy at 70 % load", None, &busy);
    table.row("RS256: p99 of a queue as busy / one signature", None, &queue);
    table.row("RS256: p50 at 70 % load / one signature", None, &p50);
    table.row("RS256: p99 at 70 % load / one signature", "at most 8", &p99);
}

/// How long one of a hundred is in the queue, or longer, as a multiple of a service that always
/// takes the same, when requests come by chance and the server is busy for this part of the time.
fn p99_of_a_queue(busy: f64, seed: u64) -> f64 {
    let mut arrivals = Schedule::of(Arrivals::Poisson { rate: busy, seed }).expect("an open loop");
    let mut is_free = 0.0_f64;
    let mut stays: Vec<f64> = (0..100_000)
        .map(|_| {
            let now = arrivals.next().as_secs_f64();
            is_free = is_free.max(now) + 1.0;
            is_free - now
        })
        .collect();
    stays.sort_by(f64::total_cmp);
    stays[stays.len() / 100 * 99]
}

/// What another core adds: the generator, which has no core of its own then, takes its part of both.
pub fn two_cores(table: &mut Table) {
    let keys = Keys::on_sqlite(1);
    for algorithm in ["RS256", "EdDSA"] {
        let mut one = keys.serve_after(ON_SERVICE_CORE, algorithm, &REMEMBERING);
        let mut two = keys.serve_after("true", algorithm, &REMEMBERING);
        one.warm_up();
        two.warm_up();
        let ratio = |_| {
            let (one, two) = (one.rate(window()), two.rate(window()));
            two.a_core_second() / one.a_core_second()
        };
        let ratios: Vec<f64> = (0..rounds()).map(ratio).collect();
        let measure = format!("{algorithm}: exchanges a core second, 2 cores / 1 core");
        table.row(&measure, "at least 0.95", &ratios);
        let busy: Vec<f64> = (0..3).map(|_| two.rate(window()).busy).collect();
        table.row(&format!("{algorithm}: cores that it had of two"), None, &busy);
    }
}
