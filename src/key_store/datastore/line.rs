//! The connection to Datastore: made once for all who wait, and anew when it is of no use any more.
//!
//! The library's own channel connects inside a call, so that an attempt would pay for a connection.
//! Here a connection is made before, and a channel never makes a second one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gcloud_sdk::google::datastore::v1::datastore_client::DatastoreClient;
use gcloud_sdk::tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tokio::time::{Instant, sleep_until, timeout};
use tower::{Service as _, service_fn};

use super::errand::Errand;
use super::failure::Failure;
use super::figures::Figures;
use super::{ConfigError, DatastoreConfig, Place};

/// One connection, from the look-up of the name to the end of the TLS handshake: as long as a
/// caller waits at all.
const CONNECT_WITHIN: Duration = Duration::from_secs(4);
/// From the beginning of one connection to that of the next: a server that takes connections and
/// drops them is not hammered.
const CONNECT_EVERY: Duration = Duration::from_millis(50);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The connection had ended before the call.
#[derive(Debug, thiserror::Error)]
#[error("the connection has ended")]
pub(super) struct Over;

/// One connection.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) client: DatastoreClient<Channel>,
    answers: AtomicU64,
}

impl Line {
    /// How many answers have come over it.
    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub(super) fn count_answer(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }
}

/// The connection of the moment, and the making of the next.
#[derive(Debug)]
pub(super) struct Lines {
    endpoint: Endpoint,
    state: Mutex<State>,
    connecting: Errand<Result<Arc<Line>, Failure>>,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Line>>,
    begun_at: Option<Instant>,
}

impl Lines {
    /// Prepares everything and connects to nobody.
    pub(super) fn new(
        config: &DatastoreConfig,
        figures: Arc<Figures>,
    ) -> Result<Arc<Self>, ConfigError> {
        let endpoint = endpoint(&config.place)?
            .user_agent(concat!("token-exchange/", env!("CARGO_PKG_VERSION")))
            .map_err(|error| ConfigError::Transport(super::with_causes(&error)))?;
        let (state, connecting) = (Mutex::default(), Errand::new());
        Ok(Arc::new(Self { endpoint, state, connecting, figures }))
    }

    /// The connection there is, or else the next. The making of one takes its time and is not
    /// given up when its callers are gone.
    pub(super) async fn line(self: &Arc<Self>) -> Result<Arc<Line>, Failure> {
        if let Some(line) = &self.state().current {
            return Ok(Arc::clone(line));
        }
        let connected =
            self.connecting.run(|| {
                let lines = Arc::clone(self);
                async move {
                    lines.connect().await.inspect_err(|_| lines.figures.count_failed_connection())
                }
            });
        connected
            .await
            .unwrap_or_else(|| Err(Failure::no_connection("connecting panicked".to_owned())))
    }

    /// Has the next call connect anew.
    pub(super) fn leave(&self, line: &Arc<Line>) {
        let mut state = self.state();
        if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, line)) {
            state.current = None;
        }
    }

    async fn connect(&self) -> Result<Arc<Line>, Failure> {
        if let Some(line) = &self.state().current {
            return Ok(Arc::clone(line));
        }
        let begun_at = self.state().begun_at;
        if let Some(begun_at) = begun_at {
            sleep_until(begun_at + CONNECT_EVERY).await;
        }
        self.state().begun_at = Some(Instant::now());
        let channel = timeout(CONNECT_WITHIN, connect_once(&self.endpoint))
            .await
            .map_err(|_| Failure::no_connection(format!("none within {CONNECT_WITHIN:?}")))?
            .map_err(|error| Failure::no_connection(super::with_causes(&error)))?;
        self.figures.count_connection();
        let client = DatastoreClient::new(channel);
        let line = Arc::new(Line { client, answers: AtomicU64::new(0) });
        self.state().current = Some(Arc::clone(&line));
        Ok(line)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel over one connection. When that ends, calls end with [`Over`].
async fn connect_once(endpoint: &Endpoint) -> Result<Channel, gcloud_sdk::tonic::transport::Error> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    let mut unused = Some(tcp);
    let connector = service_fn(move |uri| {
        let connector = unused.take();
        async move {
            let mut connector = connector.ok_or(Over)?;
            connector.call(uri).await.map_err(BoxError::from)
        }
    });
    endpoint.connect_with_connector(connector).await
}

fn endpoint(place: &Place) -> Result<Endpoint, ConfigError> {
    let (url, ca_file) = match place {
        Place::Emulator { host } => {
            let authority = host.strip_prefix("http://").unwrap_or(host);
            return Endpoint::from_shared(format!("http://{authority}"))
                .map_err(|_| ConfigError::EmulatorHost(host.clone()));
        }
        Place::Google { endpoint, ca_file, .. } => (endpoint, ca_file),
    };
    let roots = match ca_file {
        None => ClientTlsConfig::new().with_webpki_roots(),
        Some(path) => {
            let error = |reason| ConfigError::CaFile { path: path.clone(), reason };
            let pem = std::fs::read(path).map_err(|cause| error(cause.to_string()))?;
            check_certificates(&pem).map_err(error)?;
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
        }
    };
    let refuse = || ConfigError::Endpoint(url.clone());
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|_| refuse())?;
    let uri = endpoint.uri();
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
    if uri.scheme_str() != Some("https") || !is_bare {
        return Err(refuse());
    }
    endpoint.tls_config(roots).map_err(|error| ConfigError::Transport(super::with_causes(&error)))
}

/// The library drops in silence what it cannot read.
fn check_certificates(pem: &[u8]) -> Result<(), String> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("it has no certificate".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}
