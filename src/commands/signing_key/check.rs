//! `signing-key check`: when each key signs, and whether that is safe.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::{Done, Error, print};
use super::time_line::{self, Role, clock_time, span, visible};
use super::url::{Answers, PublishedKey, ask};
use super::warn;
use crate::config::{CheckKeysFlags, OutputFormat};
use crate::environment::UnixSeconds;
use crate::signer::{KeyFile, KeySet, Member, WAITS};

pub(super) async fn run(flags: &CheckKeysFlags, now: UnixSeconds) -> Result<Done, Error> {
    let (file, url) = flags.resolve()?;
    let keys = file.map(|file| KeyFile::at(file).load()).transpose()?;
    let answers = match url {
        Some(url) => Some(ask(url, flags.samples).await?),
        None => None,
    };
    let findings = findings(keys.as_ref(), answers.as_ref(), now);
    if let Some(keys) = &keys {
        warn(keys);
    }
    match flags.output {
        OutputFormat::Table => {
            print(&page(keys.as_ref(), answers.as_ref(), &findings, now))?;
        }
        OutputFormat::Json => {
            let report = report(keys.as_ref(), answers.as_ref(), &findings, now);
            print(&format!("{report:#}\n"))?;
        }
    }
    Ok(if findings.is_empty() { Done::All } else { Done::Found })
}

/// What is not safe, a sentence each.
fn findings(keys: Option<&KeySet>, answers: Option<&Answers>, now: UnixSeconds) -> Vec<String> {
    let mut findings = Vec::new();
    if let Some(keys) = keys {
        findings.extend(expired(keys, now));
        findings.extend(too_late(keys, answers, now));
    }
    if let Some(answers) = answers {
        findings.extend(in_answers(answers));
    }
    if let (Some(keys), Some(answers)) = (keys, answers) {
        findings.extend(differences(keys, answers, now));
    }
    findings
}

fn expired(keys: &KeySet, now: UnixSeconds) -> Option<String> {
    let signing = keys.signing_at(now);
    let expires = signing.lifetime.expires.filter(|expires| *expires <= now)?;
    Some(format!(
        "{} was meant to sign until {} and signs on: it has no successor that has started.",
        signing.key.kid(),
        clock_time(expires)
    ))
}

/// Keys that not everybody can know when they start, unless the file was uploaded before. Whether
/// it was, only the published key set shows.
fn too_late(keys: &KeySet, answers: Option<&Answers>, now: UnixSeconds) -> Vec<String> {
    let is_published = |member: &Member| {
        answers.is_some_and(|answers| answers.sets.keys().all(|set| holds(set, member)))
    };
    keys.members()
        .iter()
        .filter(|member| Role::at(keys, member, now) == Role::Waiting)
        .filter(|member| member.lifetime.upload_by() < now && !is_published(member))
        .map(|member| {
            let (kid, by) = (member.key.kid(), clock_time(member.lifetime.upload_by()));
            let what = if answers.is_some() {
                "it is not published everywhere: do not upload it as it is"
            } else {
                "if the file is not uploaded yet, do not upload it (with the URL of the key set as \
                 a second argument it can be seen whether it is)"
            };
            format!("{kid} had to be uploaded by {by}; {what}. `signing-key rotate --redo` helps.")
        })
        .collect()
}

fn in_answers(answers: &Answers) -> Vec<String> {
    let mut findings = Vec::new();
    if answers.sets.len() > 1 {
        findings.push(format!(
            "the instances publish {} different key sets: a new file has not reached them all, or \
             one of them cannot read it.",
            answers.sets.len()
        ));
    }
    for set in answers.sets.keys() {
        for key in set.iter().filter(|key| key.d) {
            findings.push(format!("the PRIVATE key {} is published: it has leaked.", key.kid));
        }
        if set.is_empty() {
            findings.push("the key set is empty: no token can be verified.".to_owned());
        }
    }
    let max_age = answers.cache_control.as_deref().and_then(max_age);
    findings.extend(max_age.filter(|age| *age > WAITS.key_set_max_age).map(|age| {
        format!(
            "verifiers are told to keep the key set for {}, longer than the {} that a rotation \
             waits for: something before the service changes its Cache-Control.",
            span(age),
            span(WAITS.key_set_max_age)
        )
    }));
    findings
}

