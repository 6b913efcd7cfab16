//! `compare`: asks two services the same harmless things, and shows where their answers differ.
//!
//! What counts as a difference is decided by `comparison`. API keys and tokens are never shown.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use zeroize::Zeroizing;

use super::desk::show;
use super::table::{Table, paragraph};
use super::web::{Fetched, client, failed, read, whole};
use super::{Done, Error};
use crate::api_key::MAX_ORGANIZATION_KEY_BYTES;
use crate::comparison::{Answer, Case, Difference, Presented, cases, compare, compare_tokens};
use crate::config::CompareFlags;
use crate::exchange::{Autojoin, Integration, TokenFamily as _};
use crate::verifier::{CompactToken, PublicKeySet};

/// As long as the known callers wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const KEY_SET: &str = "/.well-known/jwks.json";

pub(super) async fn run(flags: &CompareFlags) -> Result<Done, Error> {
    let (reference, candidate) = flags.resolve()?;
    let key = flags.key_file.as_deref().map(api_key).transpose()?;
    let (reference, candidate) = (Side::of(reference)?, Side::of(candidate)?);
    let cases = cases()?;
    let mut differences = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let (one, other) = tokio::join!(reference.answer(case), candidate.answer(case));
        match (one, other) {
            (Ok(one), Ok(other)) => differences.extend(compare(case, &one, &other)),
            // A service that is not there at all differs in everything.
            (Err(error), _) | (_, Err(error)) if number == 0 => return Err(error),
            (one, other) => differences.push(unanswered(case, &one, &other)),
        }
    }
    if let Some(key) = &key {
        differences.extend(exchange(&reference, &candidate, key).await?);
    }
    let report = Report { cases: cases.len() + usize::from(key.is_some()), differences };
    show(flags.output, || report.json(), || report.text())?;
    Ok(if report.undeclared().next().is_none() { Done::All } else { Done::Found })
}

/// The key in a file, without the end of its line.
fn api_key(path: &Path) -> Result<SecretString, Error> {
    let bytes = Zeroizing::new(read(path, MAX_ORGANIZATION_KEY_BYTES + 2)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| "the key file is not UTF-8")?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err("the key file is empty".into()),
        key => Ok(key.into()),
    }
}

/// One of the two services.
struct Side<'a> {
    base: &'a str,
    client: Client,
}

impl<'a> Side<'a> {
    fn of(base: &'a str) -> Result<Self, Error> {
        Ok(Self { base, client: client()? })
    }

    async fn answer(&self, case: &Case) -> Result<Answer, Error> {
        let method = Method::from_bytes(case.method().as_bytes())?;
        let headers = case.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
        self.ask(method, case.target(), headers, case.body().map(String::into_bytes)).await
    }

    async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: impl IntoIterator<Item = (String, String)>,
        body: Option<Vec<u8>>,
    ) -> Result<Answer, Error> {
        let url = format!("{}{target}", self.base);
        let mut request = self.client.request(method, &url).timeout(ANSWER_WITHIN);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.map_err(|error| failed(&url, &error))?;
        let Fetched { status, headers, body } = whole(&url, response).await?;
        let headers = headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Ok(Answer { status, headers: headers.collect(), body })
    }

    /// Exchanges a key; the answer is not shown to anybody.
    async fn exchange(&self, key: &SecretString) -> Result<Answer, Error> {
        let key = key.expose_secret();
        let is_integration = key.starts_with("mlabk.");
        let family = if is_integration { Integration::NAME } else { Autojoin::NAME };
        let body = json!({ "api_key": key }).to_string().into_bytes();
        let headers = [("Content-Type".to_owned(), "application/json".to_owned())];
        self.ask(Method::POST, &format!("/v0/token/{family}"), headers, Some(body)).await
    }

    async fn key_set(&self) -> Result<PublicKeySet, Error> {
        let answer = self.ask(Method::GET, KEY_SET, [], None).await?;
        let of = |error| format!("{}{KEY_SET}: {error}", self.base);
        Ok(PublicKeySet::parse(&answer.body).map_err(of)?)
    }
}

