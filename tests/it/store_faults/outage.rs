//! The store goes away and comes back, through the real service with shorter ages. The ages of the
//! default, on a clock of the tests, are in `cache::outage`.

use std::time::{Duration, Instant};

use serde_json::Value;
use token_exchange::key_store::READ_ATTEMPT;

use super::scene::{Scene, WITHIN, api_key};
use crate::support::emulator;
use crate::support::eventually::eventually;
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::operator::Operator;
use crate::support::service::Service;

const MAX_AGE: Duration = Duration::from_millis(600);
const STALE_IF_ERROR: Duration = Duration::from_secs(3);
const NORMAL_WITHIN: Duration = Duration::from_secs(1);
const KEYS: usize = 4;

#[test]
fn an_outage_that_memory_hides_from_callers_is_told_to_the_operator_and_not_with_every_read() {
    let Some(scene) = Scene::with_keys(3) else { return };
    // The store is asked each time before anything is served.
    let service = scene.launch().arg("-cache-fresh=0s").arg("-cache-max-age=0s").serve();
    let ask_for_all = || {
        for number in 0..3 {
            assert_eq!(service.exchange("autojoin", &api_key("autojoin", number)).status, 200);
        }
    };
    ask_for_all();
    scene.proxy.down();
    ask_for_all();
    let lines = eventually("the outage is in the log", WITHIN, || {
        let log = service.process.stderr();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told = |event: &Value| {
            event["message"]
                .as_str()
                .is_some_and(|it| it.starts_with("reads of the key store fail"))
        };
        let lines: Vec<Value> = events.filter(told).collect();
        (!lines.is_empty()).then_some(lines)
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&line["severity"], &line["failed"]), (&"WARNING".into(), &1.into()));
    let cause = line["cause"].as_str().unwrap();
    assert!(cause.starts_with("the key store cannot be reached: "), "{cause}");
}

#[test]
fn while_the_store_is_gone_what_was_read_is_served_until_the_bound_and_after_its_return_all_is() {
    outlive(FaultProxy::down, FaultProxy::up);
}

#[test]
fn while_the_store_hangs_what_was_read_is_served_until_the_bound_and_after_its_return_all_is() {
    outlive(|proxy| proxy.plan(|_| Fault::Hang), |proxy| proxy.plan(|_| Fault::None));
}

fn outlive(go: fn(&FaultProxy), come_back: fn(&FaultProxy)) {
    let Some(scene) = Scene::with_keys(KEYS + 1) else { return };
    let service = serve(&scene);
    let families = ["integration", "autojoin"];
    let keys = families.map(|family| (0..KEYS).map(move |number| (family, number)));
    let known: Vec<_> = keys
        .into_iter()
        .flatten()
        .map(|(family, number)| Known::read(&service, family, api_key(family, number)))
        .collect();

    go(&scene.proxy);
    in_parallel(&known, |key| key.outlasts(&service));
    come_back(&scene.proxy);
    in_parallel(&known, |key| key.comes_to(&service, 200));
    for family in families {
        let answer = service.exchange(family, &api_key(family, KEYS));
        assert_eq!(answer.status, 200, "a key that was never seen");
    }
}

#[test]
fn a_key_that_is_revoked_while_it_is_in_use_ends_within_the_longest_age() {
    let Some(desk) = Desk::open() else { return };
    let service = serve(&desk.scene);
    let keys = desk.keys();
    let known: Vec<_> =
        keys.iter().map(|key| Known::read(&service, key.family, key.api_key.clone())).collect();
    std::thread::scope(|scope| {
        let users: Vec<_> =
            known.iter().map(|key| scope.spawn(|| key.is_let_in_until(&service))).collect();
        for (key, user) in keys.iter().zip(users) {
            desk.revoke(key);
            let revoked = Instant::now();
            let last = user.join().unwrap();
            assert!(last < revoked + MAX_AGE, "{:?}", last.duration_since(revoked));
        }
    });
}

#[test]
fn a_key_that_is_revoked_just_before_an_outage_ends_by_the_bound_and_stays_out() {
    let Some(desk) = Desk::open() else { return };
    let service = serve(&desk.scene);
    let keys = desk.keys();
    let known: Vec<_> =
        keys.iter().map(|key| Known::read(&service, key.family, key.api_key.clone())).collect();
    for key in &keys {
        desk.revoke(key);
    }
    desk.scene.proxy.down();
    in_parallel(&known, |key| key.outlasts(&service));
    desk.scene.proxy.up();
    in_parallel(&known, |key| key.comes_to(&service, 401));
}