/// For how many seconds a `Cache-Control` lets a key set be kept, by anybody (RFC 9111, section 5.2.2).
fn max_age(cache_control: &str) -> Option<u64> {
    cache_control
        .split(',')
        .filter_map(|directive| directive.trim().split_once('='))
        .filter(|(name, _)| ["max-age", "s-maxage"].iter().any(|n| name.eq_ignore_ascii_case(n)))
        .filter_map(|(_, seconds)| seconds.trim_matches('"').parse().ok())
        .max()
}

fn differences(keys: &KeySet, answers: &Answers, now: UnixSeconds) -> Vec<String> {
    let mut findings = Vec::new();
    for set in answers.sets.keys() {
        for member in keys.published_at(now).filter(|member| !holds(set, member)) {
            findings.push(format!("{} of the file is not published.", member.key.kid()));
        }
        for member in keys.members().iter().filter(|member| member.lifetime.is_revoked()) {
            if holds(set, member) {
                findings.push(format!("{} is revoked and still published.", member.key.kid()));
            }
        }
        let of_file = |key: &PublishedKey| keys.members().iter().any(|member| is(key, member));
        for key in set.iter().filter(|key| !of_file(key)) {
            findings.push(format!("{} is published and not in the file.", key.kid));
        }
    }
    findings.sort_unstable();
    findings.dedup();
    findings
}

fn holds(set: &[PublishedKey], member: &Member) -> bool {
    set.iter().any(|key| is(key, member))
}

fn is(published: &PublishedKey, member: &Member) -> bool {
    serde_json::from_str::<PublishedKey>(member.key.public_jwk())
        .is_ok_and(|own| own.kid == published.kid && own.n == published.n)
}

fn page(
    keys: Option<&KeySet>,
    answers: Option<&Answers>,
    findings: &[String],
    now: UnixSeconds,
) -> String {
    let mut text = keys.map(|keys| time_line::of(keys, now)).unwrap_or_default();
    if let Some(answers) = answers {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &published(answers);
    }
    text.push('\n');
    for finding in findings {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "NOT SAFE: {}", visible(finding));
    }
    if findings.is_empty() {
        text += "Nothing found.\n";
    }
    text
}

fn published(answers: &Answers) -> String {
    let mut text = String::new();
    for (set, count) in &answers.sets {
        let _ = writeln!(
            text,
            "Published ({count} of {} answers):",
            answers.sets.values().sum::<u32>()
        );
        let rows: Vec<[String; 3]> =
            set.iter().map(|key| [key.kid.clone(), key.kty.clone(), key.alg.clone()]).collect();
        text += &time_line::aligned(&rows);
    }
    let cache_control = answers.cache_control.as_deref().unwrap_or("none");
    text + &format!("Cache-Control: {cache_control}\n")
}

fn report(
    keys: Option<&KeySet>,
    answers: Option<&Answers>,
    findings: &[String],
    now: UnixSeconds,
) -> Value {
    let file = keys.map(|keys| {
        let of_key = |member: &Member| {
            json!({
                "kid": member.key.kid(),
                "alg": member.key.algorithm().name(),
                "state": Role::at(keys, member, now).word(),
                "iat": member.lifetime.made,
                "start": member.lifetime.start(),
                "upload_by": member.lifetime.upload_by(),
                "exp": member.lifetime.expires,
                "revoked_at": member.lifetime.revoked.as_ref().and_then(|revoked| revoked.at),
                "retires": member.retires(),
            })
        };
        keys.members().iter().map(of_key).collect::<Vec<_>>()
    });
    let published = answers.map(|answers| {
        let of_set = |(set, count): (&Vec<PublishedKey>, &u32)| {
            let kids: Vec<&str> = set.iter().map(|key| key.kid.as_str()).collect();
            json!({ "kids": kids, "answers": count })
        };
        answers.sets.iter().map(of_set).collect::<Vec<_>>()
    });
    json!({ "file": file, "published": published, "findings": findings })
}
