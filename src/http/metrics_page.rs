//! `/metrics`, in the text format of Prometheus, version 0.0.4.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::telemetry::metrics::Metrics;

pub(super) async fn page(State(metrics): State<Metrics>) -> Response {
    match metrics.page() {
        Ok(page) => {
            ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
