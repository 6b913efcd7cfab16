//! A Datastore that has every key of every integration: it finds them at once, but for those that
//! take it two seconds each. It takes traces as well.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use gcloud_sdk::google::datastore::v1::key::path_element::IdType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{
    Entity, EntityResult, Key, LookupRequest, LookupResponse, Value,
};
use gcloud_sdk::prost::Message as _;
use gcloud_sdk::tonic::service::Routes;
use gcloud_sdk::tonic::transport::Server;
use gcloud_sdk::tonic::transport::server::TcpIncoming;
use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const SECRET: &str = "secret";
const SLOWLY: Duration = Duration::from_secs(2);

pub struct StandIn {
    address: String,
    // Its tasks end when it is dropped.
    _runtime: Runtime,
}

impl StandIn {
    pub const FAST_KEY: &str = "mlabk.cii_load.ki_fast.secret";
    /// Another one in each request.
    pub const SLOW_KEY: &str = "mlabk.cii_load.ki_slow00########.secret";

    /// Other ones than in every other round: what was found is remembered.
    pub fn in_round(request: &str, round: f64) -> String {
        request.replace("ki_slow00", &format!("ki_slow{round:02.0}"))
    }

    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let router = axum::Router::new().fallback(answer);
        runtime.spawn(
            Server::builder()
                .add_routes(Routes::from(router))
                .serve_with_incoming(TcpIncoming::from(listener)),
        );
        Self { address, _runtime: runtime }
    }

    pub fn address(&self) -> String {
        self.address.clone()
    }
}

async fn answer(request: Request) -> Response {
    if request.uri().path().starts_with("/opentelemetry.") {
        let read = request.into_body().collect().await;
        // A message without members.
        return read.map(|_| respond(Bytes::from_static(&[0; 5]))).unwrap_or_default();
    }
    // Who has given up meanwhile needs no answer.
    let Ok(body) = request.into_body().collect().await else { return Response::default() };
    let body = body.to_bytes();
    // A flag and the length come before the message (gRPC over HTTP/2, Length-Prefixed-Message).
    let asked = LookupRequest::decode(body.slice(5..)).unwrap();
    if asked.keys.iter().any(|key| name(key).starts_with("ki_slow")) {
        tokio::time::sleep(SLOWLY).await;
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for key in asked.keys {
        let is_record = key.path.last().is_some_and(|last| last.kind == "IntegrationAPIKey");
        let (list, properties) =
            if is_record { (&mut found, record()) } else { (&mut missing, Vec::new()) };
        let entity = Entity { key: Some(key), properties: properties.into_iter().collect() };
        list.push(EntityResult { entity: Some(entity), version: 1, ..EntityResult::default() });
    }
    let message = LookupResponse { found, missing, ..LookupResponse::default() }.encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(&message);
    respond(framed.freeze())
}

fn name(key: &Key) -> &str {
    match key.path.last().and_then(|last| last.id_type.as_ref()) {
        Some(IdType::Name(name)) => name,
        _ => "",
    }
}

fn record() -> Vec<(String, Value)> {
    let text = |text: String| ValueType::StringValue(text);
    [
        ("key_hash", text(hex::encode(Sha256::digest(SECRET)))),
        ("status", text("active".to_owned())),
        ("tier", ValueType::IntegerValue(1)),
    ]
    .map(|(name, value)| (name.to_owned(), Value { value_type: Some(value), ..Value::default() }))
    .into()
}

fn respond(message: Bytes) -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let body = Full::new(message).with_trailers(async { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(Body::new(body)).unwrap()
}
