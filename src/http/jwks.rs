//! `GET /.well-known/jwks.json`: the public keys that verify tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::error;
use crate::signer::Signer;

/// HEAD is answered like GET, without the body. The bytes and their tag were computed when the
/// signing keys were read; a request copies them.
pub(super) async fn jwk_set(State(signer): State<Arc<Signer>>, request: HeaderMap) -> Response {
    let keys = signer.jwk_set().await;
    let tag = keys.entity_tag();
    let mut response = if has(&request, &tag) {
        error::not_modified()
    } else {
        ([(CONTENT_TYPE, "application/json")], keys.json()).into_response()
    };
    let headers = response.headers_mut();
    headers
        .insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600, must-revalidate"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    // A tag is hexadecimal in quotes, which a header can always hold.
    if let Ok(tag) = HeaderValue::from_maybe_shared(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Whether `If-None-Match` names the tag, by the weak comparison that RFC 9110, section 13.1.2
/// asks for. Our tags hold no comma, so a list can be split at each.
fn has(request: &HeaderMap, tag: &Bytes) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == &tag[..])
}
