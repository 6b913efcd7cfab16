//! Where the tokens come from that open Datastore, and how their source recovers.
//!
//! google-cloud-auth keeps and refreshes a token by itself, but two of its ends are final: a
//! permanent error stops its refresh for good, and where the machine has no CA bundle it panics.
//! After any other error it rests for ten seconds, and it waits without end for a server that is
//! silent. Here each of these becomes a failure that says so, and the source is built anew a little
//! later; less and less often while the server is silent, since the library goes on waiting behind
//! each build. No caller waits here without a deadline of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use gcloud_sdk::google_cloud_auth::build_errors;
use gcloud_sdk::google_cloud_auth::credentials::service_account::AccessSpecifier;
use gcloud_sdk::google_cloud_auth::credentials::{
    Builder, Credentials, external_account, impersonated, service_account, user_account,
};
use gcloud_sdk::{GoogleAuthHeaders, HeaderMap, error::ErrorKind};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::ConfigError;
use super::errand::Errand;
use super::figures::Figures;

const SCOPE: &str = "https://www.googleapis.com/auth/datastore";

/// One getting of a token: as long as a caller waits at all.
const TOKEN_WITHIN: Duration = Duration::from_secs(4);

/// How long a source that failed for good is left alone: long enough not to hammer a token
/// endpoint with every request, short enough that nobody waits for an operator.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// The longest that it is left alone, after silence upon silence: each leaves a task of the library
/// behind until the server answers or closes, and four thousand a day are nothing.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);

const PANICKED: &str = "the source of credentials panicked (is there a CA bundle?)";

/// Types of credentials files that tokens can be had with.
const TYPES: [&str; 4] =
    ["service_account", "authorized_user", "impersonated_service_account", "external_account"];

/// The headers that authenticate a call, for as long as the process lives.
#[derive(Debug)]
pub(super) struct TokenSource {
    file: Option<PathBuf>,
    state: Mutex<State>,
    getting: Errand<Result<Arc<Build>, String>>,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct State {
    /// The last build that gave a token.
    current: Option<Arc<Build>>,
    begun_at: Option<Instant>,
    /// Why the build begun last is of no use.
    spent: Option<String>,
    /// How many builds in a row were met with silence.
    silences: u32,
}

impl State {
    /// Why there will be no token for now, so soon after the last build.
    fn rests(&self) -> Option<&str> {
        let is_over = self.begun_at?.elapsed() >= pause(self.silences);
        self.spent.as_deref().filter(|_| !is_over)
    }
}

/// From the beginning of one build to that of the next.
fn pause(silences: u32) -> Duration {
    let Some(earlier) = silences.checked_sub(1) else { return RENEWAL_PAUSE };
    let doubled = RENEWAL_PAUSE.saturating_mul(2_u32.saturating_pow(earlier));
    TOKEN_WITHIN + doubled.min(LONGEST_PAUSE)
}

/// One build of the credentials.
#[derive(Debug)]
pub(super) struct Build {
    headers: GoogleAuthHeaders,
}

impl Build {
    /// The headers of a token that is there and valid by our clock, without any waiting.
    fn headers_at_hand(&self) -> Option<Arc<HeaderMap>> {
        // The library panics here when its own task has.
        let look = || {
            let mut headers = pin!(self.headers.headers());
            headers.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        match catch_unwind(AssertUnwindSafe(look)) {
            Ok(Poll::Ready(Ok(headers))) => Some(headers),
            _ => None,
        }
    }
}

impl TokenSource {
    /// Checks the credentials file, if there is one, and asks nobody for a token yet.
    pub(super) fn new(file: Option<PathBuf>, figures: Arc<Figures>) -> Result<Self, ConfigError> {
        if let Some(path) = &file {
            read(path)
                .map_err(|reason| ConfigError::CredentialsFile { path: path.clone(), reason })?;
        }
        Ok(Self { file, state: Mutex::default(), getting: Errand::new(), figures })
    }

    /// The headers of a token that is valid by our clock, and the build they come from. The getting
    /// of a token takes its time and is not given up when its callers are gone.
    ///
    /// # Errors
    /// The words of whoever refused, for the operator.
    pub(super) async fn headers(self: &Arc<Self>) -> Result<(Arc<HeaderMap>, Arc<Build>), String> {
        let current = self.state().current.clone();
        if let Some(build) = current {
            if let Some(headers) = build.headers_at_hand() {
                return Ok((headers, build));
            }
            self.give_up(&build, "the token has expired and there is no other");
        }
        let got = self.getting.run(|| {
            let source = Arc::clone(self);
            async move { source.get().await }
        });
        let build = got.await.unwrap_or_else(|| Err(self.fail(PANICKED.to_owned())))?;
        let headers = build.headers_at_hand().ok_or("the token was over at once")?;
        Ok((headers, build))
    }

