//! What a verifier makes of a token: taken apart, held to the contract and to a key set, at a time.
//!
//! It is the other side of `signer`, and shares nothing with it but the ten algorithms and the way
//! to verify by a published key. Tokens and key sets are strangers' text here.
//!
//! What may not enter: files, HTTP, printing, the clock. A token opens doors: nothing here gives it
//! back, nor its signature.

mod compact;
mod key_set;
mod strict;
mod times;

pub use self::compact::{CompactToken, NotAToken};
pub use self::key_set::{NotAKeySet, PublicKeySet, PublishedKey};
pub use self::times::Times;
use crate::claims::ISSUER;
use crate::environment::UnixSeconds;
use crate::exchange::{Autojoin, Integration, TokenFamily as _};
use crate::signer::{Algorithm, verifies};

/// What was looked at, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub outcome: Outcome,
    /// A sentence.
    pub words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    Failed,
    /// There is nothing to look at.
    Unknown,
}

/// A verifier as it comes, by what it allows beyond the rules.
#[derive(Debug, Clone, Copy)]
struct Verifier {
    name: &'static str,
    /// Seconds by which a clock may be wrong.
    leeway: f64,
    reads_iat: bool,
    takes: fn(Algorithm) -> bool,
    /// Whether it lacks all keys of a set that has one of a type that it does not know.
    needs_known_types: bool,
}

/// Those that are known to read our tokens, and the strictest that may.
const VERIFIERS: [Verifier; 3] = [
    Verifier {
        name: "one without leeway (PyJWT, jose)",
        leeway: 0.0,
        reads_iat: true,
        takes: |_| true,
        needs_known_types: false,
    },
    // `jwt.DefaultLeeway`.
    Verifier {
        name: "go-jose",
        leeway: 60.0,
        reads_iat: true,
        takes: |_| true,
        needs_known_types: true,
    },
    // `grpc_jwt_verifier_clock_skew`.
    Verifier {
        name: "Cloud Endpoints",
        leeway: 60.0,
        reads_iat: false,
        takes: Algorithm::is_taken_by_cloud_endpoints,
        needs_known_types: false,
    },
];

/// What a token comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub checks: Vec<Check>,
    /// Each verifier as it comes, and why it refuses; `None` if it takes the token.
    pub verifiers: Vec<(&'static str, Option<String>)>,
}

impl Judgement {
    /// Whether nothing speaks against the token, for a verifier that allows no leeway.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.checks.iter().all(|check| check.outcome == Outcome::Passed)
    }
}

/// Judges a token by a key set, if there is one, at a time.
#[must_use]
pub fn judge(token: &CompactToken, keys: Option<&PublicKeySet>, now: UnixSeconds) -> Judgement {
    let times = token.times();
    let signature = signature(token, keys);
    let when = match times.refusal(now, 0.0, true) {
        None => Check::passed("times", "it is valid at this time"),
        Some(why) => Check::failed("times", why),
    };
    let verifiers = VERIFIERS
        .iter()
        .map(|verifier| (verifier.name, verifier.refusal(token, keys, &signature, &times, now)))
        .collect();
    Judgement { checks: vec![signature, issuer(token), audience(token), when], verifiers }
}

/// Whether the signature is there, and of a key of the set.
#[must_use]
pub fn signature(token: &CompactToken, keys: Option<&PublicKeySet>) -> Check {
    let algorithm = match token.algorithm() {
        Ok(algorithm) => algorithm,
        Err(why) => return Check::failed("signature", why),
    };
    if token.header().contains_key("crit") {
        let why = "its header demands extensions (crit), which verifiers have to refuse";
        return Check::failed("signature", why);
    }
    let Some(kid) = token.kid() else {
        return Check::failed("signature", "its header names no key (kid) to verify it by");
    };
    let Some(keys) = keys else {
        let words = "there is no key set to verify it by: name one with --jwks";
        return Check { name: "signature", outcome: Outcome::Unknown, words: words.to_owned() };
    };
    let mut why = format!("its kid is not in the key set, which has {}", keys.names());
    for key in keys.named(kid) {
        match key.misfit(algorithm) {
            Some(misfit) => why = misfit,
            None if verifies(&key.json, algorithm, token.message(), token.signature()) => {
                return Check::passed("signature", "it is by a key of the key set");
            }
            None => {
                "it does not fit the key of this kid: the token was changed, or another key has \
                 the same kid"
                    .clone_into(&mut why);
            }
        }
    }
    Check::failed("signature", why)
}

fn issuer(token: &CompactToken) -> Check {
    match token.text("iss") {
        Some(ISSUER) => Check::passed("issuer", "it is this service's"),
        Some(_) => Check::failed("issuer", format!("iss is not {ISSUER:?}")),
        None => Check::failed("issuer", "there is no iss, or it is no text"),
    }
}

fn audience(token: &CompactToken) -> Check {
    match token.text("aud") {
        Some(aud) if [Autojoin::NAME, Integration::NAME].contains(&aud) => {
            Check::passed("audience", format!("it is for {aud}"))
        }
        Some(_) => Check::failed(
            "audience",
            format!("aud is neither {:?} nor {:?}", Autojoin::NAME, Integration::NAME),
        ),
        None => Check::failed("audience", "there is no aud, or it is not one text"),
    }
}

impl Verifier {
    fn refusal(
        &self,
        token: &CompactToken,
        keys: Option<&PublicKeySet>,
        signature: &Check,
        times: &Times,
        now: UnixSeconds,
    ) -> Option<String> {
        if signature.outcome == Outcome::Failed {
            return Some("the signature, see above".to_owned());
        }
        if token.algorithm().is_ok_and(|algorithm| !(self.takes)(algorithm)) {
            return Some("it does not take this alg".to_owned());
        }
        if self.needs_known_types && keys.is_some_and(PublicKeySet::has_an_unknown_type) {
            return Some("it cannot read a key set with a key of another type (kty)".to_owned());
        }
        times.refusal(now, self.leeway, self.reads_iat)
    }
}

impl Check {
    fn passed(name: &'static str, words: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Passed, words: words.into() }
    }

    fn failed(name: &'static str, words: impl Into<String>) -> Self {
        Self { name, outcome: Outcome::Failed, words: words.into() }
    }
}
