//! One call to Datastore: the connection, the deadlines, what is tried again, what a failure means.
//!
//! Nothing here knows what is asked.

use std::error::Error as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable as _};
use gcloud_sdk::HeaderMap;
use gcloud_sdk::google::datastore::v1::datastore_client::DatastoreClient;
use gcloud_sdk::google::datastore::v1::{
    CommitRequest, CommitResponse, LookupRequest, LookupResponse, RunQueryRequest, RunQueryResponse,
};
use gcloud_sdk::tonic::metadata::{AsciiMetadataValue, MetadataMap};
use gcloud_sdk::tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use gcloud_sdk::tonic::{Code, ConnectError, Request, Status};
use tokio::time::{Instant, timeout_at};

use super::credentials::{Generation, TokenSource};
use super::{ConfigError, DatastoreConfig};
use crate::key_store::{Unavailable, UnavailableKind};

const GOOGLE: &str = "https://datastore.googleapis.com";
const GOOGLE_DOMAIN: &str = "datastore.googleapis.com";

/// How long one connection may take to be made. Longer than an attempt at a question, which gives
/// up on the answer and not on the connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Attempts at one question, the first included.
const ATTEMPTS: usize = 3;
/// Pauses between attempts grow from the shorter to the longer, up to doubled by jitter: three
/// attempts of the longest length and their pauses stay within a caller's deadline of four seconds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The bound of what a failure says; a message of a server has none.
const MAX_DETAIL_CHARACTERS: usize = 1000;

/// One method of the Datastore API.
pub(super) trait Method: Clone + Send + 'static {
    type Answer: Send;

    fn send(
        client: DatastoreClient<Channel>,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Self::Answer, Status>> + Send;
}

macro_rules! methods {
    ($($request:ty => $answer:ty: $name:ident),+ $(,)?) => {$(
        impl Method for $request {
            type Answer = $answer;

            async fn send(
                mut client: DatastoreClient<Channel>,
                request: Request<Self>,
            ) -> Result<Self::Answer, Status> {
                client.$name(request).await.map(|answer| answer.into_inner())
            }
        }
    )+};
}
methods! {
    LookupRequest => LookupResponse: lookup,
    RunQueryRequest => RunQueryResponse: run_query,
    CommitRequest => CommitResponse: commit,
}

/// Whether a server's message may be repeated to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wording {
    Kept,
    /// The request holds an organization's API key, and a server may quote what it was sent.
    CodeOnly,
}

/// A call without an answer that could be used.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) unavailable: Unavailable,
    /// `None` where no server and no transport had its say.
    pub(super) code: Option<Code>,
    cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Nothing left this machine.
    NotSent,
    /// The connection broke, or the answer is overdue.
    Cut,
    /// The server said so.
    Answered,
}

impl From<Failure> for Unavailable {
    fn from(failure: Failure) -> Self {
        failure.unavailable
    }
}

impl Failure {
    fn no_token(detail: String) -> Self {
        Self {
            unavailable: Unavailable { kind: UnavailableKind::Credentials, detail: short(detail) },
            code: None,
            cause: Cause::NotSent,
        }
    }

    fn overdue() -> Self {
        Self {
            unavailable: Unavailable {
                kind: UnavailableKind::TooSlow,
                detail: "no answer within the deadline".to_owned(),
            },
            code: None,
            cause: Cause::Cut,
        }
    }

    /// An answer that says neither yes nor no.
    pub(super) fn unusable_answer(kind: UnavailableKind, detail: &str) -> Self {
        Self {
            unavailable: Unavailable { kind, detail: detail.to_owned() },
            code: None,
            cause: Cause::Answered,
        }
    }

    fn of(status: &Status, wording: Wording) -> Self {
        // What came over the wire has no source; what the layers below have to say always has one.
        let cause = match status.source() {
            None => Cause::Answered,
            Some(source) if is_connect_error(source) => Cause::NotSent,
            Some(_) => Cause::Cut,
        };
        let kind = match status.code() {
            _ if cause != Cause::Answered => UnavailableKind::Unreachable,
            Code::Unavailable => UnavailableKind::Unreachable,
            Code::Unauthenticated => UnavailableKind::Credentials,
            Code::DeadlineExceeded | Code::Cancelled => UnavailableKind::TooSlow,
            Code::PermissionDenied
            | Code::NotFound
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::Unimplemented => UnavailableKind::Refused,
            _ => UnavailableKind::Failed,
        };
        let detail = match (cause, wording) {
            (Cause::Answered, Wording::CodeOnly) => format!("{:?}", status.code()),
            (Cause::Answered, Wording::Kept) => {
                format!("{:?}: {}", status.code(), status.message())
            }
            // The words of the layers below: they never see a message's content.
            _ => status.source().map_or_else(String::new, super::with_causes),
        };
        Self {
            unavailable: Unavailable { kind, detail: short(detail) },
            code: Some(status.code()),
            cause,
        }
    }

    /// Whether the same question may be answered a moment later.
    pub(super) fn is_passing(&self) -> bool {
        match self.cause {
            Cause::Cut => true,
            Cause::NotSent => self.code.is_some(),
            Cause::Answered => matches!(
                self.code,
                None | Some(
                    Code::Unavailable
                        | Code::DeadlineExceeded
                        | Code::Aborted
                        | Code::Internal
                        // The credentials are built anew for the next attempt.
                        | Code::Unauthenticated
                )
            ),
        }
    }

    /// Whether a commit that ended like this may have been made all the same.
    pub(super) fn leaves_outcome_open(&self) -> bool {
        match self.cause {
            Cause::NotSent => false,
            Cause::Cut => true,
            Cause::Answered => !matches!(
                self.code,
                Some(
                    Code::InvalidArgument
                        | Code::NotFound
                        | Code::AlreadyExists
                        | Code::PermissionDenied
                        | Code::Unauthenticated
                        | Code::ResourceExhausted
                        | Code::FailedPrecondition
                        | Code::Aborted
                        | Code::OutOfRange
                        | Code::Unimplemented
                )
            ),
        }
    }
}

