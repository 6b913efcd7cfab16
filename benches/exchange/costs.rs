//! What it takes: memory, reads of the store, time to start; and what many keys cost.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::machine::{memory, size, told};
use crate::pinned::{ON_SERVICE_CORE, service_after};
use crate::scene::{Keys, REMEMBERING, Scene, rounds, signing, window};
use crate::stand_in::StandIn;
use crate::support::emulator;
use crate::support::http_client::Request;
use crate::support::service::Service;
use crate::table::Table;

const WITHIN: Duration = Duration::from_secs(30);
const BATCH: u64 = 500;

fn most_keys() -> u64 {
    told("KEYS", 1_000_000)
}

/// The same work with one key, a thousand and a million of them.
pub fn number_of_keys(table: &mut Table) {
    let (one, thousand, most) =
        (Keys::on_sqlite(1), Keys::on_sqlite(1000), Keys::on_sqlite(most_keys()));
    let number = most.number;
    for algorithm in ["RS256", "EdDSA"] {
        let [mut of_one, mut of_thousand, mut of_most] =
            [&one, &thousand, &most].map(|keys| keys.serve(algorithm, &REMEMBERING));
        let mut with_defaults = most.serve(algorithm, &[]);
        for scene in [&mut of_one, &mut of_thousand, &mut of_most] {
            scene.warm_up();
        }
        with_defaults.rate(Duration::from_secs(5));
        let mut ratios = [vec![], vec![], vec![]];
        for _ in 0..rounds() {
            for (scene, ratios) in
                [&mut of_thousand, &mut of_most, &mut with_defaults].into_iter().zip(&mut ratios)
            {
                let base = of_one.rate(window()).a_core_second();
                ratios.push(scene.rate(window()).a_core_second() / base);
            }
        }
        let [thousand, most, defaults] = ratios;
        let measure = |keys: &str| format!("{algorithm}: rate with {keys} / with 1");
        table.row(&measure("1000 keys"), None, &thousand);
        table.row(&measure(&format!("{number} keys")), "at least 0.95", &most);
        table.row(&measure(&format!("{number}, cache as by default")), None, &defaults);
        let resident = memory(of_most.service.process.id(), "VmRSS");
        table.row(&format!("{algorithm}: memory with {number} keys, MiB"), None, &[resident]);
    }
}

/// What it costs to tell of each exchange: one service keeps a record of each, which is read from a
/// pipe, and traces one in a hundred; the other tells nothing.
pub fn telling_of_it(table: &mut Table) {
    let (keys, collector) = (Keys::on_sqlite(1), StandIn::start());
    let traced = format!(
        "export OTEL_EXPORTER_OTLP_ENDPOINT=http://{} OTEL_TRACES_SAMPLER=parentbased_traceidratio \
         OTEL_TRACES_SAMPLER_ARG=0.01",
        collector.address()
    );
    let silent = "export RUST_LOG=info,token_exchange::audit=off";
    for (algorithm, goal) in [("RS256", Some("at least 0.95")), ("EdDSA", None)] {
        let [mut told, mut untold] = [&*traced, silent].map(|environment| {
            let command = format!("{ON_SERVICE_CORE}; {environment}");
            keys.serve_after(&command, algorithm, &REMEMBERING)
        });
        told.warm_up();
        untold.warm_up();
        let ratio = |_| told.rate(window()).a_core_second() / untold.rate(window()).a_core_second();
        let ratios: Vec<f64> = (0..rounds()).map(ratio).collect();
        let measure = format!("{algorithm}: rate with records and traces / without");
        table.row(&measure, goal, &ratios);
        let page = told.service.metrics_page();
        for lost in ["log_lines_dropped_total{kind=\"audit\"}", "traces_exported_total"] {
            let name = format!("tokenexchange_{lost} ");
            let value = page.lines().find_map(|line| line.strip_prefix(&*name)).unwrap();
            table.row(&format!("{algorithm}: {lost}"), None, &[value.parse().unwrap()]);
        }
    }
}

/// How rarely the store is asked when each key is remembered for as long as by default.
pub fn reads_of_the_store(table: &mut Table) {
    for (algorithm, number) in [("EdDSA", 1000), ("RS256", 50)] {
        let keys = Keys::on_sqlite(number);
        let mut scene = keys.serve(algorithm, &[]);
        scene.warm_up();
        // Longer than an answer is fresh, so that each key is asked for more than once.
        scene.rate(Duration::from_secs(12));
        let (before, from) = (reads(&scene.service), scene.from);
        scene.rate(Duration::from_secs(30));
        let each = (reads(&scene.service) - before) / precise(scene.from - from);
        let measure = format!("{algorithm}, {number} keys: reads of the store / exchange");
        table.row(&measure, "at most 0.01", &[each]);
    }
}

/// Reads that have ended, whatever their outcome.
fn reads(service: &Service) -> f64 {
    let page = service.metrics_page();
    let counts = page.lines().filter_map(|line| {
        line.strip_prefix("tokenexchange_store_read_duration_seconds_count{")?.split_once("} ")
    });
    counts.map(|(_, count)| count.parse::<f64>().unwrap()).sum()
}

