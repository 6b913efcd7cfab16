//! One handler for every token family: read the key, exchange it, record it, answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode, Version};
use axum::response::Response;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;

use super::error::{NO_STORE, Rejection, overloaded};
use super::request_body;
use super::request_id::{RequestId, X_REQUEST_ID};
use super::shed_log::ShedLog;
use crate::exchange::{Busy, Exchange, Reason, Report, TokenFamily};
use crate::signer::Token;
use crate::telemetry::audit::{Audit, Cause, Record};
use crate::telemetry::metrics::FamilyMetrics;
use crate::telemetry::traces::{RequestTrace, Traces};

/// What the handler of one family works with.
pub(super) struct TokenRoute {
    pub(super) exchange: Exchange,
    pub(super) metrics: FamilyMetrics,
    pub(super) shed: ShedLog,
    pub(super) audit: Audit,
    pub(super) traces: Traces,
}

/// `POST /v0/token/…`: `{"api_key":"…"}` in, `{"token":"…"}` and a newline out.
pub(super) async fn exchange<F: TokenFamily>(
    State(route): State<Arc<TokenRoute>>,
    request: Request,
) -> Response {
    let begun = Instant::now();
    let (head, body) = request.into_parts();
    let given = RequestId::given(&head.headers);
    let (id, mut response) = match route.exchange.has_room() {
        Ok(()) => {
            let id = given.unwrap_or_else(|| RequestId::made(route.exchange.random()));
            let under_way = UnderWay {
                route: &route,
                family: F::NAME,
                request_id: id.clone(),
                trace: route.traces.enter(&head.headers),
                version: head.version,
                begun,
                report: Report::default(),
                is_over: false,
            };
            (Some(id), under_way.answer::<F>(body).await)
        }
        // As cheap as can be: no record, and no name for what no record speaks of.
        Err(busy) => {
            route.turned_away(busy);
            (given, overloaded(busy))
        }
    };
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id.into_header());
    }
    route.metrics.record(response.status(), begun.elapsed());
    response
}

impl TokenRoute {
    fn turned_away(&self, busy: Busy) {
        self.shed.count(busy.why);
        self.metrics.count_rejection(busy.why.reason());
    }
}

/// An exchange that got past the door. Dropped before it has its answer, it is recorded all the
/// same.
struct UnderWay<'a> {
    route: &'a TokenRoute,
    family: &'static str,
    request_id: RequestId,
    trace: Option<RequestTrace>,
    version: Version,
    begun: Instant,
    report: Report,
    is_over: bool,
}

impl UnderWay<'_> {
    async fn answer<F: TokenFamily>(mut self, body: Body) -> Response {
        let token = token::<F>(&self.route.exchange, body, &mut self.report);
        // The panic's own text may hold anything, so it is not repeated.
        let outcome = AssertUnwindSafe(token).catch_unwind().await;
        let (response, rejection) = match outcome.unwrap_or(Err(Rejection::Panicked)) {
            Ok(token) => (granted(&token), None),
            Err(rejection) => (rejection.response(), Some(rejection)),
        };
        let rejected = rejection.as_ref().map(Rejection::reason);
        let busy = rejection.as_ref().and_then(Rejection::busy);
        let cause = rejection.and_then(Rejection::into_cause);
        let record = self.close(Some(response.status()), rejected, cause);
        if let Err(unrecorded) = self.route.audit.keep(Arc::clone(&record)).await {
            let rejection = Rejection::from(unrecorded);
            self.route.metrics.count_rejection(rejection.reason());
            let response = rejection.response();
            self.route.traces.record(&Arc::new(record.unrecorded(Some(response.status()))));
            return response;
        }
        self.route.traces.record(&record);
        match (busy, rejected) {
            (Some(busy), _) => self.route.turned_away(busy),
            (None, Some(reason)) => self.route.metrics.count_rejection(reason),
            (None, None) => {}
        }
        response
    }

    /// The record of what it has come to, which ends now.
    fn close(
        &mut self,
        status: Option<StatusCode>,
        rejected: Option<Reason>,
        cause: Option<Cause>,
    ) -> Arc<Record> {
        self.is_over = true;
        Arc::new(Record {
            family: self.family,
            request_id: self.request_id.clone(),
            trace: self.trace,
            version: self.version,
            begun: self.begun,
            ended_at: Timestamp::now(),
            latency: self.begun.elapsed(),
            status,
            rejected,
            cause,
            report: std::mem::take(&mut self.report),
        })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.route.metrics.count_rejection(Reason::Abandoned);
            let record = self.close(None, Some(Reason::Abandoned), None);
            self.route.audit.note(Arc::clone(&record));
            self.route.traces.record(&record);
        }
    }
}

async fn token<F: TokenFamily>(
    exchange: &Exchange,
    body: Body,
    report: &mut Report,
) -> Result<Token, Rejection> {
    let presented = request_body::api_key(body).await?;
    Ok(exchange.exchange::<F>(presented, report).await?)
}

fn granted(token: &Token) -> Response {
    let body = [r#"{"token":""#, token.reveal().expose_secret(), "\"}\n"].concat();
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // A token must not outlive its request in anybody's cache.
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}
