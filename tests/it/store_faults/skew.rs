//! The time that the store tells with its answers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gcloud_sdk::google::datastore::v1::LookupResponse;
use gcloud_sdk::prost_types::Timestamp;

use super::scene::{Scene, WITHIN, api_key, figure};
use crate::stores::grpc::{StandIn, missing_of, reply};
use crate::support::eventually::eventually;
use crate::support::service::Launch;

const SKEW: &str = "tokenexchange_clock_skew_seconds";

#[test]
fn the_skew_to_a_store_on_the_same_machine_is_next_to_nothing() {
    let Some(scene) = Scene::with_keys(1) else { return };
    let service = scene.launch().serve();
    assert_eq!(figure(&service, SKEW), None);
    assert_eq!(service.exchange("integration", &api_key("integration", 0)).status, 200);
    let skew = figure(&service, SKEW).unwrap();
    assert!(skew.abs() < 1.0, "{skew}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_an_hour_behind_the_store_is_an_error_in_the_log_once_a_minute() {
    let store = StandIn::start(|_, call| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_hours(1);
        let read_time = Timestamp { seconds: i64::try_from(now.as_secs()).unwrap(), nanos: 0 };
        let missing = missing_of(call);
        reply(&LookupResponse { missing, read_time: Some(read_time), ..LookupResponse::default() })
    })
    .await;
    let address = store.address();
    tokio::task::spawn_blocking(move || {
        let service =
            Launch::token_exchange().recorded_signing_key().keys_in(&address, "skewed").serve();
        for number in 0..5 {
            assert_eq!(
                service.exchange("integration", &api_key("integration", number)).status,
                401
            );
        }
        let skew = figure(&service, SKEW).unwrap();
        assert!((-3601.0..-3590.0).contains(&skew), "{skew}");
        let told = "the clock of this machine is not the key store's";
        let log = eventually("the skew is logged", WITHIN, || {
            let log = service.process.stderr();
            // In order: when the last refusal is there, so is all that came before.
            (log.matches("there is no such key").count() == 5).then_some(log)
        });
        assert_eq!(log.matches(told).count(), 1, "{log}");
    })
    .await
    .unwrap();
}
