//! Changes of what stands there already, when their outcome is lost on the way.

use gcloud_sdk::google::datastore::v1::mutation::{
    ConflictDetectionStrategy, ConflictResolutionStrategy, Operation,
};
use gcloud_sdk::google::datastore::v1::{CommitRequest, CommitResponse};
use gcloud_sdk::tonic::{Code, Status};
use token_exchange::key_life::{self, Author, Occasion, Planned, Remark};
use token_exchange::key_store::{
    Answer, IntegrationKeyRow, KeyAdmin, OrganizationKeysOf, Write, WriteError,
};

use super::engine::{
    Datastore, Engine as _, connect, firestore, integration_id, key_id, new_integration, new_key,
    new_organization, new_organization_key, organization_key,
};
use super::grpc::{Call, StandIn, looked_up, reply};
use super::wire::{Fate, Proxy};
use crate::support::ask::Ask as _;

/// The reason that these changes give goes over the wire with a commit alone.
const REASON: &str = "the reason that is told once";
const IN_COMMIT: &[u8] = REASON.as_bytes();

#[tokio::test]
async fn a_revocation_that_was_made_and_not_heard_of_is_a_success() {
    let Some(engine) = firestore() else { return };
    let row = first_key(&engine).await;
    let proxy = cut_once(&engine, Fate::CutAfterSending(IN_COMMIT)).await;
    connect(&proxy.address, &engine.project).commit(&revoke(&row).change).await.unwrap();
    assert!(proxy.connections() > 1, "nothing was cut");
    assert!(is_revoked(&engine).await);
}

#[tokio::test]
async fn a_revocation_that_never_arrived_is_made_again() {
    let Some(engine) = firestore() else { return };
    let row = first_key(&engine).await;
    let proxy = cut_once(&engine, Fate::CutBeforeSending(IN_COMMIT)).await;
    connect(&proxy.address, &engine.project).commit(&revoke(&row).change).await.unwrap();
    assert!(proxy.connections() > 1, "nothing was cut");
    assert!(is_revoked(&engine).await);
}

#[tokio::test]
async fn a_revoked_organization_key_is_settled_as_well() {
    let Some(engine) = firestore() else { return };
    let store = engine.store();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_organization_key(&new_organization_key("mlab", "the-key")).await.unwrap();
    let everybody = OrganizationKeysOf::Everybody;
    let rows = store.list_organization_keys(everybody, None).await.unwrap().rows;
    let planned = key_life::revoke_organization_key(&rows, &reason(), &occasion()).unwrap();
    let proxy = cut_once(&engine, Fate::CutAfterSending(IN_COMMIT)).await;
    connect(&proxy.address, &engine.project).commit(&planned.change).await.unwrap();
    assert!(proxy.connections() > 1, "nothing was cut");
    let gone = store.find(&organization_key("the-key")).await.unwrap();
    assert!(matches!(gone, Answer::Gone(_)), "{gone:?}");
}

#[tokio::test]
async fn a_lost_change_that_was_changed_again_is_unknown_and_not_made_twice() {
    let Some(engine) = firestore() else { return };
    let row = first_key(&engine).await;
    // It does not arrive, and somebody else is faster than the next attempt.
    let rival = engine.store();
    let rival_row = IntegrationKeyRow { tier: 99, ..row.clone() };
    let proxy = cut_once(&engine, Fate::CutBeforeSending(IN_COMMIT)).await;
    rival.commit(&Write::ReplaceIntegrationKey(rival_row).into()).await.unwrap();
    let unknown = connect(&proxy.address, &engine.project).commit(&revoke(&row).change).await;
    assert!(matches!(unknown, Err(WriteError::Unknown(_))), "{unknown:?}");
    assert!(proxy.connections() > 1, "nothing was cut");
    assert!(!is_revoked(&engine).await);
    assert_eq!(row_of(&engine).await.tier, 99);
}

