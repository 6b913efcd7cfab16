//! What a request is drawn as: exactly the spans and attributes that README.md promises.

use gcloud_sdk::google::datastore::v1::query_result_batch::MoreResultsType;
use gcloud_sdk::google::datastore::v1::{LookupResponse, QueryResultBatch, RunQueryResponse};
use gcloud_sdk::tonic::Status;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

use super::otlp::{Collector, Node, Trace};
use super::{SPAN, Scene, TRACE, WITHIN, exchange, traceparent};
use crate::stores::grpc::{Call, Reply, StandIn, missing_of, reply};
use crate::support::log::records;
use crate::support::service::{Launch, Service, Signal};

#[test]
fn a_granted_exchange_is_drawn_from_its_request_down_to_each_attempt_and_then_from_memory() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    let answer = scene.exchange(&[("traceparent", &traceparent("01"))]);
    assert_eq!(answer.status, 200);
    scene.exchange(&[]);

    let [first, second] = &collector.wait_for(2)[..] else { unreachable!() };
    assert_eq!(
        first.drawn(),
        "POST /v0/token/integration http.request.method=POST http.response.status_code=200 \
         http.route=/v0/token/integration network.protocol.version=1.1 decision=granted \
         family=integration integration=acme jti key reason=granted request_id source=store \
         url.path=/v0/token/integration url.scheme=http\n\
         \x20 parse\n\
         \x20 find source=store\n\
         \x20   attempt db.operation.name=select outcome=answered\n\
         \x20 verify\n\
         \x20 sign algorithm=RS256 kid=golden-rsa-2048 signing_seconds signing_wait_seconds\n"
    );
    assert_eq!((&*first.id, &*first.caller), (TRACE, SPAN));
    assert_eq!(first.attribute("token_exchange.request_id"), answer.header("x-request-id"));
    assert_eq!(first.request.kind, SpanKind::Server);
    assert_eq!(first.request.below[1].below[0].kind, SpanKind::Client);
    assert_within(&first.request);

    assert!(second.drawn().contains("\n  find source=fresh\n  verify\n"), "{}", second.drawn());
    assert_ne!(second.id, first.id);
    assert_eq!(second.caller, "");
}

#[test]
fn an_organizations_exchange_says_whose_key_it_was_and_not_which() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    scene.service.token("autojoin", &scene.organization_key);
    let trace = &collector.wait_for(1)[0];
    assert_eq!(trace.attribute("token_exchange.organization"), Some("mlab"));
    assert!(trace.attribute("token_exchange.fingerprint").is_some());
    assert_eq!(trace.attribute("token_exchange.family"), Some("autojoin"));
}

