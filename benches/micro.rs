//! What the steps of an exchange take: `cargo bench --bench micro`, `… -- parse` for one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

#[path = "support/core.rs"]
mod core;

use std::hint::black_box;
use std::time::Duration;

use axum::http::StatusCode;
use criterion::{Criterion, criterion_group, criterion_main};
use secrecy::SecretString;
use token_exchange::api_key::IntegrationApiKey;
use token_exchange::exchange::Integration;
use token_exchange::key_store::{KeyStore as _, Recency};
use token_exchange::signer::KeySet;
use token_exchange::telemetry::metrics::Metrics;
use tokio::runtime::{Builder, Runtime};

use self::core::{API_KEY, Core};

criterion_group!(steps, parse, cache_hit, claims, token, sign, telemetry);
criterion_main!(steps);

fn parse(bench: &mut Criterion) {
    let presented = SecretString::from(API_KEY);
    bench.bench_function("parse a key", |timer| {
        timer.iter(|| IntegrationApiKey::parse(black_box(&presented)));
    });
    let key = core::parsed();
    bench.bench_function("hash and compare a secret", |timer| {
        let stored = key.secret_hash();
        timer.iter(|| black_box(&key).secret_hash() == stored);
    });
}

fn cache_hit(bench: &mut Criterion) {
    let (runtime, core, key) = (runtime(), Core::with_queue(0, "signing-key.jwk"), core::parsed());
    bench.bench_function("find a key in memory", |timer| {
        timer.to_async(&runtime).iter(|| async {
            let (integration, key) = (key.integration_id(), key.key_id());
            core.store.integration_key(integration, key, Recency::Remembered).await.unwrap()
        });
    });
}

/// Parsed, found, verified and stated; not signed.
fn claims(bench: &mut Criterion) {
    let (runtime, core) = (runtime(), Core::with_queue(0, "signing-key.jwk"));
    bench.bench_function("from a key to its claims", |timer| {
        timer.to_async(&runtime).iter(|| async { core.exchange().await.is_err() });
    });
}

/// All of an exchange but HTTP, signed where it is asked for.
fn token(bench: &mut Criterion) {
    let (runtime, core) = (runtime(), Core::with_queue(64, "keys/eddsa.jwk"));
    bench.bench_function("from a key to its token, EdDSA", |timer| {
        timer.to_async(&runtime).iter(|| async { core.exchange().await.unwrap() });
    });
}

fn sign(bench: &mut Criterion) {
    let file = |name: &str| {
        let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let message = [b'x'; 380];
    for (algorithm, jwk) in [
        ("RS256", file("signing-key.jwk")),
        ("PS256", file("signing-key.jwk").replace("RS256", "PS256")),
        ("RS256, 3072 bits", file("keys/rsa3072.jwk")),
        ("ES256", file("keys/ec.jwk")),
        ("EdDSA", file("keys/eddsa.jwk")),
    ] {
        let keys = KeySet::parse(jwk.as_bytes()).unwrap();
        let key = &keys.members()[0].key;
        bench.bench_function(&format!("sign, {algorithm}"), |timer| {
            timer.iter(|| key.sign(black_box(&message)).unwrap());
        });
    }
}

fn telemetry(bench: &mut Criterion) {
    let figures = Metrics::new().unwrap().family::<Integration>().unwrap();
    bench.bench_function("count an answer", |timer| {
        timer.iter(|| figures.record(black_box(StatusCode::OK), Duration::from_micros(300)));
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