/// Each exchange asks the store.
pub fn keys_that_are_not_remembered(table: &mut Table) {
    const NOTHING: &str = "-cache-capacity=0";
    let sqlite = Keys::on_sqlite(most_keys());
    let mut scene = sqlite.serve_after(ON_SERVICE_CORE, "EdDSA", &[NOTHING]);
    rows_of(table, &format!("SQLite of {} keys", sqlite.number), &mut scene);
    drop(scene);

    let folder = tempfile::tempdir().unwrap();
    let datastore = |host: &str, project: &str, keys| {
        let launch = signing(service_after(ON_SERVICE_CORE), "EdDSA", folder.path());
        Scene {
            service: launch.keys_in(host, project).arg(NOTHING).serve(),
            keys,
            from: 0,
            awake: false,
        }
    };
    let stand_in = StandIn::start();
    let mut scene = datastore(&stand_in.address(), "load", most_keys());
    rows_of(table, &format!("stand-in of {} keys", scene.keys), &mut scene);
    drop(scene);

    let Some(emulator) = emulator::firestore() else { return };
    let (project, number) = (emulator::unique_project(), told("EMULATOR_KEYS", 10_000));
    for first in (0..number).step_by(usize::try_from(BATCH).unwrap()) {
        let entities: Vec<_> = (first..number.min(first + BATCH)).map(entity).collect();
        emulator.load(&project, &entities);
    }
    let mut scene = datastore(emulator.host(), &project, number);
    rows_of(table, &format!("emulator of {number} keys"), &mut scene);
}

fn rows_of(table: &mut Table, store: &str, scene: &mut Scene) {
    scene.rate(Duration::from_secs(2));
    let rates: Vec<_> = (0..rounds()).map(|_| scene.rate(window())).collect();
    let (a_second, a_core_second): (Vec<_>, Vec<_>) =
        rates.iter().map(|rate| (rate.a_second, rate.a_core_second())).unzip();
    table.row(&format!("EdDSA: cold, {store}, a second"), None, &a_second);
    table.row(&format!("EdDSA: cold, {store}, a core second"), None, &a_core_second);
}

fn entity(number: u64) -> serde_json::Value {
    use sha2::{Digest as _, Sha256};
    serde_json::json!({
        "key": {
            "partitionId": { "namespaceId": "client-integration" },
            "path": [
                { "kind": "IntegrationMeta", "name": "load" },
                { "kind": "IntegrationAPIKey", "name": format!("ki_{number:08}") },
            ],
        },
        "properties": {
            "key_hash": { "stringValue": hex::encode(Sha256::digest("secret")) },
            "status": { "stringValue": "active" },
            "tier": { "integerValue": "1" },
        },
    })
}

/// From the start of the process to its first answers, what it holds, and how large it is.
pub fn start_and_size(table: &mut Table) {
    let keys = Keys::on_sqlite(1000);
    let first = keys.operator.integration_key("load", 1);
    for algorithm in ["RS256", "EdDSA"] {
        let (mut health, mut token) = (vec![], vec![]);
        let (mut idle, mut own) = (vec![], vec![]);
        for _ in 0..rounds() {
            let begun = Instant::now();
            let started = keys.serve_after("true", algorithm, &[]);
            Request::get("/health").send(started.service.address(), WITHIN).unwrap();
            health.push(millis(begun));
            started.service.token("integration", &first);
            token.push(millis(begun));
            idle.push(memory(started.service.process.id(), "VmRSS"));
            own.push(memory(started.service.process.id(), "RssAnon"));
        }
        table.row(&format!("{algorithm}: start to the first 200, ms"), None, &health);
        table.row(&format!("{algorithm}: start to the first token, ms"), "at most 12", &token);
        table.row(&format!("{algorithm}: memory idle, MiB"), "at most 8", &idle);
        table.row(&format!("{algorithm}: of it no page of a file, MiB"), None, &own);

        let mut scene = keys.serve(algorithm, &[]);
        scene.warm_up();
        let mut loaded = vec![];
        for _ in 0..rounds() {
            scene.rate(window());
            loaded.push(memory(scene.service.process.id(), "VmRSS"));
        }
        let measure = format!("{algorithm}: memory under load with 1000 keys, MiB");
        table.row(&measure, "at most 16", &loaded);
        let peak = memory(scene.service.process.id(), "VmHWM");
        table.row(&format!("{algorithm}: the most of it, MiB"), None, &[peak]);
    }
    let program = std::env::var("TOKEN_EXCHANGE");
    let program = program.as_deref().unwrap_or(env!("CARGO_BIN_EXE_token-exchange"));
    table.row("program, MiB", None, &[size(Path::new(program))]);
}

#[allow(clippy::cast_precision_loss, reason = "nobody counts that far")]
fn precise(number: u64) -> f64 {
    number as f64
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
