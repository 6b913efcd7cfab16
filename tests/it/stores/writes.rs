//! Commits whose outcome is lost on the way, and how they are settled.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gcloud_sdk::google::datastore::v1::commit_request::{Mode, TransactionSelector};
use gcloud_sdk::google::datastore::v1::mutation::Operation;
use gcloud_sdk::google::datastore::v1::{CommitRequest, CommitResponse, Entity, MutationResult};
use gcloud_sdk::tonic::{Code, Status};
use token_exchange::key_store::{Answer, KeyAdmin as _, RecordName, UnavailableKind, WriteError};

use super::engine::{
    Datastore, Engine as _, connect, firestore, new_integration, new_key, new_organization,
    new_organization_key, organization_key,
};
use super::grpc::{Call, Reply, StandIn, all_found, looked_up, reply};
use super::wire::{Fate, Proxy};
use crate::support::ask::Ask as _;

/// The description that `new_key` gives goes over the wire with a commit alone.
const IN_COMMIT: &[u8] = b"Initial API key";

/// Deadlines of a change: ten seconds, and what a busy machine may add.
const ANSWER_WITHIN: Duration = Duration::from_secs(10 + 2);

#[tokio::test]
async fn a_commit_that_was_made_and_not_heard_of_is_a_success() {
    let Some(engine) = firestore() else { return };
    let proxy = Proxy::start(engine.emulator.host(), |number| match number {
        0 => Fate::CutAfterSending(IN_COMMIT),
        _ => Fate::Through,
    })
    .await;
    let key = new_key("acme", "ki_first");
    let store = connect(&proxy.address, &engine.project);
    store.create_integration(&new_integration("acme"), &key).await.unwrap();
    assert!(proxy.connections() > 1, "nothing was cut");
    assert_stands(&engine, &key).await;
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_made_again() {
    let Some(engine) = firestore() else { return };
    let proxy = Proxy::start(engine.emulator.host(), |number| match number {
        0 => Fate::CutBeforeSending(IN_COMMIT),
        _ => Fate::Through,
    })
    .await;
    let key = new_key("acme", "ki_first");
    let store = connect(&proxy.address, &engine.project);
    store.create_integration(&new_integration("acme"), &key).await.unwrap();
    assert!(proxy.connections() > 1, "nothing was cut");
    assert_stands(&engine, &key).await;
}

#[tokio::test]
async fn a_lost_commit_beside_somebody_elses_record_is_a_refusal() {
    let Some(engine) = firestore() else { return };
    let first = new_key("acme", "ki_first");
    engine.store().create_integration(&new_integration("acme"), &first).await.unwrap();
    let proxy = Proxy::start(engine.emulator.host(), |number| match number {
        0 => Fate::CutAfterSending(IN_COMMIT),
        _ => Fate::Through,
    })
    .await;
    let store = connect(&proxy.address, &engine.project);
    let refused = store.create_integration_key(&new_key("acme", "ki_first")).await;
    assert!(
        matches!(refused, Err(WriteError::Exists(RecordName::IntegrationKey(..)))),
        "{refused:?}"
    );
    assert!(proxy.connections() > 1, "nothing was cut");
    assert_stands(&engine, &first).await;
}

#[tokio::test]
async fn a_commit_that_cannot_be_settled_is_said_to_be_unknown() {
    let Some(engine) = firestore() else { return };
    let proxy = Proxy::start(engine.emulator.host(), |number| match number {
        0 => Fate::CutAfterSending(IN_COMMIT),
        _ => Fate::Refused,
    })
    .await;
    let key = new_key("acme", "ki_first");
    let store = connect(&proxy.address, &engine.project);
    let unknown = store.create_integration(&new_integration("acme"), &key).await;
    assert!(matches!(unknown, Err(WriteError::Unknown(_))), "{unknown:?}");
    assert_stands(&engine, &key).await;
}

#[tokio::test]
async fn a_retried_insert_that_meets_itself_is_a_success() {
    for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Internal, Code::Unknown] {
        // The first commit lands only after it was looked for.
        let written = Mutex::new(Vec::new());
        let server = StandIn::start(move |number, call| match number {
            0 => {
                *written.lock().unwrap() = inserted(call);
                Err(Status::new(code, "lost"))
            }
            1 => missing(call),
            2 => Err(Status::new(Code::AlreadyExists, "it is there")),
            _ => looked_up(call, &written.lock().unwrap()),
        })
        .await;
        let store = connect(&server.address(), "project");
        store
            .create_integration(&new_integration("acme"), &new_key("acme", "ki_first"))
            .await
            .unwrap();
        let methods: Vec<_> = server.calls().into_iter().map(|call| call.method).collect();
        assert_eq!(methods, ["Commit", "Lookup", "Commit", "Lookup"], "{code:?}");
    }
}

#[tokio::test]
async fn a_first_insert_that_meets_an_equal_record_is_a_refusal() {
    // It was there before, so whoever wrote it was told of success.
    let written = Mutex::new(Vec::new());
    let server = StandIn::start(move |number, call| {
        let mut written = written.lock().unwrap();
        if number == 0 {
            *written = inserted(call);
            return Err(Status::new(Code::AlreadyExists, "it is there"));
        }
        looked_up(call, &written)
    })
    .await;
    let store = connect(&server.address(), "project");
    let refused = store.create_organization(&new_organization("mlab")).await;
    assert!(matches!(refused, Err(WriteError::Exists(RecordName::Organization(_)))), "{refused:?}");
}

