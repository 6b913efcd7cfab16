//! Access tokens: the first, the next, and none.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::{KeyPair, PKCS_RSA_SHA256, PublicKeyData as _, RsaKeySize};
use serde_json::{Value, json};

use super::road::{Road, WITHIN, assert_recovers, assert_unavailable, present};
use crate::store_faults::scene::{api_key, figure};
use crate::support::eventually::eventually;
use crate::support::fault_proxy::{Fault, Form};
use crate::support::google::TokenAnswer;
use crate::support::http_client::{Failure, Request};

#[test]
fn a_cold_start_under_many_callers_takes_one_token_and_one_connection() {
    let Some(road) = Road::with_keys(8) else { return };
    road.metadata.answers(TokenAnswer::Slow(Duration::from_secs(1)));
    let service = road.launch().serve();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8)
            .map(|number| {
                scope.spawn({
                    let service = &service;
                    move || present(service, number)
                })
            })
            .collect();
        for caller in callers {
            assert_eq!(caller.join().unwrap(), 200);
        }
    });
    assert_eq!((road.metadata.asked(), road.front.connections()), (1, 1));
    assert_eq!(figure(&service, "tokenexchange_datastore_credentials_built_total"), Some(1.0));
    assert_eq!(figure(&service, "tokenexchange_datastore_connections_total"), Some(1.0));
    road.assert_every_call_was_authorized();
}

#[test]
fn a_token_comes_after_its_caller_has_gone_and_serves_the_next() {
    let Some(road) = Road::with_keys(1) else { return };
    road.metadata.answers(TokenAnswer::Slow(Duration::from_secs(2)));
    let service = road.launch().serve();
    let body = json!({ "api_key": api_key("integration", 0) }).to_string();
    let request = Request::post("/v0/token/integration", body);
    let gone = request.send(service.address(), Duration::from_millis(300));
    assert_eq!(gone.unwrap_err(), Failure::TimedOut);
    eventually("the token is given", WITHIN, || (road.metadata.given().len() == 1).then_some(()));
    assert_eq!(present(&service, 0), 200);
    assert_eq!(road.metadata.asked(), 1);
}

#[test]
fn an_expired_token_is_replaced_and_never_sent() {
    let Some(road) = Road::with_keys(2) else { return };
    road.metadata.answers(TokenAnswer::Token { lives: Duration::from_secs(2) });
    let service = road.launch().serve();
    assert_eq!(present(&service, 0), 200);
    let first = road.metadata.given()[0].until;
    eventually("the token expires", WITHIN, || (std::time::Instant::now() > first).then_some(()));
    assert_eq!(present(&service, 1), 200);
    assert_eq!(road.metadata.given().len(), 2);
    road.assert_every_call_was_authorized();
}

#[test]
fn a_token_that_the_store_does_not_take_is_replaced_once_and_then_believed_to_be_wrong() {
    let Some(road) = Road::with_keys(3) else { return };
    let service = road.launch().serve();
    assert_eq!(present(&service, 0), 200);
    // A young one is not replaced.
    let begun = std::time::Instant::now();
    eventually("the token grows old", WITHIN, || {
        (begun.elapsed() > Duration::from_millis(1100)).then_some(())
    });
    road.front.once(Fault::Status(16, Form::TrailersOnly));
    assert_eq!(present(&service, 1), 200);
    assert_eq!(road.metadata.given().len(), 2);

    road.front.plan(|_| Fault::Status(16, Form::TrailersOnly));
    assert_unavailable(&service, 2, "there are no credentials for the key store");
    road.front.plan(|_| Fault::None);
    assert_recovers(&service, 2);
    road.assert_every_call_was_authorized();
}

#[test]
fn a_token_endpoint_that_is_slow_is_waited_for_and_one_that_is_slower_is_503() {
    let Some(road) = Road::with_keys(2) else { return };
    road.metadata.answers(TokenAnswer::Slow(Duration::from_secs(6)));
    let service = road.launch().serve();
    assert_unavailable(&service, 0, "no token within");
    road.metadata.answers(TokenAnswer::Slow(Duration::from_secs(2)));
    assert_recovers(&service, 0);
    road.assert_every_call_was_authorized();
}

#[test]
fn a_token_endpoint_that_fails_is_503_and_recovered_from() {
    let Some(road) = Road::with_keys(8) else { return };
    for (number, (answer, words)) in [
        (TokenAnswer::Status(403), "403"),
        (TokenAnswer::Status(500), "500"),
        (TokenAnswer::Status(404), "404"),
        (TokenAnswer::Status(200), "there are no credentials for the key store"),
        (TokenAnswer::Silence, "no token within"),
    ]
    .into_iter()
    .enumerate()
    {
        road.metadata.answers(answer);
        let service = road.launch().serve();
        assert_unavailable(&service, number, words);
        road.metadata.answers(TokenAnswer::TOKEN);
        assert_recovers(&service, number);
    }
    road.assert_every_call_was_authorized();
}

#[test]
fn a_token_endpoint_that_nobody_listens_at_is_503() {
    let Some(road) = Road::with_keys(1) else { return };
    let nobody = crate::support::stand_in::RefusingStore::start();
    let service = road.launch().env("GCE_METADATA_HOST", &nobody.host()).serve();
    assert_unavailable(&service, 0, "there are no credentials for the key store");
    assert!(figure(&service, "tokenexchange_datastore_failed_credentials_total") >= Some(1.0));
    assert_eq!(road.front.calls(), 0);
}

#[test]
fn a_service_account_signs_its_own_tokens() {
    let Some(road) = Road::with_keys(1) else { return };
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let file = road.folder.path().join("service-account.json");
    let account = json!({
        "type": "service_account",
        "client_email": "auth@example.iam.gserviceaccount.com",
        "private_key_id": "first",
        "private_key": key.serialize_pem(),
        "project_id": road.project,
        "universe_domain": "googleapis.com",
    });
    std::fs::write(&file, account.to_string()).unwrap();
    let credentials = file.display().to_string();
    let service = road.launch().env("GOOGLE_APPLICATION_CREDENTIALS", &credentials).serve();
    assert_eq!(present(&service, 0), 200);

    let seen = road.front.seen();
    let bearer = seen[0].headers["authorization"].to_str().unwrap();
    let token = bearer.strip_prefix("Bearer ").unwrap();
    let verifier = DecodingKey::from_rsa_der(key.der_bytes());
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Value>(token, &verifier, &validation).unwrap().claims;
    assert_eq!(claims["iss"], "auth@example.iam.gserviceaccount.com");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/datastore");
    assert_eq!(road.metadata.asked(), 0);
}
