//! More exchanges than can be done: some are, the others are refused at once, and nothing else
//! notices. How much is done at which load is measured by `cargo bench --bench overload`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::scene::{PROBES, Scene, WITHIN, get, metric};
use crate::support::eventually::eventually;
use crate::support::http_client::{Answer, Connection, Request};
use crate::support::load::{Arrivals, Plan, Report, generate};
use crate::support::service::{Launch, Service};
use crate::support::stand_in::SilentStore;

/// Far more than one thread can sign for within the target of the queue.
const CALLERS: usize = 128;

#[test]
fn a_standing_queue_is_shed_and_goes_away() {
    let scene = Scene::slow_to_sign(&[]);
    let report = generate(&scene.plan(Arrivals::ClosedLoop, CALLERS, Duration::from_secs(4)));
    let statuses: BTreeSet<u16> = report.by_status.keys().copied().collect();
    assert_eq!(statuses, BTreeSet::from([200, 503]), "{report:?}");
    assert_probes_answered(&report);
    assert!(
        scene.metric(r#"tokenexchange_rejections_total{family="integration",reason="shed"}"#) > 0
    );
    assert!(scene.metric(r#"tokenexchange_signing_wait_seconds_count{algorithm="RS256"}"#) > 0);

    // Without a word from outside it is over.
    assert_eq!(scene.exchange().status, 200);
    assert_eq!(scene.metric("tokenexchange_signing_queue_standing"), 0);
    assert_eq!(scene.metric("tokenexchange_signing_queue_length"), 0);
    assert_eq!(scene.metric("tokenexchange_exchanges_in_flight"), 0);
    let lines = eventually("the last line", WITHIN, || {
        let log = scene.service.process.stderr();
        let lines = log.matches("more is asked for than can be done in time").count();
        (lines > 0).then_some(lines)
    });
    assert!(lines <= 6, "{lines} lines in less than six seconds");
}

#[test]
fn callers_that_together_wait_less_than_the_target_are_all_served() {
    let scene = Scene::new(&["-signing-threads=1"]);
    let report = generate(&scene.plan(Arrivals::ClosedLoop, 4, Duration::from_secs(1)));
    assert_eq!(report.by_status.keys().collect::<Vec<_>>(), [&200], "{report:?}");
}

#[test]
fn a_generator_that_stays_awake_sends_what_is_planned() {
    let scene = Scene::new(&[]);
    for (arrivals, all) in
        [(Arrivals::Even { rate: 100.0 }, 48..=51), (Arrivals::ClosedLoop, 20..=usize::MAX)]
    {
        let plan = scene.plan(arrivals, 4, Duration::from_millis(500));
        let report = generate(&Plan { awake: true, ..plan });
        assert!(all.contains(&report.of(200).count), "{report:?}");
        assert_probes_answered(&report);
    }
}

#[test]
fn what_has_waited_as_long_as_it_may_is_refused() {
    let scene = Scene::slow_to_sign(&["-max-queue-wait=100ms"]);
    let burst = Arrivals::Poisson { rate: 4000.0, seed: 7 };
    let report = generate(&scene.plan(burst, 400, Duration::from_millis(100)));
    assert!(report.of(200).count > 0 && report.of(503).count > 0, "{report:?}");
    assert!(
        scene.metric(r#"tokenexchange_rejections_total{family="integration",reason="queue_wait"}"#)
            > 0
    );
}

#[test]
fn where_as_many_exchanges_are_under_way_as_may_be_another_is_refused_and_nothing_else() {
    let full = Full::house();
    let mut told = BTreeSet::new();
    for _ in 0..3 {
        let answer = full.exchange();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.text(), "Service unavailable, please try again\n");
        told.insert(answer.header("retry-after").unwrap().to_owned());
    }
    assert_eq!(told, BTreeSet::from(["1", "2", "3"].map(str::to_owned)));
    for path in PROBES {
        assert_eq!(get(&full.service, path).status, 200, "{path}");
    }
    assert_eq!(metric(&full.service, "tokenexchange_exchanges_in_flight"), 1);
    assert_eq!(
        metric(
            &full.service,
            r#"tokenexchange_rejections_total{family="autojoin",reason="too_many"}"#
        ),
        3
    );
    let words = r#""message":"more is asked for than can be done in time""#;
    eventually("one line for all of them", WITHIN, || {
        let log = full.service.process.stderr();
        log.lines().find(|line| line.contains(words) && line.contains(r#""too_many":3"#)).map(drop)
    });
}

#[test]
fn a_refusal_at_the_door_asks_for_no_body() {
    let full = Full::house();
    let request = Request::post("/v0/token/autojoin", "{}").header("Expect", "100-continue");
    let answer = request.send(full.service.address(), WITHIN).unwrap();
    assert_eq!((answer.status, answer.interim), (503, vec![]));
}

#[test]
fn a_body_that_is_not_there_yet_takes_no_place() {
    let service = Launch::token_exchange()
        .recorded_signing_key()
        .keys_in(&SilentStore::start().host(), "any")
        .arg("-max-in-flight=1")
        .serve();
    let mut slow = Connection::open(service.address(), WITHIN).unwrap();
    let head = "POST /v0/token/autojoin HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\
                Content-Length: 50\r\n\r\n";
    slow.sender().unwrap().write(head.as_bytes());
    assert_eq!(slow.read_interim().unwrap(), 100);
    // Malformed: refused before the store is asked, and after the door.
    assert_eq!(service.exchange("integration", "no key").status, 401);
}

/// A service with room for one exchange, which waits for its store.
struct Full {
    service: Service,
    _waits: Connection,
    _asked: std::net::TcpStream,
    _store: SilentStore,
}

impl Full {
    fn house() -> Self {
        let store = SilentStore::start();
        let launch = Launch::token_exchange().recorded_signing_key().arg("-max-in-flight=1");
        let service = launch.keys_in(&store.host(), "silent").serve();
        let waits = Connection::open(service.address(), WITHIN).unwrap();
        let request = Request::post("/v0/token/autojoin", r#"{"api_key":"any"}"#);
        waits.sender().unwrap().write(&[request.head(), request.body].concat());
        let asked = store.wait_for_a_caller();
        Self { service, _waits: waits, _asked: asked, _store: store }
    }

    fn exchange(&self) -> Answer {
        self.service.exchange("autojoin", "any")
    }
}

fn assert_probes_answered(report: &Report) {
    for (path, by_status) in &report.probes {
        assert_eq!(by_status.keys().collect::<Vec<_>>(), [&200], "{path}");
    }
    assert_eq!(report.probes.len(), PROBES.len());
}