#[tokio::test]
async fn every_write_is_an_insert_or_bound_to_the_version_that_was_read() {
    let Some(engine) = firestore() else { return };
    let row = first_key(&engine).await;
    let store = engine.store();
    store.create_organization(&new_organization("mlab")).await.unwrap();
    store.create_organization_key(&new_organization_key("mlab", "the-key")).await.unwrap();
    let everybody = OrganizationKeysOf::Everybody;
    let rows = store.list_organization_keys(everybody, None).await.unwrap().rows;
    store.commit(&expire(&row).change).await.unwrap();
    let row = row_of(&engine).await;

    let server = StandIn::start(|_, _| reply(&CommitResponse::default())).await;
    let store = connect(&server.address(), "project");
    let organization = key_life::revoke_organization_key(&rows, &reason(), &occasion()).unwrap();
    for planned in [revoke(&row), organization] {
        store.commit(&planned.change).await.unwrap();
    }
    let commits = server.calls();
    let mutations: Vec<_> =
        commits.iter().flat_map(|call| call.message::<CommitRequest>().mutations).collect();
    assert_eq!(mutations.len(), 4);
    for mutation in mutations {
        let fails = mutation.conflict_resolution_strategy() == ConflictResolutionStrategy::Fail;
        let is_bound = matches!(
            mutation.conflict_detection_strategy,
            Some(ConflictDetectionStrategy::BaseVersion(1..))
        );
        match mutation.operation {
            Some(Operation::Insert(_)) => assert!(!is_bound),
            Some(Operation::Update(_) | Operation::Delete(_)) => assert!(is_bound && fails),
            other => panic!("{other:?}"),
        }
        assert_eq!(mutation.property_mask, None);
    }
}

#[tokio::test]
async fn a_guard_that_fails_is_a_conflict_and_a_failing_store_is_none() {
    let Some(engine) = firestore() else { return };
    let row = first_key(&engine).await;
    for (code, is_conflict) in [
        (Code::FailedPrecondition, true),
        (Code::NotFound, true),
        (Code::PermissionDenied, false),
        (Code::ResourceExhausted, false),
    ] {
        let server = StandIn::start(move |_, call: &Call| match call.method.as_str() {
            "Commit" => Err(Status::new(code, "no")),
            _ => looked_up(call, &[]),
        })
        .await;
        let store = connect(&server.address(), "project");
        let refused = store.commit(&revoke(&row).change).await.unwrap_err();
        assert_eq!(matches!(refused, WriteError::Conflict(_)), is_conflict, "{code:?}: {refused}");
        assert_eq!(matches!(refused, WriteError::Unavailable(_)), !is_conflict, "{refused}");
    }
}

#[tokio::test]
async fn a_change_without_writes_asks_nobody() {
    let server = StandIn::start(|_, _| Err(Status::new(Code::Internal, "asked"))).await;
    let store = connect(&server.address(), "project");
    store.commit(&token_exchange::key_store::Change::default()).await.unwrap();
    assert!(server.calls().is_empty());
}

async fn cut_once(engine: &Datastore, fate: Fate) -> Proxy {
    Proxy::start(engine.emulator.host(), move |number| match number {
        0 => fate,
        _ => Fate::Through,
    })
    .await
}

async fn first_key(engine: &Datastore) -> IntegrationKeyRow {
    let key = new_key("acme", "ki_first");
    engine.store().create_integration(&new_integration("acme"), &key).await.unwrap();
    row_of(engine).await
}

async fn row_of(engine: &Datastore) -> IntegrationKeyRow {
    let (id, key) = (integration_id("acme"), key_id("ki_first"));
    engine.store().read_integration_key(&id, &key).await.unwrap().unwrap()
}

async fn is_revoked(engine: &Datastore) -> bool {
    let (id, key) = (integration_id("acme"), key_id("ki_first"));
    match engine.store().look_up(&id, &key).await.unwrap() {
        Answer::Found(key) => key.validity.is_revoked,
        other => panic!("{other:?}"),
    }
}

fn revoke(row: &IntegrationKeyRow) -> Planned {
    key_life::revoke_integration_key(row, &reason(), &occasion())
}

fn expire(row: &IntegrationKeyRow) -> Planned {
    let end = "2027-01-01T00:00:00Z".parse().unwrap();
    key_life::expire_integration_key(row, end, &occasion()).unwrap()
}

fn reason() -> Remark {
    Remark::parse(REASON).unwrap()
}

fn occasion() -> Occasion {
    Occasion { at: "2026-11-22T12:00:00Z".parse().unwrap(), by: Author::parse("ana").unwrap() }
}
