//! A page with everything on it that can be: all that a service registers, with Datastore, in the
//! middle of a rotation, after traffic.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use gcloud_sdk::google::datastore::v1::LookupResponse;
use gcloud_sdk::prost_types::Timestamp;
use serde_json::Value;
use token_exchange::environment::{Clock as _, System, WatchedClock};
use token_exchange::exchange::{Autojoin, Exchange, Integration};
use token_exchange::key_store::cached::{CacheLimits, Cached};
use token_exchange::key_store::datastore::DatastoreStore;
use token_exchange::signer::{KeyFile, Signer};
use token_exchange::telemetry::logs::LineFigures;
use token_exchange::telemetry::metrics::Metrics;

use crate::stores::engine::{connect, integration_id, key_id};
use crate::stores::grpc::{StandIn, missing_of, reply};
use crate::support::ask::Ask as _;
use crate::support::golden;

/// As text.
pub async fn page() -> String {
    let metrics = Metrics::new().unwrap();
    let took = Duration::from_millis(3);
    metrics.family::<Autojoin>().unwrap().record(StatusCode::OK, took);
    metrics.family::<Integration>().unwrap().record(StatusCode::UNAUTHORIZED, took);
    metrics.watch_process(System.moment()).unwrap();
    metrics.watch_log(Arc::<LineFigures>::default()).unwrap();
    metrics.watch_traces(Arc::default()).unwrap();
    metrics.watch_clock(Arc::new(WatchedClock::new(System))).unwrap();
    let signer = Arc::new(signer_with_a_waiting_key());
    metrics.watch_signing_keys(Arc::clone(&signer)).unwrap();
    let store = Arc::new(datastore_that_has_answered().await);
    metrics.watch_datastore(Arc::clone(&store)).unwrap();
    let cache = Arc::new(Cached::new(store, CacheLimits::DEFAULT, Arc::new(System)));
    metrics.watch_cache(Arc::clone(&cache)).unwrap();
    let exchange = Exchange::new(cache, Arc::clone(&signer), Arc::new(System), Arc::new(System));
    metrics.watch_load(&exchange, signer, Arc::default()).unwrap();
    metrics.page().unwrap()
}

/// The skew of the clocks is there only when the store has told its time.
async fn datastore_that_has_answered() -> DatastoreStore {
    let server = StandIn::start(|_, call| {
        let (missing, read_time) = (missing_of(call), Some(Timestamp::default()));
        reply(&LookupResponse { missing, read_time, ..LookupResponse::default() })
    })
    .await;
    let store = connect(&server.address(), "project");
    store.look_up(&integration_id("acme"), &key_id("ki_first")).await.unwrap();
    store
}

/// Some metrics are there only while another key is about to sign.
fn signer_with_a_waiting_key() -> Signer {
    let mut waiting: Value =
        serde_json::from_str(&golden::text("keys/ec.jwk")).expect("a recorded key is JSON");
    waiting["nbf"] = 4_102_444_800_u64.into();
    let mut signing = golden::signing_key();
    signing["exp"] = 4_102_444_800_u64.into();
    let set = serde_json::json!({ "keys": [signing, waiting] });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, set.to_string()).unwrap();
    let source = Arc::new(KeyFile::at(file.path()));
    Signer::start(source, Duration::from_secs(30), Arc::new(System)).unwrap()
}
