//! `/metrics`, in the text format of Prometheus, version 0.0.4.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::error;
use crate::telemetry::metrics::Metrics;

pub(super) async fn page(State(metrics): State<Metrics>) -> Response {
    const CONTENT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match metrics.page() {
        Ok(page) => ([(CONTENT_TYPE, CONTENT)], page).into_response(),
        Err(cause) => error::no_page(&cause),
    }
}
