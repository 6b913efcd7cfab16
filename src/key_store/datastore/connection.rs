//! One question to Datastore: the attempts at it, their deadlines, what is tried again.
//!
//! Nothing here knows what is asked. Token and connection are fetched in the rooms below.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use backon::BackoffBuilder as _;
use gcloud_sdk::google::datastore::v1::datastore_client::DatastoreClient;
use gcloud_sdk::google::datastore::v1::{
    CommitRequest, CommitResponse, LookupRequest, LookupResponse, RunQueryRequest, RunQueryResponse,
};
use gcloud_sdk::tonic::metadata::{AsciiMetadataValue, MetadataMap};
use gcloud_sdk::tonic::transport::Channel;
use gcloud_sdk::tonic::{Request, Status};
use gcloud_sdk::{HeaderMap, prost_types};
use tokio::time::{Instant, sleep, timeout_at};

use super::clock_skew::ClockSkew;
use super::credentials::{Build, TokenSource};
use super::failure::{Failure, Wording};
use super::figures::{DatastoreHealth, Figures};
use super::line::{Line, Lines};
use super::retry::{Budget, pauses};
use super::{ConfigError, DatastoreConfig, Patience, Place};
use crate::environment::Clock;

/// Connections that one attempt is handed to, until one takes it. Google's servers end theirs once
/// an hour, and a call can meet the end of one; of more in a row something else is the matter.
const MAX_LINES: usize = 3;

/// One method of the Datastore API.
pub(super) trait Method: Clone + Send + 'static {
    /// As the API calls it.
    const NAME: &'static str;
    type Answer: Send;

    fn send(
        client: DatastoreClient<Channel>,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Self::Answer, Status>> + Send;

    /// What time it was at the store.
    fn time_of(answer: &Self::Answer) -> Option<prost_types::Timestamp>;
}

macro_rules! methods {
    ($($request:ty => $answer:ty: $name:ident, $time:expr;)+) => {$(
        impl Method for $request {
            const NAME: &'static str = stringify!($name);
            type Answer = $answer;

            async fn send(
                mut client: DatastoreClient<Channel>,
                request: Request<Self>,
            ) -> Result<Self::Answer, Status> {
                client.$name(request).await.map(|answer| answer.into_inner())
            }

            fn time_of(answer: &Self::Answer) -> Option<prost_types::Timestamp> {
                let time: fn(&Self::Answer) -> _ = $time;
                time(answer)
            }
        }
    )+};
}
methods! {
    LookupRequest => LookupResponse: lookup, |answer| answer.read_time;
    RunQueryRequest => RunQueryResponse: run_query, |answer| answer.batch.as_ref()?.read_time;
    CommitRequest => CommitResponse: commit, |answer| answer.commit_time;
}

/// The way to Datastore, or to an emulator.
pub(super) struct Connection {
    lines: Arc<Lines>,
    /// `None` for an emulator, which wants no credentials and must not be given any.
    tokens: Option<Arc<TokenSource>>,
    routing: AsciiMetadataValue,
    budget: Budget,
    clock: Arc<dyn Clock>,
    clock_skew: ClockSkew,
    figures: Arc<Figures>,
}

/// What authenticates a call, and where it comes from.
type Token = (Arc<HeaderMap>, Arc<Build>);

impl Connection {
    /// Prepares everything and sends nothing.
    pub(super) fn new(
        config: &DatastoreConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let figures = Arc::<Figures>::default();
        let tokens = match &config.place {
            Place::Emulator { .. } => None,
            Place::Google { credentials_file, .. } => {
                let source = TokenSource::new(credentials_file.clone(), Arc::clone(&figures))?;
                Some(Arc::new(source))
            }
        };
        // The service routes a call by this header (google.api.routing), not by the message.
        let routing = format!("project_id={}", config.project_id.replace(':', "%3A"))
            .parse()
            .map_err(|_| ConfigError::ProjectId(config.project_id.clone()))?;
        let lines = Lines::new(config, Arc::clone(&figures))?;
        let (budget, clock_skew) = (Budget::new(), ClockSkew::default());
        Ok(Self { lines, tokens, routing, budget, clock, clock_skew, figures })
    }

    pub(super) fn health(&self) -> DatastoreHealth {
        self.figures.health(self.budget.left(Instant::now()), self.clock_skew.seconds())
    }

