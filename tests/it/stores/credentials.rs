//! Credentials that cannot be used, that are refused, and that are to be had later.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use token_exchange::environment::System;
use token_exchange::key_store::datastore::{ConfigError, DatastoreConfig, DatastoreStore, Place};
use token_exchange::key_store::{Unavailable, UnavailableKind};
use tokio::net::TcpListener;

use super::engine::{INTEGRATION, PLATFORM, integration_id, key_id};
use crate::support::ask::Ask as _;
use crate::support::stand_in::SilentStore;

/// Set where a test runs itself again in a process of its own.
const CHILD: &str = "TOKEN_EXCHANGE_TEST_CHILD";

#[tokio::test]
async fn a_credentials_file_that_cannot_be_used_is_an_error_of_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credentials.json");
    assert!(connect(Some(file.clone())).unwrap_err().to_string().contains("No such file"));
    for unusable in ["", "not JSON", "[]", "{}", r#"{"type":7}"#, r#"{"type":"no_such_type"}"#] {
        std::fs::write(&file, unusable).unwrap();
        let error = connect(Some(file.clone())).unwrap_err();
        assert!(matches!(error, ConfigError::CredentialsFile { .. }), "{unusable:?}: {error}");
    }
    std::fs::write(&file, r#"{"type":"authorized_user"}"#).unwrap();
    connect(Some(file)).unwrap();
}

#[tokio::test]
async fn a_credentials_file_without_what_its_type_needs_is_unavailable_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (number, kind) in
        ["service_account", "authorized_user", "impersonated_service_account", "external_account"]
            .into_iter()
            .enumerate()
    {
        let file = folder.path().join(number.to_string());
        std::fs::write(&file, json!({ "type": kind }).to_string()).unwrap();
        let error = ask(&connect(Some(file)).unwrap()).await.unwrap_err();
        assert_eq!(error.kind, UnavailableKind::Credentials, "{kind}: {error}");
    }
}

#[tokio::test]
async fn a_source_that_refused_for_good_is_asked_again_and_then_believed() {
    let token = json!({
        "access_token": "a-token-that-must-not-be-repeated",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    });
    let tokens = TokenServer::start(move |number| {
        if number < 3 {
            (StatusCode::BAD_REQUEST, json!({ "error": "not_now" }).to_string())
        } else {
            (StatusCode::OK, token.to_string())
        }
    })
    .await;
    let store = connect(Some(tokens.credentials())).unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let error = ask(&store).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("must-not-be-repeated"));
        // With a token the failure is another one: Datastore is silent.
        if !error.detail.contains("not_now") {
            break;
        }
        assert_eq!(error.kind, UnavailableKind::Credentials, "{error}");
        assert!(Instant::now() < deadline, "never asked again");
        tokio::task::yield_now().await;
    }
    assert_eq!(tokens.asked(), 4);
}

#[tokio::test]
async fn a_source_that_is_down_is_unavailable_in_time() {
    // It accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let store = connect(Some(external_account(folder.path(), &address))).unwrap();
    let began = Instant::now();
    assert_eq!(ask(&store).await.unwrap_err().kind, UnavailableKind::Credentials);
    assert!(began.elapsed() < Duration::from_secs(4 + 1), "{:?}", began.elapsed());
}

/// To a Datastore that takes connections and is silent, so that the credentials decide.
fn connect(credentials_file: Option<PathBuf>) -> Result<DatastoreStore, ConfigError> {
    static SILENT: LazyLock<SilentStore> = LazyLock::new(SilentStore::start);
    let endpoint = format!("https://{}", SILENT.host());
    let config = DatastoreConfig {
        project_id: "project".to_owned(),
        platform_namespace: PLATFORM.to_owned(),
        integration_namespace: INTEGRATION.to_owned(),
        place: Place::Google { endpoint, ca_file: None, credentials_file },
    };
    DatastoreStore::connect(config, Arc::new(System))
}

async fn ask(store: &DatastoreStore) -> Result<(), Unavailable> {
    store.look_up(&integration_id("acme"), &key_id("ki_first")).await.map(|_| ())
}

/// An endpoint that gives tokens or does not; it ends with the test's runtime.
struct TokenServer {
    folder: TempDir,
    address: String,
    asked: Arc<AtomicUsize>,
}

impl TokenServer {
    async fn start(answer: impl Fn(usize) -> (StatusCode, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let (answer, counter) = (Arc::new(answer), Arc::clone(&asked));
        let router = axum::Router::new().fallback(move || {
            let reply = answer(counter.fetch_add(1, Ordering::SeqCst));
            async move { reply }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { folder: tempfile::tempdir().unwrap(), address, asked }
    }

    fn credentials(&self) -> PathBuf {
        external_account(self.folder.path(), &self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Workload identity federation: of all types, the one whose token endpoint is free to choose.
fn external_account(folder: &Path, token_server: &str) -> PathBuf {
    let subject = folder.join("subject-token");
    std::fs::write(&subject, "subject").unwrap();
    let file = folder.join("credentials.json");
    let credentials = json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("http://{token_server}/v1/token"),
        "credential_source": { "file": subject },
    });
    std::fs::write(&file, credentials.to_string()).unwrap();
    file
}

#[test]
fn a_machine_without_a_ca_bundle_is_unavailable_and_no_request_is_lost() {
    // The bundle is found by the environment, which is the process's: so in a process of its own.
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = connect(None).unwrap();
            for _ in 0..2 {
                let error = ask(&store).await.unwrap_err();
                assert_eq!(error.kind, UnavailableKind::Credentials, "{error}");
                assert!(error.detail.contains("CA bundle"), "{error}");
            }
        });
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let test = concat!(
        module_path!(),
        "::a_machine_without_a_ca_bundle_is_unavailable_and_no_request_is_lost"
    );
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test.split_once("::").unwrap().1, "--nocapture"])
        .env(CHILD, "1")
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", folder.path())
        .env("HOME", folder.path())
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "{said}");
}