fn serve(scene: &Scene) -> Service {
    scene
        .launch()
        .arg("-cache-fresh=200ms")
        .arg(&format!("-cache-max-age={}ms", MAX_AGE.as_millis()))
        .arg(&format!("-cache-stale-if-error={}ms", STALE_IF_ERROR.as_millis()))
        .serve()
}

fn in_parallel(keys: &[Known], what: impl Fn(&Known) + Sync) {
    std::thread::scope(|scope| {
        for key in keys {
            scope.spawn(|| what(key));
        }
    });
}

/// A key that the service has read from the store, once, between two moments.
struct Known {
    family: &'static str,
    api_key: String,
    asked: Instant,
    answered: Instant,
}

impl Known {
    fn read(service: &Service, family: &'static str, api_key: String) -> Self {
        let asked = Instant::now();
        assert_eq!(service.exchange(family, &api_key).status, 200);
        Self { family, api_key, asked, answered: Instant::now() }
    }

    /// Is served while the store is away until it is too old, not longer and not shorter, and for
    /// nobody later than an attempt takes.
    fn outlasts(&self, service: &Service) {
        eventually("the bound", WITHIN, || {
            let (begun, status) = (Instant::now(), self.status(service));
            if status == 200 {
                let took = begun.elapsed();
                assert!(took < 2 * READ_ATTEMPT, "{took:?}");
                assert!(begun < self.answered + STALE_IF_ERROR, "{:?}", self.answered.elapsed());
                return None;
            }
            assert_eq!(status, 503);
            assert!(self.asked.elapsed() >= STALE_IF_ERROR, "{:?}", self.asked.elapsed());
            Some(())
        });
    }

    /// The store is back, and all is as it should be.
    fn comes_to(&self, service: &Service, right: u16) {
        eventually("all is normal", NORMAL_WITHIN, || {
            let status = self.status(service);
            assert!(status == right || status == 503, "{status}");
            (status == right).then_some(())
        });
    }

    /// When it was let in last.
    fn is_let_in_until(&self, service: &Service) -> Instant {
        let mut last = self.asked;
        eventually("its end", WITHIN, || {
            let (begun, status) = (Instant::now(), self.status(service));
            if status == 200 {
                last = begun;
                return None;
            }
            assert_eq!(status, 401);
            Some(())
        });
        last
    }

    fn status(&self, service: &Service) -> u16 {
        service.exchange(self.family, &self.api_key).status
    }
}

/// Where keys are made and revoked, with the road to the store that operators have.
struct Desk {
    scene: Scene,
    operator: Operator,
}

/// A key, and how an operator names it.
struct Named {
    family: &'static str,
    api_key: String,
    words: [String; 3],
}

impl Desk {
    fn open() -> Option<Self> {
        let scene = Scene::with_keys(0)?;
        let operator = Operator::on_datastore(emulator::firestore()?.host(), &scene.project);
        Some(Self { scene, operator })
    }

    /// One of each family.
    fn keys(&self) -> [Named; 2] {
        let api_key = self.operator.integration_with_key("acme");
        let id = api_key.split('.').nth(2).unwrap();
        let words = ["integration-key", "--integration-id=acme", &format!("--key-id={id}")];
        let of_integration =
            Named { family: "integration", words: words.map(str::to_owned), api_key };

        self.operator.run_for_json(&["organization", "create", "--organization=mlab"]);
        let made = ["organization-key", "create", "--organization=mlab"];
        let made = self.operator.run_for_json(&made);
        let text = |name: &str| made[name].as_str().unwrap().to_owned();
        let fingerprint = format!("--fingerprint={}", text("fingerprint"));
        let words = ["organization-key", "--organization=mlab", &fingerprint];
        let of_organization =
            Named { family: "autojoin", words: words.map(str::to_owned), api_key: text("api_key") };
        [of_integration, of_organization]
    }

    fn revoke(&self, key: &Named) {
        let [command, of, name] = key.words.each_ref().map(String::as_str);
        let done = self.operator.run(&[command, "revoke", of, name, "--reason=lost", "--yes"]);
        assert!(done.status.success(), "{}", done.stderr);
    }
}
