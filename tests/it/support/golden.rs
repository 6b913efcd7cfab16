//! The recorded answers under `tests/golden`, as its README describes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;

use super::http_client::Request;

/// A recorded file as it is.
pub fn text(name: &str) -> String {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The private JWK of the recording.
pub fn signing_key() -> Value {
    parse("signing-key.jwk")
}

/// `http.json`.
pub fn http_cases() -> Vec<HttpCase> {
    parse("http.json")
}

/// `cli.json`, in the order of the recording: later cases build on earlier ones.
pub fn cli_cases() -> Vec<CliCase> {
    parse("cli.json")
}

/// `entities.json`: what is in the recorded stores.
pub fn stores() -> Stores {
    #[derive(Deserialize)]
    struct File {
        stores: Stores,
    }
    parse::<File>("entities.json").stores
}

fn parse<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stores {
    pub standard: Vec<Row>,
    pub empty_key: Vec<Row>,
}

impl Stores {
    /// The plain API key that belongs to a row of the standard store.
    pub fn api_key(&self, label: &str) -> &str {
        let row = self.standard.iter().find(|row| row.label == label);
        let key = row.and_then(|row| row.api_key.as_deref());
        key.unwrap_or_else(|| panic!("no entity with an API key is called {label:?}"))
    }
}

#[derive(Debug, Deserialize)]
pub struct Row {
    pub label: String,
    /// A Go tool, or `crafted`: what no tool would write.
    pub written_by: String,
    /// In the REST form of Datastore v1.
    pub entity: Value,
    pub api_key: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpCase {
    pub name: String,
    pub store: Store,
    pub request: RecordedRequest,
    pub response: RecordedResponse,
    pub token: Option<RecordedToken>,
    pub deliberate: Option<String>,
    pub expect: Option<Expect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Store {
    Standard,
    EmptyKey,
    #[serde(rename = "store-refuses")]
    Refuses,
    #[serde(rename = "store-denies")]
    Denies,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRequest {
    method: String,
    target: String,
    version: Option<String>,
    headers: Vec<(String, String)>,
    #[serde(default)]
    half_close: bool,
    body_utf8: Option<String>,
    body_base64: Option<String>,
    body_repeat: Option<Repeat>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    #[serde(default)]
    prefix: String,
    unit: String,
    count: usize,
    #[serde(default)]
    suffix: String,
}

impl From<&RecordedRequest> for Request {
    fn from(recorded: &RecordedRequest) -> Self {
        let body = match (&recorded.body_utf8, &recorded.body_base64, &recorded.body_repeat) {
            (None, None, None) => Vec::new(),
            (Some(text), None, None) => text.clone().into_bytes(),
            (None, Some(base64), None) => STANDARD.decode(base64).expect("recorded base64"),
            (None, None, Some(Repeat { prefix, unit, count, suffix })) => {
                [prefix.as_str(), &unit.repeat(*count), suffix].concat().into_bytes()
            }
            several => panic!("a request has one body, not {several:?}"),
        };
        Self {
            method: recorded.method.clone(),
            target: recorded.target.clone(),
            version: recorded.version.as_deref().unwrap_or("HTTP/1.1").to_owned(),
            headers: recorded.headers.clone(),
            body,
            half_close: recorded.half_close,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum RecordedResponse {
    Answer(RecordedAnswer),
    /// Nothing came for as long as the recording waited.
    Nothing {
        #[serde(rename = "no_answer")]
        _no_answer: bool,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    pub status: u16,
    #[serde(rename = "status_line")]
    _status_line: String,
    pub headers: Vec<(String, String)>,
    pub body_utf8: String,
    pub body_compare: Option<BodyCompare>,
    /// The 1xx answers before it.
    #[serde(default)]
    pub interim: Vec<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyCompare {
    Json,
}

/// What a token must be like.
#[derive(Debug, Deserialize)]
pub struct RecordedToken {
    pub header_raw: String,
    pub claims: Claims,
    pub ttl_seconds: u64,
    pub relations: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub fixed: serde_json::Map<String, Value>,
}

/// What takes the place of the recorded answer where the replacement differs on purpose.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    status: Option<u16>,
    status_any: Option<Vec<u16>>,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub body_utf8: Option<String>,
    /// Closing without an answer is allowed.
    #[serde(default)]
    pub closed_ok: bool,
}

impl Expect {
    pub fn statuses(&self) -> Vec<u16> {
        match (self.status, &self.status_any) {
            (Some(one), None) => vec![one],
            (None, Some(any)) => any.clone(),
            other => panic!("an expectation has one of status and status_any, not {other:?}"),
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct CliCase {
    pub name: String,
    #[serde(default)]
    pub argv: Vec<String>,
    #[serde(default)]
    pub env: std::collections::BTreeMap<String, String>,
    pub stdout: String,
    pub stderr: String,
    /// `None`: it was still running; -1: ended by a signal.
    pub exit: Option<i32>,
    pub entities_after: Option<Vec<Value>>,
    pub exchange_status: Option<u16>,
    pub token_header_raw: Option<String>,
    pub jwks_status: Option<u16>,
    /// The names of the members of each published key, in order.
    pub jwks_members: Option<Value>,
    pub signal: Option<String>,
    pub deliberate: Option<String>,
    pub expect: Option<String>,
}
