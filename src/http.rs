//! The router: five routes, and what is around them.
//!
//! No rule about keys lives here; every status code is decided in `error`.

mod error;
mod health;
mod jwks;
mod metrics_page;
mod path;
mod request_body;
mod request_id;
pub mod server;
mod shed_log;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::routing::{MethodRouter, any, get, post};
use tower_http::compression::CompressionLayer;

pub use self::error::too_late;
pub use self::path::Canonical;
pub use self::request_id::RequestId;
use self::server::Drain;
use self::shed_log::ShedLog;
use self::token::TokenRoute;
use crate::exchange::{Autojoin, Exchange, Integration, TokenFamily};
use crate::signer::Signer;
use crate::telemetry::audit::Audit;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;

/// The service port: exchanges, the key set, and signs of life.
///
/// # Errors
/// When a metric exists already: the service was built twice on the same [`Metrics`].
pub fn service(
    exchange: &Exchange,
    signer: Arc<Signer>,
    metrics: &Metrics,
    drain: &Drain,
    audit: &Audit,
    traces: &Traces,
) -> prometheus::Result<Canonical<Router>> {
    let shed = ShedLog::default();
    let token_route = |metrics| {
        Arc::new(TokenRoute {
            exchange: exchange.clone(),
            metrics,
            shed: shed.clone(),
            audit: audit.clone(),
            traces: traces.clone(),
        })
    };
    let is_ready = any(health::ready).with_state((Arc::clone(&signer), drain.clone()));
    let router = Router::new()
        .route(
            "/v0/token/autojoin",
            post_token::<Autojoin>(token_route(metrics.family::<Autojoin>()?)),
        )
        .route(
            "/v0/token/integration",
            post_token::<Integration>(token_route(metrics.family::<Integration>()?)),
        )
        .route("/.well-known/jwks.json", get(jwks::jwk_set).with_state(signer))
        .route("/health", any(health::health))
        .route("/ready", is_ready)
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::not_found);
    Ok(Canonical(router))
}

/// The metrics port.
pub fn metrics(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", any(metrics_page::page).with_state(metrics))
        .layer(CompressionLayer::new())
        .fallback(error::not_found)
}

fn post_token<F: TokenFamily>(route: Arc<TokenRoute>) -> MethodRouter {
    post(token::exchange::<F>).with_state(route).fallback(error::method_not_allowed)
}
