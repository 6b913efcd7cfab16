//! What happens to the service itself: its key file, its clock, its end, and its defects.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use token_exchange::http::server::Schedule;
use token_exchange::key_store::sqlite::SqliteStore;

use super::here::Here;
use super::stage::{
    AT_REST, FAMILIES, KEYS, asked, once, present, rejected, rejection, stage, tokens,
};
use super::{By, Row};
use crate::cache::world::{Mood, TestStore};
use crate::limits::ready::Breakable;
use crate::support::clock::WallClock;
use crate::support::in_process::Setting;
use crate::support::service::{Launch, Signal};

pub fn rows() -> Vec<Row> {
    let mut rows = vec![a_key_file_that_is_none(), a_clock_that_jumps(), the_end_of_a_drain()];
    for family in FAMILIES {
        rows.extend([a_panic(family), a_signature_that_fails(family)]);
    }
    rows
}

fn a_key_file_that_is_none() -> Row {
    Row::new(
        "a key file that is none",
        || {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("key.jwk");
            std::fs::copy("tests/golden/signing-key.jwk", &file).unwrap();
            let flag = format!("-private-key-path={}", file.display());
            let service = KEYS.serve_with(Launch::token_exchange(), &[&flag]);
            Some(stage(service, move |service| {
                std::fs::write(&file, "half a fi").unwrap();
                service.process.signal(Signal::HUP);
                folder
            }))
        },
        [once("tokenexchange_signing_key_reload_failures_total")],
    )
    .says("the signing keys stay as they were: the new file cannot be used")
}

fn a_clock_that_jumps() -> Row {
    Row::new(
        "a clock that jumps",
        || {
            let clock = WallClock::right()?;
            let launch = clock.rules(Launch::token_exchange().recorded_signing_key());
            let service = KEYS.serve_with(launch, &[]);
            Some(stage(service, move |service| {
                clock.set(3600);
                present(service, "autojoin", KEYS.key("autojoin", "valid"), 200);
                clock
            }))
        },
        [tokens(1, "autojoin"), asked("key"), once("tokenexchange_clock_jumps_total")],
    )
    .says(
        "the wall clock jumped: it was set, or the machine was stopped; tokens are dated by it, and \
         verifiers refuse those that its error makes too early or too late",
    )
}

fn a_panic(family: &'static str) -> Row {
    Row::new(
        format!("panic, {family}"),
        move || {
            let store = Arc::new(TestStore::default());
            store.is_now(Mood::Panics);
            let here = Here::serve(store, Setting::default());
            Some(here.stage(move |here| here.present(family, 500)))
        },
        [rejected(family, "panic", 500)],
    )
}

fn a_signature_that_fails(family: &'static str) -> Row {
    Row::new(
        format!("failed, {family}"),
        move || {
            let store = Arc::new(SqliteStore::open(&KEYS.file()).unwrap());
            let clock = Arc::new(Breakable::default());
            let here = Here::serve(store, Setting { clock: clock.clone(), ..Setting::default() });
            Some(here.stage(move |here| {
                clock.is_broken.store(true, Ordering::SeqCst);
                here.present(family, 500);
            }))
        },
        [rejected(family, "failed", 500), once("tokenexchange_signing_failing")],
    )
}

/// A request that waits for its store when the time is up.
fn the_end_of_a_drain() -> Row {
    Row::new(
        "the end of a drain",
        || {
            let store = Arc::new(TestStore::default());
            store.is_now(Mood::Hangs);
            let schedule =
                Schedule { deadline: Duration::from_millis(200), ..Schedule::PRODUCTION };
            let here = Here::serve(store, Setting { schedule, ..Setting::default() });
            let (mut waits, request) = here.wait_for_the_store();
            let staged = here.stage(move |here| {
                here.drain.start();
                assert_eq!(waits.read_answer(&request).unwrap().status, 503);
            });
            Some(staged.with_one_that_waits())
        },
        [
            once("tokenexchange_drain_refusals_total"),
            once(rejection("autojoin", "abandoned")),
            vec![
                (AT_REST[0].0.to_owned(), By::Exactly(-1.0)),
                (AT_REST[1].0.to_owned(), By::Exactly(-1.0)),
            ],
        ],
    )
}
