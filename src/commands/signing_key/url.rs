//! A published key set, asked for as a verifier asks, several times.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::CACHE_CONTROL;
use serde::Deserialize;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Longer than an instance takes to start.
const PATIENCE: Duration = Duration::from_secs(30);
/// Far more than 32 keys of 8192 bits.
const MAX_BYTES: usize = 256 * 1024;

/// What was answered: each distinct set of keys, and how often.
pub(super) struct Answers {
    pub(super) sets: BTreeMap<Vec<PublishedKey>, u32>,
    pub(super) cache_control: Option<String>,
}

/// A published key, by what verifiers tell it by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct PublishedKey {
    #[serde(default)]
    pub(super) kid: String,
    #[serde(default)]
    pub(super) alg: String,
    #[serde(default)]
    pub(super) kty: String,
    /// The modulus, or the first coordinate: what makes two keys of one kid different.
    #[serde(default, alias = "x")]
    pub(super) n: String,
    /// Whether private members stand there for everybody to read.
    #[serde(default, deserialize_with = "is_there")]
    pub(super) d: bool,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<PublishedKey>,
}

/// Asks so many times, on a connection of its own each, so that every instance may answer.
pub(super) async fn ask(url: &str, samples: u32) -> Result<Answers, Error> {
    let mut answers = Answers { sets: BTreeMap::new(), cache_control: None };
    for _ in 0..samples {
        let client = Client::builder().timeout(PATIENCE).build().map_err(|e| failed(url, &e))?;
        let mut response = client.get(url).send().await.map_err(|e| failed(url, &e))?;
        if response.status().as_u16() != 200 {
            return Err(format!("{url} answers {}, not a key set", response.status()).into());
        }
        let cache_control = response.headers().get(CACHE_CONTROL);
        answers.cache_control =
            cache_control.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| failed(url, &e))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(format!("{url} answers with more than a key set can be").into());
            }
        }
        let set: JwkSet = serde_json::from_slice(&body)
            .map_err(|_| format!("{url} does not answer with a key set"))?;
        *answers.sets.entry(set.keys).or_default() += 1;
    }
    Ok(answers)
}

fn failed(url: &str, error: &reqwest::Error) -> Error {
    // The library tells what it was doing; why that failed is further down.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("cannot ask {url}: {cause}").into()
}

fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
