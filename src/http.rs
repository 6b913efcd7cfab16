//! The router: five routes, and the layers around them.
//!
//! No rule about keys lives here; every status code is decided in `error`.

mod error;
mod health;
mod jwks;
mod metrics_page;
mod path;
mod request_body;
pub mod server;
mod shed_log;
mod token;

use std::sync::Arc;

use axum::Router;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{from_fn, map_response};
use axum::response::Response;
use axum::routing::{MethodRouter, any, get, post};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use self::error::too_late;
use self::server::Drain;
use self::shed_log::ShedLog;
use crate::exchange::{Autojoin, Exchange, Integration, TokenFamily};
use crate::signer::Signer;
use crate::telemetry::metrics::Metrics;

/// The service port: exchanges, the key set, and signs of life.
///
/// # Errors
/// When a metric exists already: the service was built twice on the same [`Metrics`].
pub fn service(
    exchange: &Exchange,
    signer: Arc<Signer>,
    metrics: &Metrics,
    drain: &Drain,
) -> prometheus::Result<Router> {
    let shed = ShedLog::default();
    let is_ready = any(health::ready).with_state((Arc::clone(&signer), drain.clone()));
    let routes = Router::new()
        .route("/v0/token/autojoin", token_route::<Autojoin>(exchange, metrics, &shed)?)
        .route("/v0/token/integration", token_route::<Integration>(exchange, metrics, &shed)?)
        .route("/.well-known/jwks.json", get(jwks::jwk_set).with_state(signer))
        .route("/health", any(health::health))
        .route("/ready", is_ready)
        .method_not_allowed_fallback(error::method_not_allowed)
        .fallback(error::not_found);
    // Around the router, not in it: the path is made canonical before it is looked up.
    let layered = ServiceBuilder::new().layer(from_fn(path::canonical)).service(routes);
    Ok(Router::new().fallback_service(layered))
}

/// The metrics port.
pub fn metrics(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", any(metrics_page::page).with_state(metrics))
        .layer(CompressionLayer::new())
        .fallback(error::not_found)
}

fn token_route<F: TokenFamily>(
    exchange: &Exchange,
    metrics: &Metrics,
    shed: &ShedLog,
) -> prometheus::Result<MethodRouter> {
    let panics = metrics.clone();
    let figures = metrics.family::<F>()?;
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::from_fn_with_state(figures.clone(), token::measured))
        .layer(CatchPanicLayer::custom(move |panic| error::panicked(&panics, panic)));
    Ok(post(token::exchange::<F>)
        .with_state((exchange.clone(), figures, shed.clone()))
        // Around the handler alone: what the router refuses is not counted (contract, Metrics).
        .route_layer(layers)
        .fallback(error::method_not_allowed)
        .layer(map_response(forbid_storing)))
}

/// A token must not outlive its request in anybody's cache, and neither must a refusal.
async fn forbid_storing(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, error::NO_STORE);
    response
}
