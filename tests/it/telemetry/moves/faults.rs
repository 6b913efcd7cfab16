//! What becomes of the store, and of the memory before it.

use std::thread;
use std::time::Duration;

use super::stage::{
    FAMILIES, KEYS, Keys, Traced, asked, once, present, read, rejected, remembered, source, stage,
    stage_after_a_token, times, tokens,
};
use super::{By, Row};
use crate::support::emulator;
use crate::support::fault_proxy::{Fault, FaultProxy, Form};
use crate::support::golden;
use crate::support::service::Launch;
use crate::support::stand_in::RefusingStore;

const READS_FAIL: &str =
    "reads of the key store fail; for a while keys that are remembered are let in all the same";

pub fn rows() -> Vec<Row> {
    let mut rows = vec![stale(), refreshing()];
    for family in FAMILIES {
        rows.extend([fresh(family), file_is_away(family)]);
    }
    rows.extend(datastore_rows());
    rows
}

fn valid(family: &str) -> String {
    KEYS.key(family, "valid").to_owned()
}

fn fresh(family: &'static str) -> Row {
    Row::new(
        format!("a token from memory, {family}"),
        move || {
            let service = KEYS.serve(&[]);
            present(&service, family, &valid(family), 200);
            let again = move |service: &_| present(service, family, &valid(family), 200);
            Some(stage_after_a_token(service, again))
        },
        [tokens(1, family), once(source("fresh"))],
    )
}

fn refreshing() -> Row {
    Row::new(
        "memory, while the store is asked again",
        || {
            let service = KEYS.serve(&["-cache-fresh=0s"]);
            present(&service, "autojoin", &valid("autojoin"), 200);
            let again = |service: &_| present(service, "autojoin", &valid("autojoin"), 200);
            Some(stage_after_a_token(service, again))
        },
        [tokens(1, "autojoin"), once(source("refreshing")), once(read("answered"))],
    )
}

fn stale() -> Row {
    Row::new(
        "memory past its time, since the store is away",
        || {
            let keys = Keys::make();
            let service = keys.serve(&["-cache-fresh=0s", "-cache-max-age=0s"]);
            let key = keys.key("integration", "valid").to_owned();
            present(&service, "integration", &key, 200);
            Some(stage_after_a_token(service, move |service| {
                keys.remove();
                present(service, "integration", &key, 200);
            }))
        },
        [tokens(1, "integration"), once(source("stale")), once(read("unreachable"))],
    )
    .says(READS_FAIL)
}

fn file_is_away(family: &'static str) -> Row {
    Row::new(
        format!("the file is away, {family}"),
        move || {
            let keys = Keys::make();
            let key = keys.key(family, "valid").to_owned();
            Some(stage(keys.serve(&[]), move |service| {
                keys.remove();
                present(service, family, &key, 503);
            }))
        },
        [unavailable(family), once(read("unreachable"))],
    )
    .says(READS_FAIL)
}

fn unavailable(family: &str) -> Vec<(String, By)> {
    [rejected(family, "unavailable", 503), once(source("unavailable"))].concat()
}

fn datastore_rows() -> Vec<Row> {
    let status = |code| Fault::Status(code, Form::TrailersOnly);
    vec![
        on_datastore(
            "autojoin",
            "autojoin mlab",
            None,
            200,
            [tokens(1, "autojoin"), asked("key"), attempts("answered", 2)],
        ),
        on_datastore(
            "integration",
            "unknown property",
            None,
            401,
            [rejected("integration", "unusable", 401), asked("absence"), attempts("answered", 1)],
        ),
        on_datastore(
            "autojoin",
            "autojoin with an unknown property",
            None,
            401,
            [rejected("autojoin", "unusable", 401), asked("absence"), attempts("answered", 2)],
        ),
        on_datastore(
            "autojoin",
            "autojoin under a numbered organization",
            None,
            500,
            [rejected("autojoin", "failed", 500), asked("key"), attempts("answered", 2)],
        ),
        // Asked again, and the caller sees nothing.
        on_datastore(
            "integration",
            "acme generated",
            Some(status(14)),
            200,
            [
                tokens(1, "integration"),
                asked("key"),
                [attempts("unreachable", 1), attempts("answered", 1), retries(1)].concat(),
            ],
        ),
        on_datastore(
            "integration",
            "acme generated",
            Some(status(7)),
            503,
            [unavailable("integration"), once(read("refused")), attempts("refused", 1)],
        )
        .says(READS_FAIL),
        on_datastore(
            "integration",
            "acme generated",
            Some(status(16)),
            503,
            [unavailable("integration"), once(read("credentials")), attempts("credentials", 1)],
        )
        .says(READS_FAIL),
        on_datastore(
            "integration",
            "acme generated",
            Some(status(15)),
            503,
            [unavailable("integration"), once(read("failed")), attempts("failed", 1)],
        )
        .says(READS_FAIL),
        silence(),
        refused_connection(),
        two_callers(),
    ]
}

