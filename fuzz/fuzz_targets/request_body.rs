//! The body of a request, through the real router, against a second reading of the contract.
//!
//! No door into a private module: which key came out of a body is seen by what the store is asked
//! for, and the rest by the status.

#![no_main]

mod contract;
mod service;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use futures_util::stream;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;
use token_exchange::http::Canonical;
use tower::ServiceExt as _;

use self::service::Store;

/// The contract names no limit; ours is a 413.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// No longer key of an organization can be stored, so no store is asked for one.
const MAX_KEY_BYTES: usize = 1500;

struct Fixture {
    runtime: Runtime,
    store: Arc<Store>,
    router: Canonical<Router>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = Arc::<Store>::default();
    let router = service::router(store.clone());
    Fixture { runtime, store, router }
});

fuzz_target!(|body: &[u8]| {
    let expected = if body.len() > MAX_BODY_BYTES {
        (StatusCode::PAYLOAD_TOO_LARGE, None)
    } else {
        match contract::api_key(body) {
            Err(contract::NoObject) => (StatusCode::BAD_REQUEST, None),
            Ok(key) if key == "known" => (StatusCode::OK, Some(key)),
            Ok(key) if (1..=MAX_KEY_BYTES).contains(&key.len()) => {
                (StatusCode::UNAUTHORIZED, Some(key))
            }
            Ok(_) => (StatusCode::UNAUTHORIZED, None),
        }
    };
    let whole = Body::from(body.to_vec());
    // In pieces, and of no declared length.
    let pieces = body
        .chunks(1 + body.len() / 3)
        .map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece)));
    let pieces = Body::from_stream(stream::iter(pieces.collect::<Vec<_>>()));
    for body in [whole, pieces] {
        assert_eq!(exchange(body), expected);
    }
});

/// The status, and the key that the store was asked for.
fn exchange(body: Body) -> (StatusCode, Option<String>) {
    let Fixture { runtime, store, router } = &*FIXTURE;
    let request = Request::post("/v0/token/autojoin").body(body).unwrap();
    let Ok(response) = runtime.block_on(router.clone().oneshot(request));
    let mut asked = store.take_asked();
    assert!(asked.len() <= 1, "{asked:?}");
    (response.status(), asked.pop())
}