#[tokio::test]
async fn a_commit_that_is_lost_every_time_is_unknown_even_if_nothing_is_seen() {
    let server = StandIn::start(|_, call| match call.method.as_str() {
        "Commit" => Err(Status::new(Code::Unavailable, "lost")),
        _ => missing(call),
    })
    .await;
    let store = connect(&server.address(), "project");
    let unknown = store.create_organization(&new_organization("mlab")).await;
    assert!(matches!(unknown, Err(WriteError::Unknown(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_commit_that_was_refused_is_known_not_to_be_made() {
    for (code, kind, commits) in [
        (Code::PermissionDenied, UnavailableKind::Refused, 1),
        (Code::InvalidArgument, UnavailableKind::Refused, 1),
        (Code::Aborted, UnavailableKind::Failed, 3),
    ] {
        let server = StandIn::start(move |_, _| Err(Status::new(code, "no"))).await;
        let store = connect(&server.address(), "project");
        match store.create_organization(&new_organization("mlab")).await {
            Err(WriteError::Unavailable(why)) => assert_eq!(why.kind, kind),
            other => panic!("{other:?}"),
        }
        assert_eq!(server.calls().len(), commits, "{code:?}");
    }
}

#[tokio::test]
async fn a_conflict_that_is_told_in_passing_is_no_success() {
    let server = StandIn::start(|_, call| match call.method.as_str() {
        "Commit" => {
            let result = MutationResult { conflict_detected: true, ..MutationResult::default() };
            reply(&CommitResponse { mutation_results: vec![result], ..CommitResponse::default() })
        }
        _ => missing(call),
    })
    .await;
    let store = connect(&server.address(), "project");
    store.create_organization(&new_organization("mlab")).await.unwrap_err();
}

#[tokio::test]
async fn a_silent_commit_ends_within_its_deadline() {
    let Some(engine) = firestore() else { return };
    let proxy = Proxy::start(engine.emulator.host(), |_| Fate::SilentAfterAnswers(0)).await;
    let store = connect(&proxy.address, &engine.project);
    let began = Instant::now();
    let unknown = store.create_organization(&new_organization("mlab")).await;
    assert!(matches!(unknown, Err(WriteError::Unknown(_))), "{unknown:?}");
    assert!(began.elapsed() < ANSWER_WITHIN, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_change_is_one_single_use_transaction_of_inserts() {
    let server = StandIn::start(|_, call| match call.method.as_str() {
        "Commit" => reply(&CommitResponse::default()),
        _ => all_found(call),
    })
    .await;
    let store = connect(&server.address(), "project");
    store.create_integration(&new_integration("acme"), &new_key("acme", "ki_first")).await.unwrap();
    store.create_integration_key(&new_key("acme", "ki_second")).await.unwrap();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_organization_key(&new_organization_key("mlab", "the-key")).await.unwrap();

    let commits: Vec<CommitRequest> =
        server.calls().iter().filter(|call| call.method == "Commit").map(Call::message).collect();
    assert_eq!(
        commits.iter().map(|commit| commit.mutations.len()).collect::<Vec<_>>(),
        [2, 1, 1, 1]
    );
    for commit in commits {
        assert_eq!(commit.mode(), Mode::Transactional);
        assert!(matches!(
            commit.transaction_selector,
            Some(TransactionSelector::SingleUseTransaction(_))
        ));
        for mutation in commit.mutations {
            assert!(matches!(mutation.operation, Some(Operation::Insert(_))));
        }
    }
}

#[tokio::test]
async fn an_error_of_a_change_never_repeats_the_key_of_an_organization() {
    let server = StandIn::start(|_, call| match call.method.as_str() {
        "Commit" => Err(Status::new(Code::InvalidArgument, call.quoted())),
        _ => all_found(call),
    })
    .await;
    let store = connect(&server.address(), "project");
    let key = new_organization_key("mlab", "a-key-that-must-not-be-repeated");
    let error = store.create_organization_key(&key).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("must-not-be-repeated"));
}

#[tokio::test]
async fn a_lost_organization_key_is_settled_as_well() {
    let Some(engine) = firestore() else { return };
    engine.store().create_organization(&new_organization("mlab")).await.unwrap();
    let proxy = Proxy::start(engine.emulator.host(), |number| match number {
        0 => Fate::CutAfterSending(b"the-long-key-that-is-sent"),
        _ => Fate::Through,
    })
    .await;
    let store = connect(&proxy.address, &engine.project);
    let key = new_organization_key("mlab", "the-long-key-that-is-sent");
    store.create_organization_key(&key).await.unwrap();
    assert!(proxy.connections() > 1, "nothing was cut");
    let answer = engine.store().find(&organization_key("the-long-key-that-is-sent")).await;
    assert!(matches!(answer, Ok(Answer::Found(_))));
}

async fn assert_stands(engine: &Datastore, key: &token_exchange::key_store::NewIntegrationKey) {
    match engine.store().look_up(&key.integration_id, &key.key_id).await.unwrap() {
        Answer::Found(found) => assert_eq!(found.secret_hash, Some(key.secret_hash)),
        other => panic!("{other:?}"),
    }
}

/// The entities that a commit inserts.
fn inserted(call: &Call) -> Vec<Entity> {
    let mutations = call.message::<CommitRequest>().mutations.into_iter();
    mutations
        .map(|mutation| match mutation.operation {
            Some(Operation::Insert(entity)) => entity,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn missing(call: &Call) -> Reply {
    looked_up(call, &[])
}
