//! One handler for every token family: read the key, exchange it, answer.

use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret as _;

use super::error::Rejection;
use super::request_body;
use super::shed_log::ShedLog;
use crate::exchange::{Exchange, ExchangeError, NoToken, TokenFamily};
use crate::signer::Token;
use crate::telemetry::metrics::FamilyMetrics;

/// `POST /v0/token/…`: `{"api_key":"…"}` in, `{"token":"…"}` and a newline out.
pub(super) async fn exchange<F: TokenFamily>(
    State((exchange, metrics, shed)): State<(Exchange, FamilyMetrics, ShedLog)>,
    request: Request,
) -> Result<Response, Rejection> {
    let outcome = token::<F>(&exchange, request).await;
    if let Err(rejection) = &outcome {
        match rejection {
            Rejection::Exchange(ExchangeError { why: NoToken::Busy(busy), .. }) => {
                shed.count(busy.why);
            }
            Rejection::Exchange(ExchangeError { why: NoToken::Refused(reason), .. }) => {
                metrics.count_refusal(reason);
                log::<F>(rejection);
            }
            _ => log::<F>(rejection),
        }
    }
    outcome.map(|token| granted(&token))
}

/// Counts and times every answer of a handler.
pub(super) async fn measured(
    State(metrics): State<FamilyMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let response = next.run(request).await;
    metrics.record(response.status(), begun.elapsed());
    response
}

async fn token<F: TokenFamily>(exchange: &Exchange, request: Request) -> Result<Token, Rejection> {
    exchange.has_room()?;
    let presented = request_body::api_key(request.into_body()).await?;
    Ok(exchange.exchange::<F>(presented).await?)
}

fn granted(token: &Token) -> Response {
    let token = token.reveal().expose_secret();
    let mut response =
        Response::new(Body::from(Bytes::from(format!("{{\"token\":\"{token}\"}}\n"))));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What the operator has to act on is loud; what callers do wrong is not.
fn log<F: TokenFamily>(rejection: &Rejection) {
    let family = F::NAME;
    let ExchangeError { key, why } = match rejection {
        Rejection::Body(reason) => {
            tracing::info!(family, %reason, "a request was refused");
            return;
        }
        Rejection::Exchange(error) => error,
    };
    // Ids may hold any character, also those that a terminal obeys.
    let key = key.as_ref().map(|name| tracing::field::display(name.escape_debug()));
    match why {
        NoToken::Failed(failure) => {
            tracing::error!(family, key, %failure, "no token could be made for a key that is right");
        }
        // Counted: see `shed_log`.
        NoToken::Busy(_) => {}
        NoToken::Unavailable(cause) => {
            tracing::warn!(family, key, %cause, "it could not be found out whether a key is right");
        }
        NoToken::Refused(reason) => tracing::info!(family, key, %reason, "a key was refused"),
    }
}