/// The recorded store, behind a proxy that does something to the first call.
fn on_datastore(
    family: &'static str,
    label: &'static str,
    fault: Option<Fault>,
    status: u16,
    moves: [Vec<(String, By)>; 3],
) -> Row {
    Row::new(
        format!("{label}, {fault:?}"),
        move || {
            let (proxy, service) = datastore()?;
            proxy.plan(move |call| fault.filter(|_| call == 0).unwrap_or(Fault::None));
            let key = golden::stores().api_key(label).to_owned();
            Some(stage(service, move |service| {
                present(service, family, &key, status);
                proxy
            }))
        },
        moves.into_iter().chain([once("tokenexchange_datastore_connections_total")]),
    )
}

fn datastore() -> Option<(FaultProxy, Traced)> {
    let emulator = emulator::firestore()?;
    let stores = golden::stores();
    let project = emulator.load_into_new_project(stores.standard.iter().map(|row| &row.entity));
    let proxy = FaultProxy::start(emulator.host());
    let launch = Launch::token_exchange().recorded_signing_key();
    let launch = launch.keys_in(&proxy.host(), &project);
    Some((proxy, Traced::serve(launch)))
}

fn silence() -> Row {
    Row::new(
        "the store is silent",
        || {
            let (proxy, service) = datastore()?;
            proxy.plan(|_| Fault::Hang);
            Some(stage(service, move |service| {
                present(service, "integration", "mlabk.cii_acme.ki_second.x", 503);
                proxy
            }))
        },
        [
            unavailable("integration"),
            once(read("too_slow")),
            attempts("too_slow", 3),
            retries(2),
            // What hangs may be the connection: each attempt has one of its own.
            times(3, "tokenexchange_datastore_connections_total"),
        ],
    )
    .says(READS_FAIL)
}

fn refused_connection() -> Row {
    Row::new(
        "nobody listens where the store should be",
        || {
            let store = RefusingStore::start();
            let launch = Launch::token_exchange().recorded_signing_key();
            let service = Traced::serve(launch.keys_in(&store.host(), "away"));
            Some(stage(service, move |service| {
                present(service, "autojoin", "any", 503);
                store
            }))
        },
        [
            unavailable("autojoin"),
            once(read("unreachable")),
            vec![
                ("tokenexchange_datastore_failed_connections_total".to_owned(), By::Some),
                ("tokenexchange_datastore_retries_total".to_owned(), By::Perhaps),
            ],
        ],
    )
    .says(READS_FAIL)
}

fn two_callers() -> Row {
    Row::new(
        "two callers of one key",
        || {
            let (proxy, service) = datastore()?;
            // Shorter than an attempt, and long enough for the second to come.
            proxy.once(Fault::Delay(Duration::from_millis(600)));
            let key = golden::stores().api_key("acme second").to_owned();
            Some(stage(service, move |service| {
                thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| present(service, "integration", &key, 200));
                    }
                });
                proxy
            }))
        },
        [
            tokens(2, "integration"),
            times(2, source("store")),
            once(read("answered")),
            remembered("key"),
            once("tokenexchange_cache_joined_reads_total"),
            attempts("answered", 1),
            once("tokenexchange_datastore_connections_total"),
        ],
    )
}

fn attempts(outcome: &str, number: u32) -> Vec<(String, By)> {
    let name = "tokenexchange_datastore_attempt_duration_seconds_count";
    times(number, format!(r#"{name}{{outcome="{outcome}"}}"#))
}

fn retries(number: u32) -> Vec<(String, By)> {
    times(number, "tokenexchange_datastore_retries_total")
}
