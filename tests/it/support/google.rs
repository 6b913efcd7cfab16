//! What stands around a service in Google Cloud, made on the spot: a certificate authority, and a
//! metadata server that gives access tokens.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    PublicKeyData as _, SanType,
};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A certificate authority that nobody knows but a test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// For whom a certificate is, and how long it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certificate {
    Right,
    OfAnotherName,
    Expired,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        // Of two of one name, the wrong one would be tried and found not to fit.
        let name = format!("authority {}", hex::encode(&key.der_bytes()[..8]));
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// What its clients have to trust.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A server on this machine that speaks HTTP/2 behind a certificate of this authority.
    pub fn server(&self, certificate: Certificate) -> Arc<ServerConfig> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = match certificate {
            Certificate::OfAnotherName => {
                vec![SanType::DnsName("elsewhere.example".try_into().expect("a name"))]
            }
            _ => vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))],
        };
        if certificate == Certificate::Expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the versions are known")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der().clone()], key)
            .expect("the key is the certificate's");
        config.alpn_protocols.push(b"h2".to_vec());
        Arc::new(config)
    }
}

/// What a metadata server does when it is asked for a token.
#[derive(Debug, Clone, Copy)]
pub enum TokenAnswer {
    /// A token that is new, and good for so long.
    Token {
        lives: Duration,
    },
    /// The same, but so much later.
    Slow(Duration),
    Status(u16),
    /// Nothing, ever.
    Silence,
}

impl TokenAnswer {
    pub const TOKEN: Self = Self::Token { lives: Duration::from_hours(1) };
}

/// A token, and until when it may be used.
#[derive(Debug, Clone)]
pub struct Given {
    pub token: String,
    pub until: Instant,
}

/// A metadata server (`GCE_METADATA_HOST`); it ends when it is dropped.
pub struct MetadataServer {
    host: String,
    shared: Arc<Mutex<State>>,
    runtime: Option<Runtime>,
}

struct State {
    answer: TokenAnswer,
    asked: usize,
    given: Vec<Given>,
}

impl MetadataServer {
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let host = listener.local_addr().expect("it is bound").to_string();
        let state = State { answer: TokenAnswer::TOKEN, asked: 0, given: Vec::new() };
        let shared = Arc::new(Mutex::new(state));
        let answering = Arc::clone(&shared);
        let router = axum::Router::new().fallback(move |request: Request| {
            let shared = Arc::clone(&answering);
            let head = request.into_parts().0;
            async move { answer(&shared, &head).await }
        });
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { host, shared, runtime: Some(runtime) }
    }

    /// `127.0.0.1:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// How it answers from now on.
    pub fn answers(&self, answer: TokenAnswer) {
        self.shared.lock().unwrap().answer = answer;
    }

    /// How often it was asked for a token.
    pub fn asked(&self) -> usize {
        self.shared.lock().unwrap().asked
    }

    /// The tokens that it gave.
    pub fn given(&self) -> Vec<Given> {
        self.shared.lock().unwrap().given.clone()
    }
}

impl Drop for MetadataServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn answer(shared: &Mutex<State>, head: &Parts) -> Response {
    let is_for_token =
        head.uri.path() == "/computeMetadata/v1/instance/service-accounts/default/token";
    if !is_for_token || head.headers.get("metadata-flavor").is_none() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let answer = {
        let mut state = shared.lock().unwrap();
        state.asked += 1;
        state.answer
    };
    let lives = match answer {
        TokenAnswer::Token { lives } => lives,
        TokenAnswer::Slow(delay) => {
            tokio::time::sleep(delay).await;
            Duration::from_hours(1)
        }
        TokenAnswer::Status(status) => {
            let status = StatusCode::from_u16(status).expect("a status");
            return (status, "made up for the test").into_response();
        }
        TokenAnswer::Silence => std::future::pending().await,
    };
    let mut state = shared.lock().unwrap();
    let token = format!("ya29.c2VjcmV0LWFjY2Vzcy10b2tlbg-{}", state.given.len());
    state.given.push(Given { token: token.clone(), until: Instant::now() + lives });
    let body = json!({
        "access_token": token,
        "expires_in": lives.as_secs(),
        "token_type": "Bearer",
    });
    ([("metadata-flavor", "Google")], body.to_string()).into_response()
}
