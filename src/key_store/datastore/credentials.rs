//! Where the tokens come from that open Datastore, and how their source recovers.
//!
//! google-cloud-auth keeps and refreshes a token by itself, but two of its ends are final: a
//! permanent error stops its refresh for good, and where the machine has no CA bundle it panics.
//! Here both become a failure that says so, and the source is built anew a little later. No caller
//! waits here without a deadline of its own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gcloud_sdk::google_cloud_auth::build_errors;
use gcloud_sdk::google_cloud_auth::credentials::service_account::AccessSpecifier;
use gcloud_sdk::google_cloud_auth::credentials::{
    Builder, Credentials, external_account, impersonated, service_account, user_account,
};
use gcloud_sdk::{GoogleAuthHeaders, HeaderMap, error::ErrorKind};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::ConfigError;

const SCOPE: &str = "https://www.googleapis.com/auth/datastore";

/// How long a source that failed for good is left alone: long enough not to hammer a token
/// endpoint with every request, short enough that nobody waits for an operator.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

const PANICKED: &str = "the source of credentials panicked (is there a CA bundle?)";

/// Types of credentials files that tokens can be had with.
const TYPES: [&str; 4] =
    ["service_account", "authorized_user", "impersonated_service_account", "external_account"];

/// The headers that authenticate a call, for as long as the process lives.
#[derive(Debug)]
pub(super) struct TokenSource {
    file: Option<PathBuf>,
    current: Mutex<Arc<Generation>>,
}

/// One build of the credentials.
#[derive(Debug)]
pub(super) struct Generation {
    built_at: Instant,
    headers: OnceCell<GoogleAuthHeaders>,
    /// Why this build will never give a right token again.
    spent: OnceLock<String>,
}

impl Generation {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            built_at: Instant::now(),
            headers: OnceCell::new(),
            spent: OnceLock::new(),
        })
    }

    /// Has the credentials built anew for a later call: the store did not take their token.
    ///
    /// A token can look valid and be expired, because the clock that its age is counted on stands
    /// still while the machine is stopped.
    pub(super) fn reject(&self) {
        let _ = self.spent.set("the key store did not accept the token".to_owned());
    }
}

impl TokenSource {
    /// Checks the credentials file, if there is one, and asks nobody for a token yet.
    pub(super) fn new(file: Option<PathBuf>) -> Result<Self, ConfigError> {
        if let Some(path) = &file {
            read(path)
                .map_err(|reason| ConfigError::CredentialsFile { path: path.clone(), reason })?;
        }
        Ok(Self { file, current: Mutex::new(Generation::new()) })
    }

    /// The headers of a token that is valid by our clock, and the build they come from.
    ///
    /// # Errors
    /// The words of whoever refused, for the operator.
    pub(super) async fn headers(&self) -> Result<(Arc<HeaderMap>, Arc<Generation>), String> {
        let generation = self.generation();
        if let Some(reason) = generation.spent.get() {
            return Err(reason.clone());
        }
        let (file, asked) = (self.file.clone(), Arc::clone(&generation));
        // A task of its own, because the library can panic; and the caller's no longer than that.
        let asking = tokio::spawn(async move {
            let headers = asked.headers.get_or_try_init(|| build(file)).await?;
            headers.headers().await.map_err(Refusal::from)
        });
        match AbortOnDropHandle::new(asking).await {
            Ok(Ok(headers)) => Ok((headers, generation)),
            Ok(Err(Refusal { reason, passing: true })) => Err(reason),
            Ok(Err(Refusal { reason, passing: false })) => {
                Err(generation.spent.get_or_init(|| reason).clone())
            }
            Err(_panicked) => Err(generation.spent.get_or_init(|| PANICKED.to_owned()).clone()),
        }
    }

    fn generation(&self) -> Arc<Generation> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.spent.get().is_some() && current.built_at.elapsed() >= RENEWAL_PAUSE {
            *current = Generation::new();
        }
        Arc::clone(&current)
    }
}

/// Why there is no token, and whether the same source may have one later.
struct Refusal {
    reason: String,
    passing: bool,
}

impl Refusal {
    fn lasting(error: &dyn std::error::Error) -> Self {
        Self { reason: super::with_causes(error), passing: false }
    }
}

impl From<gcloud_sdk::error::Error> for Refusal {
    fn from(error: gcloud_sdk::error::Error) -> Self {
        // That error hides what led to it.
        match error.kind() {
            ErrorKind::Credentials(cause) => {
                Self { passing: cause.is_transient(), ..Self::lasting(cause) }
            }
            _ => Self::lasting(&error),
        }
    }
}

async fn build(file: Option<PathBuf>) -> Result<GoogleAuthHeaders, Refusal> {
    // A mounted file can be as far away as the service that it is mounted from.
    let building = tokio::task::spawn_blocking(move || match file {
        None => Builder::default()
            .with_scopes([SCOPE])
            .build()
            .map_err(|error| Refusal::lasting(&error)),
        Some(path) => {
            let json = read(&path).map_err(|reason| Refusal { reason, passing: false })?;
            of_file(json).map_err(|error| Refusal::lasting(&error))
        }
    });
    match building.await {
        Ok(built) => built.map(GoogleAuthHeaders::from),
        Err(_panicked) => Err(Refusal { reason: PANICKED.to_owned(), passing: false }),
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