    /// Asks until there is an answer, for as long as there is hope, time and budget.
    pub(super) async fn ask<M: Method + Sync>(
        &self,
        request: &M,
        patience: Patience<'_>,
        wording: Wording,
    ) -> Result<M::Answer, Failure> {
        let Patience { attempt: attempt_limit, deadline, noted_in } = patience;
        self.budget.deposit();
        let mut pauses = pauses().build();
        loop {
            let note = noted_in.map(|log| (log, log.begin(M::NAME)));
            let attempt = self.call(request.clone(), attempt_limit, deadline, wording).await;
            if let Some((log, begun)) = note {
                log.end(begun, attempt.as_ref().err().map(|failure| failure.unavailable.kind));
            }
            let Err(failure) = attempt else { return attempt };
            let left = deadline.saturating_duration_since(Instant::now());
            let pause = pauses.next().filter(|pause| *pause < left && self.may_help(&failure));
            let Some(pause) = pause else { return Err(failure) };
            // What did not reach the store was no burden to it. The budget is looked at now, so that
            // a refusal is quick, and drawn on when the retry is sent.
            let is_burden = failure.was_sent();
            if is_burden && self.budget.left(Instant::now()) == 0 {
                return self.forgo(failure);
            }
            sleep(pause).await;
            if is_burden && !self.budget.withdraw(Instant::now()) {
                return self.forgo(failure);
            }
            self.figures.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn forgo<T>(&self, failure: Failure) -> Result<T, Failure> {
        self.figures.retries_forgone.fetch_add(1, Ordering::Relaxed);
        Err(failure)
    }

    fn may_help(&self, failure: &Failure) -> bool {
        // Credentials that were refused are built anew for the next attempt.
        failure.is_passing() || (self.tokens.is_some() && failure.is_of_the_token())
    }

    /// Makes one attempt. Its time begins when token and connection are there; waiting for them
    /// counts against the deadline alone: it is rare, and a cold start may take all the time there is.
    pub(super) async fn call<M: Method>(
        &self,
        message: M,
        attempt_limit: Duration,
        deadline: Instant,
        wording: Wording,
    ) -> Result<M::Answer, Failure> {
        let mut lines_left = MAX_LINES;
        loop {
            let (token, line) =
                tokio::try_join!(biased; self.token(deadline), self.line(deadline))?;
            let request = self.request(message.clone(), token.as_ref());
            let until = deadline.min(Instant::now() + attempt_limit);
            let outcome = self.send(request, &line, until, wording).await;
            let Err(failure) = &outcome else { return outcome };
            if failure.is_of_the_token()
                && let (Some(tokens), Some((_, build))) = (&self.tokens, &token)
            {
                tokens.reject(build);
            }
            lines_left -= 1;
            if !failure.is_untaken() || lines_left == 0 {
                return outcome;
            }
        }
    }

    /// Sends a request, and leaves the connection when it is of no use any more.
    async fn send<M: Method>(
        &self,
        request: Request<M>,
        line: &Arc<Line>,
        until: Instant,
        wording: Wording,
    ) -> Result<M::Answer, Failure> {
        let (answers_before, begun) = (line.answers(), Instant::now());
        let sent = self.clock.moment();
        let outcome = match timeout_at(until, M::send(line.client.clone(), request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => Err(Failure::of(&status, wording)),
            Err(_) => Err(Failure::overdue()),
        };
        match &outcome {
            Ok(answer) => {
                line.count_answer();
                if let Some(store_time) = M::time_of(answer) {
                    self.clock_skew.observe(sent, store_time, self.clock.moment());
                }
            }
            Err(failure) if failure.is_answer() => line.count_answer(),
            // A connection that died while the machine was stopped looks alive for minutes; one
            // that others were answered over meanwhile is alive.
            Err(failure) if failure.is_overdue() && line.answers() != answers_before => {}
            Err(_) => self.lines.leave(line),
        }
        if !matches!(&outcome, Err(failure) if failure.is_untaken()) {
            self.figures.record(&outcome, begun.elapsed());
        }
        outcome
    }

    fn request<M>(&self, message: M, token: Option<&Token>) -> Request<M> {
        let mut request = Request::new(message);
        if let Some((headers, _)) = token {
            *request.metadata_mut() = MetadataMap::from_headers(HeaderMap::clone(headers));
        }
        request.metadata_mut().insert("x-goog-request-params", self.routing.clone());
        request
    }

    async fn token(&self, deadline: Instant) -> Result<Option<Token>, Failure> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        timeout_at(deadline, tokens.headers())
            .await
            .unwrap_or_else(|_| Err("no token within the deadline".to_owned()))
            .map(Some)
            .map_err(Failure::no_token)
    }

    async fn line(&self, deadline: Instant) -> Result<Arc<Line>, Failure> {
        let none_in_time = || Failure::no_connection("none within the deadline".to_owned());
        timeout_at(deadline, self.lines.line()).await.unwrap_or_else(|_| Err(none_in_time()))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("lines", &self.lines).finish_non_exhaustive()
    }
}
