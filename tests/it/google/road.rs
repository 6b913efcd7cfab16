//! The road: the service at one end, an emulator at the other, and everything between in a test's
//! hands.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::store_faults::scene::{api_key, load_keys};
use crate::support::emulator;
use crate::support::eventually::eventually;
use crate::support::fault_proxy::FaultProxy;
use crate::support::google::{Authority, Certificate, MetadataServer};
use crate::support::service::{Launch, Service};

pub const WITHIN: Duration = Duration::from_secs(30);

pub struct Road {
    /// Google's front end, which asks for a token and knows no other road than TLS.
    pub front: FaultProxy,
    pub metadata: MetadataServer,
    pub authority: Authority,
    pub project: String,
    pub folder: TempDir,
}

impl Road {
    /// Keys with numbers below `keys` are in the store.
    pub fn with_keys(keys: usize) -> Option<Self> {
        let emulator = emulator::firestore()?;
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        let tls = authority.server(Certificate::Right);
        let front = FaultProxy::start_tls(emulator.host(), tls);
        let project = load_keys(emulator, keys);
        Some(Self { front, metadata: MetadataServer::start(), authority, project, folder })
    }

    /// How to start the service, as on Cloud Run.
    pub fn launch(&self) -> Launch {
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keys/eddsa.jwk");
        Launch::token_exchange()
            .env("GCE_METADATA_HOST", self.metadata.host())
            .env("K_SERVICE", "auth")
            .arg(&format!("-private-key-path={key}"))
            .arg(&format!("-project-id={}", self.project))
            .arg(&format!("-datastore-endpoint=https://{}", self.front.host()))
            .arg(&format!("-datastore-ca-file={}", self.folder.path().join("ca.pem").display()))
    }

    /// Each call had a token of the metadata server that had not expired, and its routing.
    pub fn assert_every_call_was_authorized(&self) {
        let given = self.metadata.given();
        for call in self.front.seen() {
            let bearer = call.headers["authorization"].to_str().unwrap().strip_prefix("Bearer ");
            let token = given.iter().find(|given| Some(given.token.as_str()) == bearer);
            assert!(token.expect("a token that was given").until > call.at, "it had expired");
            let routing = format!("project_id={}", self.project);
            assert_eq!(call.headers["x-goog-request-params"], routing.as_str());
        }
    }
}

/// Presents a key that is right; the status.
pub fn present(service: &Service, number: usize) -> u16 {
    service.exchange("integration", &api_key("integration", number)).status
}

/// The service answers 503 and tells the operator these words.
pub fn assert_unavailable(service: &Service, number: usize, words: &str) {
    let begun = Instant::now();
    assert_eq!(present(service, number), 503);
    assert!(begun.elapsed() < Duration::from_millis(5500), "{:?}", begun.elapsed());
    eventually(words, WITHIN, || service.process.stderr().contains(words).then_some(()));
}

/// Without a restart.
pub fn assert_recovers(service: &Service, number: usize) {
    eventually("the service recovers", WITHIN, || (present(service, number) == 200).then_some(()));
}