fn is_connect_error(mut error: &(dyn std::error::Error + 'static)) -> bool {
    loop {
        if error.is::<ConnectError>() {
            return true;
        }
        match error.source() {
            Some(source) => error = source,
            None => return false,
        }
    }
}

fn short(detail: String) -> String {
    match detail.char_indices().nth(MAX_DETAIL_CHARACTERS) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None => detail,
    }
}

/// The pauses between the attempts at one request.
pub(super) fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(SHORTEST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
}

/// The way to Datastore, or to an emulator.
#[derive(Debug)]
pub(super) struct Connection {
    endpoint: Endpoint,
    /// `None` for an emulator, which wants no credentials and must not be given any.
    tokens: Option<TokenSource>,
    routing: AsciiMetadataValue,
    line: Mutex<Arc<Line>>,
}

/// One channel, and whether anything ever came back over it.
#[derive(Debug)]
struct Line {
    client: DatastoreClient<Channel>,
    answered: AtomicBool,
}

impl Line {
    /// Connects with the first call.
    fn new(endpoint: &Endpoint) -> Arc<Self> {
        let client = DatastoreClient::new(endpoint.connect_lazy());
        Arc::new(Self { client, answered: AtomicBool::new(false) })
    }
}

impl Connection {
    /// Prepares everything and sends nothing.
    pub(super) fn new(config: &DatastoreConfig) -> Result<Self, ConfigError> {
        let (endpoint, tokens) = match &config.emulator_host {
            Some(host) => (emulator(host)?, None),
            None => (google()?, Some(TokenSource::new(config.credentials_file.clone())?)),
        };
        let endpoint = endpoint
            .connect_timeout(CONNECT_WITHIN)
            .user_agent(concat!("token-exchange/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| ConfigError::Transport(super::with_causes(&error)))?;
        // The service routes a call by this header (google.api.routing), not by the message.
        let routing = format!("project_id={}", config.project_id.replace(':', "%3A"))
            .parse()
            .map_err(|_| ConfigError::ProjectId(config.project_id.clone()))?;
        let line = Mutex::new(Line::new(&endpoint));
        Ok(Self { endpoint, tokens, routing, line })
    }

    /// Asks until there is an answer, for as long as there is hope and time.
    pub(super) async fn ask<M: Method + Sync>(
        &self,
        request: &M,
        attempt_limit: Duration,
        deadline: Instant,
        wording: Wording,
    ) -> Result<M::Answer, Failure> {
        let attempts = (|| self.call(request.clone(), attempt_limit, deadline, wording))
            .retry(pauses())
            .when(Failure::is_passing);
        timeout_at(deadline, attempts).await.unwrap_or_else(|_| Err(Failure::overdue()))
    }

    /// Makes one attempt. Waiting for a token counts against the deadline alone: it is rare, and a
    /// cold start may take all the time there is.
    pub(super) async fn call<M: Method>(
        &self,
        message: M,
        attempt_limit: Duration,
        deadline: Instant,
        wording: Wording,
    ) -> Result<M::Answer, Failure> {
        let mut request = Request::new(message);
        let generation = self.authenticate(request.metadata_mut(), deadline).await?;
        request.metadata_mut().insert("x-goog-request-params", self.routing.clone());

        let line = self.line();
        let until = deadline.min(Instant::now() + attempt_limit);
        match timeout_at(until, M::send(line.client.clone(), request)).await {
            Ok(Ok(answer)) => {
                line.answered.store(true, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(status)) => {
                let failure = Failure::of(&status, wording);
                match failure.cause {
                    Cause::Answered => line.answered.store(true, Ordering::Relaxed),
                    Cause::Cut => self.leave(&line),
                    Cause::NotSent => {}
                }
                if let (Code::Unauthenticated, Some(generation)) = (status.code(), generation) {
                    generation.reject();
                }
                Err(failure)
            }
            Err(_) => {
                self.leave(&line);
                Err(Failure::overdue())
            }
        }
    }

    async fn authenticate(
        &self,
        metadata: &mut MetadataMap,
        deadline: Instant,
    ) -> Result<Option<Arc<Generation>>, Failure> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        let (headers, generation) = timeout_at(deadline, tokens.headers())
            .await
            .unwrap_or_else(|_| Err("no token within the deadline".to_owned()))
            .map_err(Failure::no_token)?;
        *metadata = MetadataMap::from_headers(HeaderMap::clone(&headers));
        Ok(Some(generation))
    }

    fn line(&self) -> Arc<Line> {
        Arc::clone(&self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has the next call connect anew. A connection that died while the machine was stopped looks
    /// alive for minutes; one that never answered may be about to be made, and is waited for.
    fn leave(&self, silent: &Arc<Line>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&line, silent) && silent.answered.load(Ordering::Relaxed) {
            *line = Line::new(&self.endpoint);
        }
    }
}

fn google() -> Result<Endpoint, ConfigError> {
    let tls = ClientTlsConfig::new().with_webpki_roots().domain_name(GOOGLE_DOMAIN);
    Endpoint::from_static(GOOGLE)
        .tls_config(tls)
        .map_err(|error| ConfigError::Transport(super::with_causes(&error)))
}

fn emulator(host: &str) -> Result<Endpoint, ConfigError> {
    let authority = host.strip_prefix("http://").unwrap_or(host);
    Endpoint::from_shared(format!("http://{authority}"))
        .map_err(|_| ConfigError::EmulatorHost(host.to_owned()))
}