#[test]
fn a_refusal_is_drawn_as_far_as_it_came_and_is_no_error_of_the_service() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    let wrong = format!("{}x", scene.integration_key);
    assert_eq!(exchange(&scene.service, &wrong, &[]).status, 401);
    assert_eq!(exchange(&scene.service, "no key", &[]).status, 401);

    let [wrong, malformed] = &collector.wait_for(2)[..] else { unreachable!() };
    assert_eq!(
        below(wrong),
        "  parse\n\
         \x20 find source=store\n\
         \x20   attempt db.operation.name=select outcome=answered\n\
         \x20 verify\n"
    );
    assert_eq!(below(malformed), "  parse\n");
    for (trace, reason) in [(wrong, "wrong_secret"), (malformed, "malformed")] {
        assert_eq!(trace.attribute("token_exchange.reason"), Some(reason));
        assert_eq!(trace.attribute("token_exchange.decision"), Some("refused"));
        assert_eq!(trace.attribute("http.response.status_code"), Some("401"));
        assert_eq!((&trace.request.error, trace.attribute("error.type")), (&None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_at_a_store_in_trouble_is_drawn_with_its_failure() {
    let store = StandIn::start(|number, call| match number {
        0..3 => Err(Status::unavailable("made up")),
        3 => Err(Status::aborted("made up")),
        _ => nothing(call),
    })
    .await;
    let traces = tokio::task::spawn_blocking(move || {
        let collector = Collector::start();
        let service = on_datastore(&store, &collector);
        assert_eq!(exchange(&service, "mlabk.cii_acme.ki_1.secret", &[]).status, 503);
        assert_eq!(exchange(&service, "mlabk.cii_acme.ki_2.secret", &[]).status, 401);
        assert_eq!(service.exchange("autojoin", "a key").status, 401);
        collector.wait_for(3)
    });
    let traces = traces.await.unwrap();

    assert_eq!(
        below(&traces[0]),
        "  parse\n\
         \x20 find !unavailable\n\
         \x20   attempt db.operation.name=lookup error.type=unreachable outcome=unreachable !unreachable\n\
         \x20   attempt db.operation.name=lookup error.type=unreachable outcome=unreachable !unreachable\n\
         \x20   attempt db.operation.name=lookup error.type=unreachable outcome=unreachable !unreachable\n"
    );
    assert_eq!(traces[0].request.error.as_deref(), Some("unavailable"));
    assert_eq!(traces[0].attribute("error.type"), Some("unavailable"));
    assert_eq!(
        below(&traces[1]),
        "  parse\n\
         \x20 find source=store\n\
         \x20   attempt db.operation.name=lookup error.type=failed outcome=failed !failed\n\
         \x20   attempt db.operation.name=lookup outcome=answered\n\
         \x20 verify\n"
    );
    let [.., find, _] = &traces[2].request.below[..] else { unreachable!() };
    let mut both: Vec<&str> =
        find.below.iter().map(|attempt| &*attempt.attributes["db.operation.name"]).collect();
    both.sort_unstable();
    assert_eq!(both, ["lookup", "run_query"]);
    for trace in &traces {
        assert_within(&trace.request);
    }
}

#[test]
fn the_log_names_the_same_trace_and_span() {
    let collector = Collector::start();
    let mut scene = Scene::new(|launch| launch.tracing_to(&collector.endpoint()));
    scene.exchange(&[("traceparent", &traceparent("01"))]);
    let trace = &collector.wait_for(1)[0];
    scene.service.process.signal(Signal::TERM);
    assert!(scene.service.process.wait_exit(WITHIN).success());
    let log = scene.service.process.stderr();
    let [line] = &records(&log)[..] else { panic!("the exchange is recorded once: {log}") };
    assert_eq!(line["logging.googleapis.com/trace"], TRACE);
    assert_eq!(line["logging.googleapis.com/spanId"], *trace.request.id);
    assert_eq!(line["logging.googleapis.com/trace_sampled"], true);
}

/// Whatever is presented, and however it ends: the bytes of all spans are searched.
#[test]
fn no_secret_is_in_any_span() {
    let collector = Collector::start();
    let scene = Scene::new(|launch| {
        let secret = "OTEL_EXPORTER_OTLP_HEADERS";
        launch.tracing_to(&collector.endpoint()).env(secret, "authorization=for-the-collector")
    });
    let mut secrets = vec![scene.integration_key.clone(), scene.organization_key.clone()];
    for (family, right) in
        [("integration", &scene.integration_key), ("autojoin", &scene.organization_key)]
    {
        let token = scene.service.token(family, right);
        secrets.push(token.rsplit('.').next().unwrap().to_owned());
        for wrong in [format!("{right}-wrong"), format!("{right}{}", "w".repeat(2000))] {
            assert_eq!(scene.service.exchange(family, &wrong).status, 401);
        }
    }
    secrets.push(scene.integration_key.rsplit('.').next().unwrap().to_owned());
    collector.wait_for(6);
    let sent = collector.quoted();
    assert!(sent.contains("ki_"), "what is no secret is there");
    for secret in secrets.iter().map(String::as_str).chain(["for-the-collector"]) {
        assert!(!sent.contains(secret), "{secret} is in a span");
    }
    let headers = collector.headers();
    assert!(headers.iter().all(|headers| headers["authorization"] == "for-the-collector"));
}

fn on_datastore(store: &StandIn, collector: &Collector) -> Service {
    Launch::token_exchange()
        .recorded_signing_key()
        .keys_in(&store.address(), "project")
        .tracing_to(&collector.endpoint())
        .serve()
}

/// There is no such key, whichever.
fn nothing(call: &Call) -> Reply {
    if call.method == "Lookup" {
        return reply(&LookupResponse { missing: missing_of(call), ..LookupResponse::default() });
    }
    let more_results = MoreResultsType::NoMoreResults.into();
    let batch = Some(QueryResultBatch { more_results, ..QueryResultBatch::default() });
    reply(&RunQueryResponse { batch, ..RunQueryResponse::default() })
}

fn below(trace: &Trace) -> String {
    trace.drawn().split_once('\n').unwrap().1.to_owned()
}

/// Everything happens while that goes on which it is part of.
fn assert_within(node: &Node) {
    for below in &node.below {
        assert!(node.begins <= below.begins, "{node:#?}");
        assert!(below.begins <= below.ends && below.ends <= node.ends, "{node:#?}");
        assert_within(below);
    }
}