async fn exchange(
    reference: &Side<'_>,
    candidate: &Side<'_>,
    key: &SecretString,
) -> Result<Vec<Difference>, Error> {
    const CASE: &str = "a right API key";
    let (one, other) = tokio::join!(reference.exchange(key), candidate.exchange(key));
    let (one, other) = (one?, other?);
    if (one.status, other.status) != (200, 200) {
        let [one, other] = [one, other].map(|answer| answer.status.to_string());
        return Ok(vec![Difference::undeclared(CASE, "status, 200 is expected", one, other)]);
    }
    let (keys, other_keys) = tokio::join!(reference.key_set(), candidate.key_set());
    let of = |answer: &Answer| token(answer).ok_or("something else");
    match (of(&one), of(&other)) {
        (Ok(token), Ok(other)) => Ok(compare_tokens(
            &Presented { token, keys: keys? },
            &Presented { token: other, keys: other_keys? },
        )),
        (one, other) => {
            let [one, other] = [one, other].map(|token| token.map_or_else(|no| no, |_| "a token"));
            Ok(vec![Difference::undeclared(CASE, "body", one, other)])
        }
    }
}

/// The token of an answer that is a token and nothing else, byte for byte.
fn token(answer: &Answer) -> Option<CompactToken> {
    let text = std::str::from_utf8(&answer.body).ok()?;
    let token = text.strip_prefix("{\"token\":\"")?.strip_suffix("\"}\n")?;
    CompactToken::parse(token).ok()
}

fn unanswered(
    case: &Case,
    reference: &Result<Answer, Error>,
    candidate: &Result<Answer, Error>,
) -> Difference {
    let shown = |outcome: &Result<Answer, Error>| match outcome {
        Ok(answer) => answer.status.to_string(),
        Err(error) => format!("none: {error}"),
    };
    Difference::undeclared(case.name(), "answer", shown(reference), shown(candidate))
}

struct Report {
    cases: usize,
    differences: Vec<Difference>,
}

impl Report {
    fn undeclared(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|difference| difference.declared.is_none())
    }

    /// Those on purpose, by what differs and why: the names of their cases.
    fn declared(&self) -> BTreeMap<[&str; 4], Vec<&str>> {
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for Difference { case, part, reference, candidate, declared } in &self.differences {
            if let Some(why) = declared {
                groups
                    .entry([part, reference, candidate, why].map(String::as_str))
                    .or_default()
                    .push(case.as_str());
            }
        }
        groups
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let declared = self.declared();
        if !declared.is_empty() {
            text += "On purpose:\n";
            for ([part, reference, candidate, why], cases) in &declared {
                let others = match cases.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                let words =
                    format!("{}{others}: {part}: {reference} and {candidate}: {why}", cases[0]);
                text += &paragraph("  - ", &words);
            }
            text.push('\n');
        }
        if self.undeclared().next().is_some() {
            let mut table = Table::new(["case", "part", "reference", "candidate"]);
            for Difference { case, part, reference, candidate, .. } in self.undeclared() {
                table.row([case, part, reference, candidate].map(Clone::clone));
            }
            text += &table.render();
            text.push('\n');
        }
        text + &paragraph(
            "",
            &format!(
                "Requests compared: {}. Differences: {} that nobody declared, {} on purpose.",
                self.cases,
                self.undeclared().count(),
                declared.values().map(Vec::len).sum::<usize>()
            ),
        )
    }

    fn json(&self) -> serde_json::Value {
        let difference = |difference: &Difference| {
            json!({
                "case": difference.case,
                "part": difference.part,
                "reference": difference.reference,
                "candidate": difference.candidate,
                "declared": difference.declared,
            })
        };
        json!({
            "requests": self.cases,
            "differences": self.differences.iter().map(difference).collect::<Vec<_>>(),
            "undeclared": self.undeclared().count(),
        })
    }
}
