//! A store that answers nothing but UNAVAILABLE is asked little more than it would be without
//! retries.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gcloud_sdk::google::datastore::v1::LookupRequest;
use gcloud_sdk::prost::Message as _;

use super::scene::{Scene, figure};
use crate::support::fault_proxy::{Fault, Form, Seen};
use crate::support::http_client::{KeptAlive, Request};
use crate::support::skip::announce;

const CLIENTS: usize = 8;
/// `BUDGET_SECONDS=60` in the environment measures longer.
const SECONDS: u64 = 4;
/// Retries that questions before have paid for (architecture.md, section Datastore).
const SAVED: usize = 10;
/// What may come earlier or later than it was sent, on a machine that is busy.
const UNDER_WAY: Duration = Duration::from_millis(100);

#[test]
fn under_nothing_but_unavailable_the_store_sees_a_fifth_more_and_ten_a_second() {
    let Some(scene) = Scene::with_keys(0) else { return };
    let service = scene.launch().serve();
    scene.proxy.plan(|_| Fault::Status(14, Form::TrailersOnly));
    let told = std::env::var("BUDGET_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let seconds = told.unwrap_or(SECONDS);

    let end = Instant::now() + Duration::from_secs(seconds);
    let client = |client: usize| {
        let mut connection = KeptAlive::to(service.address());
        for number in 0.. {
            if Instant::now() > end {
                break;
            }
            let body = format!(r#"{{"api_key":"mlabk.cii_acme.ki_{client}x{number}.secret"}}"#);
            let mut request = Request::post("/v0/token/integration", body);
            request.headers.retain(|(name, _)| name != "Connection");
            assert_eq!(connection.send(&request).status, 503);
        }
    };
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || client(number));
        }
    });

    let (questions, retries) = told_apart(&scene.proxy.seen());
    announce(&format!(
        "retry budget: {} questions in {seconds} s, {} retries, {} forgone",
        questions.len(),
        retries.len(),
        figure(&service, "tokenexchange_datastore_retries_forgone_total").unwrap_or_default(),
    ));
    assert!(retries.len() > 10, "there is something to bound");
    // From the very beginning, when nothing is saved up yet, and then from any moment on.
    assert_bounded(&questions, &retries, questions[0], 0);
    for &from in &retries {
        assert_bounded(&questions, &retries, from, SAVED);
    }
}

fn assert_bounded(questions: &[Instant], retries: &[Instant], from: Instant, saved: usize) {
    for whole_seconds in 1..=60 {
        let until = from + Duration::from_secs(1) * whole_seconds;
        let within = |times: &[Instant], from, until| {
            times.iter().filter(|at| (from..until).contains(*at)).count()
        };
        let asked = within(questions, from.checked_sub(UNDER_WAY).unwrap_or(from), until);
        let again = within(retries, from, until.checked_sub(UNDER_WAY).unwrap_or(until));
        let allowed = asked / 5 + 10 * whole_seconds as usize + saved;
        assert!(again <= allowed, "{again} of {allowed} in {whole_seconds} s, {asked} asked");
    }
}

/// First attempts and retries; each question is about another key.
fn told_apart(seen: &[Seen]) -> (Vec<Instant>, Vec<Instant>) {
    let mut known = HashSet::new();
    let key_of = |call: &Seen| {
        let request = LookupRequest::decode(call.message.clone()).unwrap();
        format!("{:?}", request.keys[0].path)
    };
    let (first, again): (Vec<&Seen>, _) = seen.iter().partition(|call| known.insert(key_of(call)));
    let at = |calls: Vec<&Seen>| calls.into_iter().map(|call| call.at).collect();
    (at(first), at(again))
}
