//! The name of a request: taken, refused, made, and returned.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use token_exchange::http::server::Schedule;

use super::house::{House, WITHIN, body};
use crate::support::eventually::eventually;
use crate::support::http_client::Request;

#[test]
fn the_name_that_a_caller_gives_comes_back_and_is_in_the_record() {
    let house = House::open();
    for (id, key) in [("req/1:2=3", "fine"), (&"x".repeat(128), "unknown")] {
        let request = Request::post("/v0/token/autojoin", body(key)).header("x-request-id", id);
        let answer = house.send(&request);
        assert_eq!(answer.header("X-Request-Id"), Some(id));
        assert_eq!(house.record(id)["audit"]["request_id"], id);
    }
}

#[test]
fn in_the_place_of_a_name_that_will_not_do_another_one_is_made() {
    let house = House::open();
    let too_long = "x".repeat(129);
    let mut seen = Vec::new();
    for given in [&[][..], &[""], &["a b"], &["a\"b"], &["a\\b"], &["é"], &[&too_long], &["a", "b"]]
    {
        let request = Request::post("/v0/token/autojoin", body("fine"));
        let request = given.iter().fold(request, |request, id| request.header("X-Request-Id", id));
        let answer = house.send(&request);
        assert_eq!(answer.status, 200, "{given:?}");
        let made = answer.header("X-Request-Id").unwrap().to_owned();
        assert_eq!(uuid::Uuid::parse_str(&made).unwrap().get_version_num(), 4, "{given:?}");
        assert_eq!(house.record(&made)["audit"]["request_id"], made.as_str());
        assert!(!seen.contains(&made));
        seen.push(made);
    }
}

#[test]
fn what_is_refused_at_the_end_of_a_drain_has_the_name_that_its_caller_gave() {
    let soon = Schedule { deadline: Duration::from_millis(100), ..Schedule::PRODUCTION };
    let house = House::that_closes_by(soon);
    let request = Request::post("/v0/token/autojoin", body("abandoned"));
    let request = request.header("X-Request-Id", "waited-in-vain");
    let answer = thread::scope(|scope| {
        let caller = scope.spawn(|| house.send(&request));
        eventually("the store is asked", WITHIN, || {
            (house.hanging.load(Ordering::SeqCst) == 1).then_some(())
        });
        house.service.drain.start();
        caller.join().unwrap()
    });
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("X-Request-Id"), Some("waited-in-vain"));
}
