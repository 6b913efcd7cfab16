//! What Datastore may fail at, and that none of it is ever taken for an absence.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use gcloud_sdk::google::datastore::v1::query_result_batch::MoreResultsType;
use gcloud_sdk::google::datastore::v1::run_query_request::QueryType;
use gcloud_sdk::google::datastore::v1::{
    LookupRequest, LookupResponse, QueryResultBatch, RunQueryRequest, RunQueryResponse,
};
use gcloud_sdk::tonic::{Code, Status};
use token_exchange::key_store::datastore::DatastoreStore;
use token_exchange::key_store::{Answer, KeyAdmin as _, Unavailable, UnavailableKind, WriteError};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::engine::{self, connect, integration_id, key_id, organization_key};
use super::grpc::{Call, Reply, StandIn, looked_up, reply};
use super::wire::{Fate, Proxy};
use crate::support::ask::Ask as _;
use crate::support::gate::Gate;
use crate::support::stand_in::{RefusingStore, SilentStore};

/// The longest that a caller may wait, and what a busy machine may add.
const ANSWER_WITHIN: Duration = Duration::from_secs(4 + 1);
const ORGANIZATION_KEY: &str = "a-key-that-must-not-be-repeated";

#[tokio::test]
async fn an_address_that_refuses_is_unavailable() {
    let server = RefusingStore::start();
    let store = connect(&server.host(), "project");
    assert_unavailable(&store, UnavailableKind::Unreachable).await;
    let refused = store.create_organization(&engine::new_organization("mlab")).await;
    assert!(matches!(refused, Err(WriteError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_silent_server_is_unavailable_in_time() {
    let server = SilentStore::start();
    assert_unavailable(&connect(&server.host(), "project"), UnavailableKind::TooSlow).await;
}

#[tokio::test]
async fn no_code_of_grpc_is_an_absence() {
    use UnavailableKind::{Credentials, Failed, Refused, TooSlow, Unreachable};
    let codes = [
        (Code::Cancelled, TooSlow),
        (Code::Unknown, Failed),
        (Code::InvalidArgument, Refused),
        (Code::DeadlineExceeded, TooSlow),
        (Code::NotFound, Refused),
        (Code::AlreadyExists, Refused),
        (Code::PermissionDenied, Refused),
        (Code::ResourceExhausted, Refused),
        (Code::FailedPrecondition, Refused),
        (Code::Aborted, Failed),
        (Code::OutOfRange, Refused),
        (Code::Unimplemented, Refused),
        (Code::Internal, Failed),
        (Code::Unavailable, Unreachable),
        (Code::DataLoss, Failed),
        (Code::Unauthenticated, Credentials),
    ];
    for (code, kind) in codes {
        let server = StandIn::start(move |_, _| Err(Status::new(code, "no"))).await;
        assert_unavailable(&connect(&server.address(), "project"), kind).await;
    }
}

#[tokio::test]
async fn an_error_never_repeats_the_key_of_an_organization() {
    // A server that quotes all that it is sent, as an error of validation might.
    let server = StandIn::start(|_, call| match call.method.as_str() {
        "RunQuery" => Err(Status::new(Code::InvalidArgument, call.quoted())),
        _ => missing(call),
    })
    .await;
    let store = connect(&server.address(), "project");
    let error = store.find(&organization_key(ORGANIZATION_KEY)).await.unwrap_err();
    assert!(server.calls().iter().any(|call| call.quoted().contains(ORGANIZATION_KEY)));
    assert!(!format!("{error} {error:?}").contains(ORGANIZATION_KEY));
    assert_eq!(error.detail, "InvalidArgument");

    // But ids of an integration are no secrets, and the operator needs the words.
    let server = StandIn::start(|_, _| Err(Status::new(Code::PermissionDenied, "no role"))).await;
    let store = connect(&server.address(), "project");
    let error = ask_integration_key(&store).await.unwrap_err();
    assert_eq!(error.detail, "PermissionDenied: no role");
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let codes = [Code::Unavailable, Code::DeadlineExceeded, Code::Aborted, Code::Internal];
    for code in codes {
        let server = StandIn::start(move |number, call| match number {
            0 | 1 => Err(Status::new(code, "not now")),
            _ => missing(call),
        })
        .await;
        let store = connect(&server.address(), "project");
        assert_eq!(ask_integration_key(&store).await.unwrap(), Answer::Absent, "{code:?}");
        assert_eq!(server.calls().len(), 3);
    }
}

#[tokio::test]
async fn a_lasting_failure_is_not_tried_again_and_a_passing_one_not_for_ever() {
    for (code, attempts) in [
        (Code::PermissionDenied, 1),
        (Code::NotFound, 1),
        // Without credentials there are none to build anew.
        (Code::Unauthenticated, 1),
        (Code::Internal, 3),
    ] {
        let server = StandIn::start(move |_, _| Err(Status::new(code, "no"))).await;
        ask_integration_key(&connect(&server.address(), "project")).await.unwrap_err();
        assert_eq!(server.calls().len(), attempts, "{code:?}");
    }
}

#[tokio::test]
async fn a_deferred_lookup_is_asked_again() {
    let server = StandIn::start(|number, call| {
        let keys = call.message::<LookupRequest>().keys;
        match number {
            0 => reply(&LookupResponse { deferred: keys, ..LookupResponse::default() }),
            _ => missing(call),
        }
    })
    .await;
    let store = connect(&server.address(), "project");
    assert_eq!(ask_integration_key(&store).await.unwrap(), Answer::Absent);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn a_lookup_deferred_for_ever_and_one_without_any_answer_are_unavailable() {
    let server = StandIn::start(|_, call| {
        let keys = call.message::<LookupRequest>().keys;
        reply(&LookupResponse { deferred: keys, ..LookupResponse::default() })
    })
    .await;
    let store = connect(&server.address(), "project");
    assert_eq!(ask_integration_key(&store).await.unwrap_err().kind, UnavailableKind::TooSlow);

    let server = StandIn::start(|_, _| reply(&LookupResponse::default())).await;
    let store = connect(&server.address(), "project");
    assert_eq!(ask_integration_key(&store).await.unwrap_err().kind, UnavailableKind::Failed);
}

#[tokio::test]
async fn an_unfinished_query_goes_on_from_its_cursor() {
    let server = StandIn::start(|_, call| {
        if call.method == "Lookup" {
            return missing(call);
        }
        let Some(QueryType::Query(query)) = call.message::<RunQueryRequest>().query_type else {
            panic!("no query")
        };
        match &query.start_cursor[..] {
            b"" => batch(MoreResultsType::NotFinished, b"here"),
            b"here" => batch(MoreResultsType::NoMoreResults, b""),
            other => panic!("{other:?}"),
        }
    })
    .await;
    let store = connect(&server.address(), "project");
    let answer = store.find(&organization_key(ORGANIZATION_KEY)).await;
    assert_eq!(answer.unwrap(), Answer::Absent);
    let queries = server.calls().into_iter().filter(|call| call.method == "RunQuery");
    assert_eq!(queries.count(), 2);
}

#[tokio::test]
async fn a_query_that_does_not_say_whether_it_is_finished_is_unavailable() {
    let unfinished = [
        batch(MoreResultsType::Unspecified, b""),
        batch(MoreResultsType::NotFinished, b"on and on"),
        reply(&RunQueryResponse::default()),
    ];
    for answer in unfinished {
        let server = StandIn::start(move |_, call| match call.method.as_str() {
            "RunQuery" => answer.clone(),
            _ => missing(call),
        })
        .await;
        let store = connect(&server.address(), "project");
        store.find(&organization_key(ORGANIZATION_KEY)).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_key_of_an_integration_and_its_facts_are_read_by_one_lookup() {
    let server = StandIn::start(|_, call| missing(call)).await;
    ask_integration_key(&connect(&server.address(), "project")).await.unwrap();
    let [call] = &server.calls()[..] else { panic!("{:?}", server.calls()) };
    assert_eq!(call.message::<LookupRequest>().keys.len(), 2);
}

/// Each question is answered only once the other has been asked, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_facts_of_an_organization_key_are_looked_up_while_the_query_runs() {
    let asked = (Mutex::new(0), Condvar::new());
    let server = StandIn::start(move |_, call| {
        let (count, both) = &asked;
        let mut count = count.lock().unwrap();
        *count += 1;
        both.notify_all();
        drop(both.wait_timeout_while(count, ANSWER_WITHIN, |count| *count < 2).unwrap());
        match call.method.as_str() {
            "RunQuery" => batch(MoreResultsType::NoMoreResults, b""),
            _ => missing(call),
        }
    })
    .await;
    let store = connect(&server.address(), "project");
    let answer = store.find(&organization_key(ORGANIZATION_KEY)).await;
    assert_eq!(answer.unwrap(), Answer::Absent);
    assert_eq!(server.calls().len(), 2);
}

#[tokio::test]
async fn every_call_says_which_project_it_is_for() {
    let server = StandIn::start(|_, call| missing(call)).await;
    let store = connect(&server.address(), "example.org:project");
    ask_integration_key(&store).await.unwrap();
    let call = &server.calls()[0];
    assert_eq!(call.headers["x-goog-request-params"], "project_id=example.org%3Aproject");
    assert_eq!(call.message::<LookupRequest>().project_id, "example.org:project");
    assert!(!call.headers.contains_key("authorization"));
}

#[tokio::test]
async fn a_connection_that_died_in_silence_is_left_for_a_new_one() {
    let server = StandIn::start(|_, call| missing(call)).await;
    // Enough for one answer; then it is as if the network had forgotten the connection.
    let proxy = Proxy::start(&server.address(), |number| match number {
        0 => Fate::SilentAfterAnswers(1),
        _ => Fate::Through,
    })
    .await;
    let store = connect(&proxy.address, "project");
    for _ in 0..3 {
        assert_eq!(ask_integration_key(&store).await.unwrap(), Answer::Absent);
    }
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_call_that_meets_the_end_of_its_connection_goes_over_the_next_and_is_no_retry() {
    let server = StandIn::start(|_, call| missing(call)).await;
    let proxy = Proxy::start(&server.address(), |_| Fate::EndsAfterAnswers(1)).await;
    let store = connect(&proxy.address, "project");
    for calls in 1..=3 {
        assert_eq!(ask_integration_key(&store).await.unwrap(), Answer::Absent);
        timeout(ANSWER_WITHIN, proxy.hung_up()).await.expect("the server hangs up");
        let health = store.health();
        let attempts = health.attempts.iter().map(|(outcome, took)| (*outcome, took.count));
        let attempts: Vec<_> = attempts.filter(|(_, count)| *count > 0).collect();
        assert_eq!((attempts, health.retries), (vec![("answered", calls)], 0));
        assert_eq!(health.connections, calls);
    }
}

/// The first call is not answered before the second, and not in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_over_which_others_are_answered_is_kept_when_one_answer_is_overdue() {
    let (asked, is_over) = (Arc::new(Notify::new()), Arc::new(Gate::default()));
    let (tell, gate) = (Arc::clone(&asked), Arc::clone(&is_over));
    let server = StandIn::start(move |number, call| {
        if number == 0 {
            tell.notify_one();
            // Others are answered on this thread meanwhile.
            tokio::task::block_in_place(|| gate.pass());
        }
        missing(call)
    })
    .await;
    let proxy = Proxy::start(&server.address(), |_| Fate::Through).await;
    let store = connect(&proxy.address, "project");
    let other = async {
        asked.notified().await;
        ask_integration_key(&store).await
    };
    let (overdue, other) = tokio::join!(ask_integration_key(&store), other);
    is_over.open();
    assert_eq!((overdue.unwrap(), other.unwrap()), (Answer::Absent, Answer::Absent));
    assert!(server.calls().len() >= 3, "the overdue call, its retry, and the other");
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn a_server_that_refuses_every_call_is_asked_over_one_connection() {
    let server = StandIn::start(|_, _| Err(Status::new(Code::Internal, "no"))).await;
    let proxy = Proxy::start(&server.address(), |_| Fate::Through).await;
    let store = connect(&proxy.address, "project");
    ask_integration_key(&store).await.unwrap_err();
    assert_eq!((server.calls().len(), proxy.connections()), (3, 1));
}

#[tokio::test]
async fn a_server_that_comes_back_is_used_again() {
    let server = StandIn::start(|_, call| missing(call)).await;
    let is_back = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_back);
    let proxy = Proxy::start(&server.address(), move |_| {
        if asked.load(Ordering::SeqCst) { Fate::Through } else { Fate::Refused }
    })
    .await;
    let store = connect(&proxy.address, "project");
    for _ in 0..2 {
        let error = ask_integration_key(&store).await.unwrap_err();
        assert_eq!(error.kind, UnavailableKind::Unreachable);
    }
    // Of each question three attempts, and of each of them three connections, at most.
    assert!(proxy.connections() <= 2 * 3 * 3, "{} connections", proxy.connections());
    is_back.store(true, Ordering::SeqCst);
    assert_eq!(ask_integration_key(&store).await.unwrap(), Answer::Absent);
}

async fn ask_integration_key(
    store: &DatastoreStore,
) -> Result<Answer<token_exchange::key_store::IntegrationKey>, Unavailable> {
    store.look_up(&integration_id("acme"), &key_id("ki_first")).await
}

/// Both questions, each answered in time.
async fn assert_unavailable(store: &DatastoreStore, kind: UnavailableKind) {
    let began = Instant::now();
    let key = organization_key(ORGANIZATION_KEY);
    let (integration, organization) = tokio::join!(ask_integration_key(store), store.find(&key));
    for error in [integration.unwrap_err(), organization.unwrap_err()] {
        assert_eq!(error.kind, kind, "{error}");
        assert!(!error.to_string().contains(ORGANIZATION_KEY));
    }
    assert!(began.elapsed() < ANSWER_WITHIN, "{:?}", began.elapsed());
}

fn missing(call: &Call) -> Reply {
    looked_up(call, &[])
}

fn batch(more: MoreResultsType, cursor: &[u8]) -> Reply {
    reply(&RunQueryResponse {
        batch: Some(QueryResultBatch {
            more_results: more.into(),
            end_cursor: cursor.to_vec(),
            ..QueryResultBatch::default()
        }),
        ..RunQueryResponse::default()
    })
}
