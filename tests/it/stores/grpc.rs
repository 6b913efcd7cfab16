//! A stand-in for Datastore that says over gRPC exactly what a test wants to be said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use gcloud_sdk::google::datastore::v1::{Entity, EntityResult, LookupRequest, LookupResponse};
use gcloud_sdk::prost::Message;
use gcloud_sdk::tonic::Status;
use gcloud_sdk::tonic::service::Routes;
use gcloud_sdk::tonic::transport::Server;
use gcloud_sdk::tonic::transport::server::TcpIncoming;
use http_body_util::{BodyExt as _, Full};
use hyper::HeaderMap;
use tokio::net::TcpListener;

/// One call as it came.
#[derive(Debug, Clone)]
pub struct Call {
    /// `Lookup`, `RunQuery`, `Commit`.
    pub method: String,
    pub headers: HeaderMap,
    message: Bytes,
}

impl Call {
    pub fn message<M: Message + Default>(&self) -> M {
        M::decode(self.message.clone()).unwrap()
    }

    /// All bytes of the message, for a server that quotes what it was sent.
    pub fn quoted(&self) -> String {
        String::from_utf8_lossy(&self.message).into_owned()
    }
}

pub type Reply = Result<Vec<u8>, Status>;

#[expect(clippy::unnecessary_wraps, reason = "it stands where a refusal may stand")]
pub fn reply(message: &impl Message) -> Reply {
    Ok(message.encode_to_vec())
}

/// Answers a lookup from these entities: each key that is asked for is found or missing.
pub fn looked_up(call: &Call, stored: &[Entity]) -> Reply {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for key in call.message::<LookupRequest>().keys {
        let path = |entity: &&Entity| entity.key.as_ref().unwrap().path == key.path;
        match stored.iter().find(path) {
            Some(entity) => found.push(result(entity.clone())),
            None => missing.push(result(Entity { key: Some(key), ..Entity::default() })),
        }
    }
    reply(&LookupResponse { found, missing, ..LookupResponse::default() })
}

/// All that a lookup asks for, as missing.
pub fn missing_of(call: &Call) -> Vec<EntityResult> {
    let keys = call.message::<LookupRequest>().keys.into_iter();
    keys.map(|key| result(Entity { key: Some(key), ..Entity::default() })).collect()
}

/// Answers a lookup as if everything that is asked for were there, without properties.
pub fn all_found(call: &Call) -> Reply {
    let keys = call.message::<LookupRequest>().keys.into_iter();
    let stored: Vec<_> = keys.map(|key| Entity { key: Some(key), ..Entity::default() }).collect();
    looked_up(call, &stored)
}

fn result(entity: Entity) -> EntityResult {
    EntityResult { entity: Some(entity), version: 1, ..EntityResult::default() }
}

/// A listening stand-in; it ends with the test's runtime.
pub struct StandIn {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl StandIn {
    /// Answers each call by its number, beginning with 0, and what it says.
    pub async fn start(answer: impl Fn(usize, &Call) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&calls));
        let router = axum::Router::new().fallback(move |request: Request| {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            async move {
                let call = receive(request).await;
                let number = {
                    let mut log = log.lock().unwrap();
                    log.push(call.clone());
                    log.len() - 1
                };
                respond(answer(number, &call))
            }
        });
        let serving = Server::builder()
            .add_routes(Routes::from(router))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        Self { address, calls }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

async fn receive(request: Request) -> Call {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Call {
        method: parts.uri.path().rsplit('/').next().unwrap_or_default().to_owned(),
        headers: parts.headers,
        // A flag and the length come before the message (gRPC over HTTP/2, Length-Prefixed-Message).
        message: body.slice(5..),
    }
}

fn respond(reply: Reply) -> Response {
    match reply {
        Err(status) => status.into_http(),
        Ok(message) => {
            let mut framed = BytesMut::new();
            framed.put_u8(0);
            framed.put_u32(u32::try_from(message.len()).unwrap());
            framed.put_slice(&message);
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
            Response::builder()
                .header("content-type", "application/grpc")
                .body(Body::new(body))
                .unwrap()
        }
    }
}
