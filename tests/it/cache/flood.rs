//! What the cache costs in memory: full, and under a flood of keys that do not exist. Measured in a
//! process of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use token_exchange::api_key::OrganizationApiKey;
use token_exchange::environment::System;
use token_exchange::key_store::cached::CacheLimits;
use token_exchange::key_store::{KeyStore as _, Recency, Source};

use super::world::{World, record};
use crate::support::operator::Operator;
use crate::support::service::Launch;
use crate::support::skip::announce;

const MIB: usize = 1024;
/// What a flood may take of a process in all.
const FLOODED_KIB: usize = 128 * MIB;
/// What a full cache may take.
const FULL_KIB: usize = 48 * MIB;
/// Tells a process of this test binary that it is the measured one.
const MEASURED: &str = "CACHE_MEASURED";

#[test]
fn a_full_cache_takes_48_mib_at_most() {
    in_a_process_of_its_own("a_full_cache_takes_48_mib_at_most", async {
        let world = World::new();
        let before = resident_kib("self");
        let each = CacheLimits::DEFAULT.capacity / 2;
        for number in 0..each {
            // As long as the Go tool's key ids and the longest of real integrations' and
            // organizations' names.
            let name = format!("integration-of-a-large-company-{number:016x}");
            world.store.holds(&name, record("secret"));
            world.ask(&name).await.unwrap();
            world.store.forget(&name);
            let key = OrganizationApiKey::generate(&System).unwrap();
            world.store.holds_organization_key(&key, "organization-of-a-large-company");
            world.cache.organization_key(&key, Recency::Remembered).await.unwrap();
            world.store.forget_organization_key(&key);
        }
        let entries = world.cache.entries().keys;
        assert_eq!(entries, each * 2, "every one of them has a place");
        let took = resident_kib("self") - before;
        announce(&format!("{entries} keys are remembered in {took} KiB"));
        assert!(took < FULL_KIB, "{took} KiB");
    });
}

/// `CACHE_FLOOD=10000000` in the environment makes it as large as is promised.
#[test]
fn a_flood_of_unknown_keys_takes_neither_memory_nor_the_place_of_a_known_key() {
    in_a_process_of_its_own(
        "a_flood_of_unknown_keys_takes_neither_memory_nor_the_place_of_a_known_key",
        async {
            // Fresh all the while, so that a key that is read again has lost its place.
            let hour = Duration::from_hours(1);
            let ages = CacheLimits {
                fresh: hour,
                max_age: hour,
                stale_if_error: hour,
                ..CacheLimits::DEFAULT
            };
            let world = World::with(ages);
            let known: Vec<String> = (0..1_000).map(|number| format!("known-{number}")).collect();
            for name in &known {
                world.store.holds(name, record("secret"));
                world.ask(name).await.unwrap();
            }
            let flood = size_of_flood("CACHE_FLOOD", 50_000);
            for number in 0..flood {
                let asked = world.ask(&format!("unknown-{number}")).await;
                assert_eq!(asked, Ok(Source::Store));
            }
            // All were read before the flood, and none since.
            let reads = world.store.reads();
            for name in &known {
                let source = world.ask(name).await.unwrap();
                assert_eq!(source, Source::Fresh, "{name} has lost its place");
            }
            assert_eq!(world.store.reads(), reads);
            assert_eq!(world.cache.entries().keys, known.len());
            assert!(world.cache.entries().absences <= 10_000);
            let peak = peak_kib("self");
            announce(&format!("{flood} unknown keys, at most {peak} KiB"));
            assert!(peak < FLOODED_KIB, "{peak} KiB");
        },
    );
}

/// `CACHE_FLOOD_HTTP=100000` in the environment makes it as large as is promised.
#[test]
fn a_flood_of_unknown_keys_over_http_takes_neither_memory_nor_the_place_of_a_known_key() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let known = operator.integration_with_key("acme");
    // Fresh all the while, so that a read of it would show.
    let hour = ["-cache-fresh=1h", "-cache-max-age=1h", "-cache-stale-if-error=1h"];
    let launch = hour.iter().fold(Launch::token_exchange(), |launch, flag| launch.arg(flag));
    let service = operator.serve(launch.recorded_signing_key());
    service.token("integration", &known);

    let flood = size_of_flood("CACHE_FLOOD_HTTP", 5_000);
    let mut connection = TcpStream::connect(service.address()).unwrap();
    connection.set_nodelay(true).unwrap();
    let mut answer = [0; 1024];
    for number in 0..flood {
        let body = format!(r#"{{"api_key":"mlabk.cii_acme.ki_unknown-{number}.x"}}"#);
        let length = body.len();
        let request = format!(
            "POST /v0/token/integration HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).unwrap();
        let read = connection.read(&mut answer).unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 401"), "{number}");
    }
    service.token("integration", &known);

    let page = service.metrics_page();
    let fresh = r#"tokenexchange_cache_answers_total{source="fresh"} 1"#;
    assert!(page.contains(fresh), "{page}");
    let peak = peak_kib(&service.process.id().to_string());
    announce(&format!("{flood} unknown keys over HTTP, at most {peak} KiB"));
    assert!(peak < FLOODED_KIB, "{peak} KiB");
}

fn size_of_flood(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |told| told.parse().expect("a number of keys"))
}

/// Runs a test of this binary once more, alone, where nothing else is measured with it.
fn in_a_process_of_its_own(test: &str, measured: impl Future<Output = ()>) {
    if std::env::var_os(MEASURED).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(measured);
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("cache::flood::{test}")])
        .env(MEASURED, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

/// What a process holds of the memory now.
fn resident_kib(process: &str) -> usize {
    kib(process, "VmRSS:")
}

/// The most that it has held.
fn peak_kib(process: &str) -> usize {
    kib(process, "VmHWM:")
}

/// Linux, `proc_pid_status(5)`.
fn kib(process: &str, field: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("Linux says it")
}
