//! TLS: who is believed, and what becomes of who is not.

use super::road::{Road, assert_recovers, assert_unavailable, present};
use crate::store_faults::scene::figure;
use crate::support::google::{Authority, Certificate};
use crate::support::service::Launch;

#[test]
fn a_certificate_of_an_unknown_authority_is_503_until_it_is_right() {
    certificate_is_refused(|_| Authority::new().server(Certificate::Right), "UnknownIssuer");
}

#[test]
fn a_certificate_of_another_name_is_503_until_it_is_right() {
    certificate_is_refused(
        |road| road.authority.server(Certificate::OfAnotherName),
        "certificate not valid for name",
    );
}

#[test]
fn an_expired_certificate_is_503_until_it_is_right() {
    certificate_is_refused(|road| road.authority.server(Certificate::Expired), "expired");
}

fn certificate_is_refused(
    wrong: impl Fn(&Road) -> std::sync::Arc<tokio_rustls::rustls::ServerConfig>,
    words: &str,
) {
    let Some(road) = Road::with_keys(1) else { return };
    road.front.present(wrong(&road));
    let service = road.launch().serve();
    assert_unavailable(&service, 0, words);
    assert_eq!(road.front.calls(), 0);
    road.front.present(road.authority.server(Certificate::Right));
    assert_recovers(&service, 0);
    road.assert_every_call_was_authorized();
}

#[test]
fn a_front_end_that_goes_and_comes_back_is_used_again() {
    let Some(road) = Road::with_keys(2) else { return };
    let service = road.launch().serve();
    assert_eq!(present(&service, 0), 200);
    road.front.down();
    assert_unavailable(&service, 1, "the key store cannot be reached");
    assert!(figure(&service, "tokenexchange_datastore_failed_connections_total") >= Some(1.0));
    road.front.up();
    assert_recovers(&service, 1);
    assert_eq!(road.metadata.asked(), 1);
}

#[test]
fn an_endpoint_or_a_ca_file_that_cannot_work_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let empty = format!("-datastore-ca-file={}", empty.display());
    let emulator = ("DATASTORE_EMULATOR_HOST", "localhost:1");
    let sqlite = ("KEY_STORE_UNUSED", "");
    for (arguments, environment, words) in [
        (&["-datastore-endpoint=http://example.org"][..], sqlite, "has to be https://"),
        (&["-datastore-endpoint=https://example.org/path"], sqlite, "has to be https://"),
        (&["-datastore-endpoint="], sqlite, "has to be https://"),
        (&["-datastore-ca-file=/nowhere.pem"], sqlite, "No such file"),
        (&[&*empty], sqlite, "it has no certificate"),
        (
            &["-datastore-endpoint=https://example.org"],
            emulator,
            "contradicts DATASTORE_EMULATOR_HOST",
        ),
        (&["-datastore-ca-file=ca.pem"], emulator, "contradicts DATASTORE_EMULATOR_HOST"),
        (
            &["-datastore-endpoint=https://example.org", "-key-store=sqlite:keys.db"],
            sqlite,
            "contradicts -key-store=sqlite",
        ),
        (
            &["-datastore-ca-file=ca.pem", "-key-store=sqlite:keys.db"],
            sqlite,
            "contradicts -key-store=sqlite",
        ),
    ] {
        let launch = Launch::token_exchange()
            .recorded_signing_key()
            .current_dir(folder.path())
            .env(environment.0, environment.1);
        let launch = arguments.iter().fold(launch, |launch, argument| launch.arg(argument));
        let refused = launch.run(super::road::WITHIN);
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
    }
}
