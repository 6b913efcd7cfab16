//! More than there is time or room for.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::here::Here;
use super::stage::{
    AT_REST, FAMILIES, KEYS, Stage, WITHIN, answered, once, read, rejected, rejection, send,
    signed, source, stage,
};
use super::witnesses::Witnesses;
use super::{By, Row};
use crate::cache::world::{Mood, TestStore};
use crate::limits::scene::Scene;
use crate::support::http_client::{Connection, Request};
use crate::support::in_process::Setting;
use crate::support::load::{Arrivals, generate};
use crate::support::service::Service;

pub fn rows() -> Vec<Row> {
    let mut rows = vec![a_connection_that_makes_room()];
    rows.extend(FAMILIES.map(too_many));
    rows
}

/// They take all of the machine: for one after another.
pub fn loud_rows() -> Vec<Row> {
    vec![a_standing_queue(), a_wait_that_is_too_long()]
}

/// One exchange under way, which waits for its store, where there may be one.
fn too_many(family: &'static str) -> Row {
    Row::new(
        format!("too_many, {family}"),
        move || {
            let store = Arc::new(TestStore::default());
            store.is_now(Mood::Hangs);
            let setting = Setting { max_in_flight: 1, ..Setting::default() };
            let here = Here::serve(store, setting);
            let waits = here.wait_for_the_store();
            let staged = here.stage(move |here| {
                here.present(family, 503);
                waits
            });
            Some(staged.with_one_that_waits())
        },
        [rejected(family, "too_many", 503)],
    )
}

fn a_standing_queue() -> Row {
    Row::new(
        "shed",
        || {
            let scene = Scene::slow_to_sign(&[]);
            Some(under_load(scene, Arrivals::ClosedLoop, 128, Duration::from_secs(2)))
        },
        [overload(By::Some, By::Perhaps)],
    )
}

fn a_wait_that_is_too_long() -> Row {
    Row::new(
        "queue_wait",
        || {
            let scene = Scene::slow_to_sign(&["-max-queue-wait=100ms"]);
            let burst = Arrivals::Poisson { rate: 4000.0, seed: 7 };
            Some(under_load(scene, burst, 400, Duration::from_millis(100)))
        },
        [overload(By::Perhaps, By::Some)],
    )
}

fn under_load(scene: Scene, arrivals: Arrivals, connections: usize, measure: Duration) -> Stage {
    let scene = Rc::new(scene);
    let witness = Rc::clone(&scene);
    Stage {
        metrics_address: scene.service.metrics_address().to_owned(),
        before: AT_REST.to_vec(),
        witnesses: Witnesses {
            log: Box::new(move || witness.service.process.stderr()),
            hears_records_only: false,
            collector: None,
            address: Some(scene.service.address().to_owned()),
        },
        act: Box::new(move || {
            let report = generate(&scene.plan(arrivals, connections, measure));
            assert!(report.of(200).count > 0 && report.of(503).count > 0, "{report:?}");
            Box::new(scene)
        }),
    }
}

/// One key for all: it is read once, and remembered.
fn overload(shed: By, queue_wait: By) -> Vec<(String, By)> {
    [
        answered(By::Some, "integration", 200),
        answered(By::Some, "integration", 503),
        signed(By::Some),
        vec![
            (rejection("integration", "shed"), shed),
            (rejection("integration", "queue_wait"), queue_wait),
            (source("store"), By::Some),
            (source("fresh"), By::Perhaps),
            (read("answered"), By::Some),
            ("tokenexchange_cache_joined_reads_total".to_owned(), By::Perhaps),
            (r#"tokenexchange_cache_entries{kind="key"}"#.to_owned(), By::Exactly(1.0)),
        ],
    ]
    .concat()
}

fn a_connection_that_makes_room() -> Row {
    Row::new(
        "a connection that makes room",
        || {
            let service = KEYS.serve(&["-max-connections=1"]);
            let idle = Connection::open(service.address(), WITHIN).unwrap();
            let act = |service: &Service| {
                send(service, &Request::get("/health"), 200);
                idle
            };
            let mut staged = stage(service, act);
            staged.before[0] = ("tokenexchange_connections_open", 1.0);
            Some(staged)
        },
        [
            once("tokenexchange_connections_evicted_total"),
            vec![("tokenexchange_connections_open".to_owned(), By::Exactly(-1.0))],
        ],
    )
}