    /// Has the credentials built anew for the next call: the store did not take their token.
    ///
    /// A token can look valid and be expired, because the clock that its age is counted on stands
    /// still while the machine is stopped.
    pub(super) fn reject(&self, build: &Arc<Build>) {
        self.give_up(build, "the key store did not accept the token");
    }

    fn give_up(&self, build: &Arc<Build>, why: &str) {
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, build)) {
            state.current = None;
            state.spent = Some(why.to_owned());
        }
    }

    fn fail(&self, why: String) -> String {
        self.figures.count_failed_credentials();
        self.state().spent = Some(why.clone());
        why
    }

    async fn get(&self) -> Result<Arc<Build>, String> {
        {
            let mut state = self.state();
            if let Some(build) = &state.current {
                return Ok(Arc::clone(build));
            }
            if let Some(why) = state.rests() {
                return Err(why.to_owned());
            }
            let silences = state.silences;
            *state = State { begun_at: Some(Instant::now()), silences, ..State::default() };
        }
        self.figures.count_credentials();
        let getting = async {
            let headers = build(self.file.clone()).await?;
            headers.headers().await.map_err(Refusal::from)?;
            Ok::<_, Refusal>(Arc::new(Build { headers }))
        };
        let got = timeout(TOKEN_WITHIN, getting).await;
        {
            let mut state = self.state();
            state.silences = if got.is_err() { state.silences.saturating_add(1) } else { 0 };
        }
        let build = got
            .map_err(|_| self.fail(format!("no token within {TOKEN_WITHIN:?}")))?
            .map_err(|Refusal(reason)| self.fail(reason))?;
        self.state().current = Some(Arc::clone(&build));
        Ok(build)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no token.
struct Refusal(String);

impl From<gcloud_sdk::error::Error> for Refusal {
    fn from(error: gcloud_sdk::error::Error) -> Self {
        // That error hides what led to it.
        match error.kind() {
            ErrorKind::Credentials(cause) => Self(super::with_causes(cause)),
            _ => Self(super::with_causes(&error)),
        }
    }
}

async fn build(file: Option<PathBuf>) -> Result<GoogleAuthHeaders, Refusal> {
    // A mounted file can be as far away as the service that it is mounted from.
    let building = tokio::task::spawn_blocking(move || match file {
        None => Builder::default()
            .with_scopes([SCOPE])
            .build()
            .map_err(|error| Refusal(super::with_causes(&error))),
        Some(path) => {
            let json = read(&path).map_err(Refusal)?;
            of_file(json).map_err(|error| Refusal(super::with_causes(&error)))
        }
    });
    match building.await {
        Ok(built) => built.map(GoogleAuthHeaders::from),
        Err(_panicked) => Err(Refusal(PANICKED.to_owned())),
    }
}

fn of_file(json: Value) -> Result<Credentials, build_errors::Error> {
    match json["type"].as_str() {
        Some("service_account") => service_account::Builder::new(json)
            .with_access_specifier(AccessSpecifier::from_scopes([SCOPE]))
            .build(),
        Some("impersonated_service_account") => {
            impersonated::Builder::new(json).with_scopes([SCOPE]).build()
        }
        Some("external_account") => {
            external_account::Builder::new(json).with_scopes([SCOPE]).build()
        }
        _ => user_account::Builder::new(json).with_scopes([SCOPE]).build(),
    }
}

/// The JSON of a credentials file; the reasons repeat nothing of its content but its type.
fn read(path: &Path) -> Result<Value, String> {
    let content = std::fs::read(path).map_err(|error| error.to_string())?;
    let json: Value =
        serde_json::from_slice(&content).map_err(|error| format!("not JSON: {error}"))?;
    match json.get("type").and_then(Value::as_str) {
        Some(kind) if TYPES.contains(&kind) => Ok(json),
        Some(kind) => Err(format!("credentials of type {kind:?} are not supported")),
        None => Err("it states no type of credentials".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_stays_silent_is_asked_less_and_less_often() {
        let seconds = (0..8).map(|silences| pause(silences).as_secs()).collect::<Vec<_>>();
        assert_eq!(seconds, [1, 5, 6, 8, 12, 20, 20, 20]);
        assert_eq!(pause(u32::MAX).as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_rests_after_a_silence_and_then_tries_again() {
        let spent = Some("no token".to_owned());
        let state = State { begun_at: Some(Instant::now()), spent, silences: 2, current: None };
        tokio::time::advance(Duration::from_millis(5_999)).await;
        assert_eq!(state.rests(), Some("no token"));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(state.rests(), None);
    }
}
