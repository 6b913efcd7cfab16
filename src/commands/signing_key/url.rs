//! A published key set, asked for as a verifier asks, several times.

use std::collections::BTreeMap;

use reqwest::header::CACHE_CONTROL;
use serde::Deserialize;

use super::super::Error;
use super::super::web::{Fetched, get};

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
        let Fetched { status, headers, body } = get(url).await?;
        if status != 200 {
            return Err(format!("{url} answers {status}, not a key set").into());
        }
        let cache_control = headers.get(CACHE_CONTROL);
        answers.cache_control =
            cache_control.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let set: JwkSet = serde_json::from_slice(&body)
            .map_err(|_| format!("{url} does not answer with a key set"))?;
        *answers.sets.entry(set.keys).or_default() += 1;
    }
    Ok(answers)
}

fn is_there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(deserializer).map(|_| true)
}
