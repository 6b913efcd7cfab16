//! `GET /.well-known/jwks.json`: the public keys that verify tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use crate::signer::Signer;

/// HEAD is answered like GET, without the body.
pub(super) async fn jwk_set(State(signer): State<Arc<Signer>>) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=3600, must-revalidate"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    ];
    (headers, signer.jwk_set()).into_response()
}
