//! Signs of life: `/health` says that the process lives, `/ready` that it is worth sending traffic.
//!
//! Neither asks the store. One that is away is away for every instance, and one that took them all
//! out of service would turn an outage of the store into one of the key set, too.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};

use super::error;
use super::server::Drain;
use crate::signer::Signer;

pub(super) async fn health() -> &'static str {
    "ok"
}

/// A signer that was started has a key, and that key has signed and was verified.
pub(super) async fn ready(State((signer, drain)): State<(Arc<Signer>, Drain)>) -> Response {
    if drain.has_started() {
        error::not_ready("draining\n")
    } else if signer.is_ready().await {
        "ready".into_response()
    } else {
        error::not_ready("signing fails\n")
    }
}
