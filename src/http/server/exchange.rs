//! One request and its answer: the routes as hyper's service.
//!
//! Tells the [`Conversation`] when a request begins and when its answer has been handed over, and
//! adds what a drain asks for: `Connection: close`, and the refusal when the time is up.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, Request, Response, header};
use hyper::body::{Frame, Incoming, SizeHint};

use super::conversation::Conversation;
use super::{Routes, Rules};
use crate::http::RequestId;

/// The routes, as one connection sees them.
pub(super) struct Exchange<R> {
    pub(super) routes: R,
    pub(super) conversation: Arc<Conversation>,
    pub(super) rules: Arc<Rules>,
}

impl<R: Routes> hyper::service::Service<Request<Incoming>> for Exchange<R> {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Handling<R::Future>;

    fn call(&self, request: Request<Incoming>) -> Handling<R::Future> {
        let turn = Turn::begin(Arc::clone(&self.conversation));
        let name = RequestId::given(request.headers());
        let answer = self.routes.clone().call(request);
        Handling { answer, turn: Some(turn), name, rules: Arc::clone(&self.rules) }
    }
}

/// The time between a request's head and the end of its answer.
struct Turn(Arc<Conversation>);

impl Turn {
    fn begin(conversation: Arc<Conversation>) -> Self {
        conversation.handling();
        Self(conversation)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.answered();
    }
}

/// A request being handled.
pub(super) struct Handling<F> {
    answer: F,
    turn: Option<Turn>,
    name: Option<RequestId>,
    rules: Arc<Rules>,
}

impl<F> Future for Handling<F>
where
    F: Future<Output = Result<Response<Body>, Infallible>> + Unpin,
{
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = if self.turn.as_ref().is_some_and(|turn| turn.0.is_too_late()) {
            self.rules.figures.count_too_late();
            let name = self.name.take();
            (self.rules.too_late)(name)
        } else {
            match ready!(Pin::new(&mut self.answer).poll(cx)) {
                Ok(response) => response,
            }
        };
        if self.rules.drain.has_started() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let turn = self.turn.take();
        Poll::Ready(Ok(response.map(|body| Answer { body, _turn: turn })))
    }
}

/// The body of an answer. hyper drops it once it has all of it.
pub(super) struct Answer {
    body: Body,
    _turn: Option<Turn>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
