//! `explain-token`: what a token states, and whether a verifier takes it now.
//!
//! The token is a credential: neither it nor its signature is ever printed.

use std::fmt::Write as _;
use std::path::Path;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::DATE;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::desk::show;
use super::table::{Table, facts, paragraph, time};
use super::web::{Fetched, MAX_BYTES, get, read};
use super::{Done, Error};
use crate::config::{ExplainTokenFlags, KeySetPlace};
use crate::environment::{Clock as _, System, UnixSeconds};
use crate::verifier::{CompactToken, Judgement, NotAToken, Outcome, PublicKeySet, judge};

/// The longest input, in bytes: a token in the answer of the service, with blank space around.
const MAX_INPUT_BYTES: usize = 32 * 1024;
/// Two clocks that are apart by no more than this say the same: `Date` is in whole seconds, and its
/// answer was on the way.
const SAME_TIME_SECONDS: i64 = 2;

pub(super) async fn run(flags: &ExplainTokenFlags, now: UnixSeconds) -> Result<Done, Error> {
    let token = presented(&flags.token)?;
    let (keys, there) = match flags.key_set() {
        None => (None, None),
        Some(KeySetPlace::File(path)) => {
            (Some(key_set(&path.display(), &read(&path, MAX_BYTES)?)?), None)
        }
        Some(KeySetPlace::Url(url)) => {
            let (keys, skew) = fetched(url).await?;
            (Some(keys), skew)
        }
    };
    // After what took time: the token ages meanwhile.
    let now = if flags.jwks.is_some() { System.now() } else { now };
    let account = Account {
        judgement: judge(&token, keys.as_ref(), now),
        elsewhere: there.map(|skew| (skew, judge(&token, keys.as_ref(), there_now(now, skew)))),
        token,
        now: timestamp(now),
    };
    show(flags.output, || account.json(), || account.text())?;
    Ok(if account.judgement.is_accepted() { Done::All } else { Done::Found })
}

fn presented(word: &str) -> Result<CompactToken, Error> {
    if word != "-" {
        return Ok(CompactToken::parse(word)?);
    }
    let input = Zeroizing::new(read(Path::new("-"), MAX_INPUT_BYTES)?);
    let text = std::str::from_utf8(&input).map_err(|_| NotAToken::Base64("text"))?;
    Ok(CompactToken::parse(text)?)
}

fn key_set(name: &impl std::fmt::Display, json: &[u8]) -> Result<PublicKeySet, Error> {
    PublicKeySet::parse(json).map_err(|error| format!("{name}: {error}").into())
}

/// The key set, and by how many seconds the clock here is ahead of the one there.
async fn fetched(url: &str) -> Result<(PublicKeySet, Option<i64>), Error> {
    let Fetched { status, headers, body } = get(url).await?;
    let here = Timestamp::now();
    if status != 200 {
        return Err(format!("{url} answers {status}, not a key set").into());
    }
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let there = date.and_then(|date| DateTimeParser::new().parse_timestamp(date).ok());
    Ok((key_set(&url, &body)?, there.map(|there| here.as_second() - there.as_second())))
}

fn there_now(now: UnixSeconds, skew: i64) -> UnixSeconds {
    now.saturating_add_signed(skew.saturating_neg())
}

fn timestamp(seconds: UnixSeconds) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// All that there is to say.
struct Account {
    token: CompactToken,
    judgement: Judgement,
    /// By how much the clock here is ahead of the one of the key set, and what the token comes to
    /// by that one.
    elsewhere: Option<(i64, Judgement)>,
    now: Timestamp,
}

impl Account {
    fn text(&self) -> String {
        let mut text = members("Header", self.token.header(), None);
        text += &members("Claims", self.token.claims(), Some(self.now));
        text += "Verified\n";
        for check in &self.judgement.checks {
            let mark = match check.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "NO",
                Outcome::Unknown => "?",
            };
            text += &paragraph("  - ", &format!("{}: {mark}: {}", check.name, check.words));
        }
        if let Some((skew, there)) = &self.elsewhere {
            text += &paragraph("  - ", &format!("clock: {}", self.skew(*skew, there)));
        }
        text.push('\n');
        let mut table = Table::new(["verifier", "takes it now"]);
        for (name, refusal) in &self.judgement.verifiers {
            table.row([(*name).to_owned(), self.opinion(refusal.as_deref())]);
        }
        text += &table.render();
        let _ = writeln!(text, "\n{}", self.verdict());
        text
    }

    fn opinion(&self, refusal: Option<&str>) -> String {
        match refusal {
            Some(why) => format!("no: {why}"),
            None if self.is_unverified() => "yes, if the signature is right".to_owned(),
            None => "yes".to_owned(),
        }
    }

    fn is_unverified(&self) -> bool {
        self.judgement.checks.iter().any(|check| check.outcome == Outcome::Unknown)
    }

    fn verdict(&self) -> &'static str {
        let has = |outcome| self.judgement.checks.iter().any(|check| check.outcome == outcome);
        if has(Outcome::Failed) {
            "REFUSED: a verifier has to refuse this token now."
        } else if has(Outcome::Unknown) {
            "NOT VERIFIED: nothing speaks against this token, and nothing for it."
        } else {
            "ACCEPTED: this token is good at this moment."
        }
    }

    fn skew(&self, skew: i64, there: &Judgement) -> String {
        let apart = skew.saturating_abs();
        if apart <= SAME_TIME_SECONDS {
            return "the clock here and the one of the key set's server agree".to_owned();
        }
        let side = if skew > 0 { "ahead of" } else { "behind" };
        let same = there.is_accepted() == self.judgement.is_accepted();
        let but = match (same, there.is_accepted()) {
            (true, _) => "it makes no difference to this token",
            (false, true) => "by that one the token is good: set the clock here right",
            (false, false) => "by that one the token is refused: one of the two is wrong",
        };
        format!("the clock here is {apart} s {side} the one of the key set's server; {but}")
    }

    fn json(&self) -> Value {
        let checks = self.judgement.checks.iter().map(|check| {
            let outcome = match check.outcome {
                Outcome::Passed => Value::Bool(true),
                Outcome::Failed => Value::Bool(false),
                Outcome::Unknown => Value::Null,
            };
            json!({ "check": check.name, "passed": outcome, "words": check.words })
        });
        let verifiers = self.judgement.verifiers.iter().map(
            |(name, refusal)| json!({ "verifier": name, "takes": refusal.is_none(), "because": refusal }),
        );
        json!({
            "at": self.now.to_string(),
            "header": self.token.header(),
            "claims": self.token.claims(),
            "checks": checks.collect::<Vec<_>>(),
            "verifiers": verifiers.collect::<Vec<_>>(),
            "clock_ahead_seconds": self.elsewhere.as_ref().map(|(skew, _)| skew),
            "accepted": self.judgement.is_accepted(),
        })
    }
}

/// Members under a heading; times also as people read them, where a time says how far they are.
fn members(heading: &str, members: &Map<String, Value>, now: Option<Timestamp>) -> String {
    let lines = members.iter().map(|(name, value)| {
        let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let is_time = ["exp", "iat", "nbf"].contains(&name.as_str());
        let at = value.as_i64().and_then(|at| Timestamp::from_second(at).ok());
        match (now, at) {
            (Some(now), Some(at)) if is_time => {
                (name.as_str(), format!("{at_text} = {shown}", at_text = time(at, now)))
            }
            _ => (name.as_str(), shown),
        }
    });
    let lines: Vec<_> = lines.collect();
    format!("{heading}\n{}\n", facts(lines))
}
