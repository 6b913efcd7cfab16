//! The signing keys of one file: which of them signs, and which are published, at any moment.
//!
//! Every rule here is a function of the file and the clock alone, so that instances that share
//! nothing but the file decide alike, however long they have been up. What an instance remembers
//! beyond the file is in [`key_ring`](super::key_ring). `docs/rotation.md` draws the time line.

use std::cmp::Reverse;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::jwk::{InvalidJwk, PrivateJwk, SigningKey};
use super::lifetime::{Lifetime, Revocation, WAITS};
use crate::environment::UnixSeconds;

/// The most keys of a file. A rotation a day leaves three; every state of the set is computed
/// ahead, and its size grows with the square of this.
const MAX_KEYS: usize = 32;

/// One or more signing keys, each with a `kid` of its own, at least one of them not revoked.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// In the order of the file.
    members: Vec<Member>,
    /// Who signs from when on; the first turn begins at 0, no two in a row are of the same key.
    turns: Vec<Turn>,
}

/// One key of the file.
#[derive(Debug, Clone)]
pub struct Member {
    pub key: Arc<SigningKey>,
    pub lifetime: Lifetime,
    /// From then on it is no longer published; `None` while no successor is known, and for ever
    /// for a revoked key.
    retires: Option<UnixSeconds>,
}

/// One key's time to sign: until the next turn begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub from: UnixSeconds,
    /// Position of the key in the file, counted from 0.
    pub key: usize,
}

/// Why a file holds no usable keys. Never repeats what the file holds.
#[derive(Debug, thiserror::Error)]
pub enum InvalidKeySet {
    #[error("it is neither a private JWK nor a JWK Set of them: {0}")]
    Json(JsonFault),
    #[error("the JWK Set has no keys")]
    Empty,
    #[error("the JWK Set has {0} keys; at most {MAX_KEYS} are accepted")]
    TooMany(usize),
    #[error("key {position} of {of}: {fault}")]
    Key { position: usize, of: usize, fault: InvalidJwk },
    #[error("two keys have the same kid {0:?}")]
    DuplicateKid(String),
    #[error(
        "every key is revoked, so none is left to sign; take the file as it was before: \
         `token-exchange signing-key rotate --leaked KID` revokes a key and adds another"
    )]
    AllRevoked,
    #[error(
        "its key {0:?} is another one than the key of this kid that is in use; \
         verifiers tell keys apart by their kid, so a new key needs a new one"
    )]
    KidReused(String),
}

/// What is wrong with JSON, and where; the parser's own words could repeat a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at line {line}, column {column}")]
pub struct JsonFault {
    problem: &'static str,
    line: usize,
    column: usize,
}

impl From<serde_json::Error> for JsonFault {
    fn from(error: serde_json::Error) -> Self {
        let problem = match error.classify() {
            serde_json::error::Category::Eof => "it ends too early",
            serde_json::error::Category::Data => "a member has the wrong type, or is there twice,",
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                "it is not JSON"
            }
        };
        Self { problem, line: error.line(), column: error.column() }
    }
}

/// What some verifiers will not take of a set that is right. For the operator, who knows them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    #[error(
        "Cloud Endpoints refuses tokens of key {kid:?}: it takes RS256, RS384, RS512 and ES256, \
         not {alg}"
    )]
    NotForCloudEndpoints { kid: String, alg: &'static str },
    #[error("keys of different types (kty) are published together: some verifiers refuse the set")]
    MixedKeyTypes,
}

impl KeySet {
    /// Reads a private JWK or a private JWK Set (RFC 7517) and tries each key.
    ///
    /// # Errors
    /// When any key in it is not a private signing key that works, or none is left to sign.
    pub fn parse(json: &[u8]) -> Result<Self, InvalidKeySet> {
        let (jwks, lifetimes) = split(json).map_err(|error| InvalidKeySet::Json(error.into()))?;
        if jwks.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany(jwks.len()));
        }
        let mut members = Vec::<Member>::with_capacity(jwks.len());
        for (index, (jwk, lifetime)) in jwks.iter().zip(lifetimes).enumerate() {
            let key = SigningKey::try_from(jwk).and_then(SigningKey::tried).map_err(|fault| {
                InvalidKeySet::Key { position: index + 1, of: jwks.len(), fault }
            })?;
            if members.iter().any(|other| other.key.kid() == key.kid()) {
                return Err(InvalidKeySet::DuplicateKid(key.kid().to_owned()));
            }
            members.push(Member { key: Arc::new(key), lifetime, retires: None });
        }
        Self::of(members)
    }

    fn of(mut members: Vec<Member>) -> Result<Self, InvalidKeySet> {
        if members.is_empty() {
            return Err(InvalidKeySet::Empty);
        }
        let lifetimes: Vec<&Lifetime> = members.iter().map(|member| &member.lifetime).collect();
        let order = Order::of(&lifetimes).ok_or(InvalidKeySet::AllRevoked)?;
        let turns = order.turns();
        let retirements: Vec<_> =
            (0..members.len()).map(|key| order.retirement(key, &turns)).collect();
        for (member, retires) in members.iter_mut().zip(retirements) {
            member.retires = retires;
        }
        Ok(Self { members, turns })
    }

    /// The keys in the order of the file.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Who signs from when on. The first turn begins at 0.
    #[must_use]
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }

    /// The key that signs.
    #[must_use]
    pub fn signing_at(&self, now: UnixSeconds) -> &Member {
        // The first turn begins at 0, so one has begun.
        let turn = self.turns.partition_point(|turn| turn.from <= now).saturating_sub(1);
        &self.members[self.turns[turn].key]
    }

    /// The keys that verifiers have to know, in the order of the file.
    pub fn published_at(&self, now: UnixSeconds) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.is_published_at(now))
    }

    /// Whether it is this very key, not only one of its `kid`, that the file holds.
    #[must_use]
    pub fn holds(&self, key: &SigningKey) -> bool {
        self.members.iter().any(|member| member.key.public_jwk() == key.public_jwk())
    }

    /// What some verifiers will not take.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let live = || self.members.iter().filter(|member| !member.lifetime.is_revoked());
        let mut warnings: Vec<Warning> = live()
            .filter(|member| !member.key.algorithm().is_taken_by_cloud_endpoints())
            .map(|member| Warning::NotForCloudEndpoints {
                kid: member.key.kid().to_owned(),
                alg: member.key.algorithm().name(),
            })
            .collect();
        let mut types = live().map(|member| member.key.algorithm().key_type());
        let first = types.next();
        if types.any(|other| Some(other) != first) {
            warnings.push(Warning::MixedKeyTypes);
        }
        warnings
    }
}

impl Member {
    /// From then on it is no longer published: no token of it lives. `None` while it has no
    /// successor, and for a revoked key, which is never published.
    #[must_use]
    pub fn retires(&self) -> Option<UnixSeconds> {
        self.retires
    }

    #[must_use]
    pub fn is_published_at(&self, now: UnixSeconds) -> bool {
        !self.lifetime.is_revoked() && self.retires.is_none_or(|retires| now < retires)
    }
}

/// The keys of a file in the order in which they start.
struct Order<'a> {
    lifetimes: &'a [&'a Lifetime],
    /// By start; of equals the first in the file comes last, since the last one signs.
    all: Vec<usize>,
    /// Without keys that were revoked before they ever signed: they were nobody's successor.
    used: Vec<usize>,
}

impl<'a> Order<'a> {
    /// `None` when no key is left to sign.
    fn of(lifetimes: &'a [&'a Lifetime]) -> Option<Self> {
        if lifetimes.iter().all(|lifetime| lifetime.is_revoked()) {
            return None;
        }
        let mut all: Vec<usize> = (0..lifetimes.len()).collect();
        all.sort_by_key(|&key| (lifetimes[key].start(), Reverse(key)));
        let used = all.iter().copied().filter(|&key| !lifetimes[key].was_never_used()).collect();
        Some(Self { lifetimes, all, used })
    }

    fn start(&self, key: usize) -> UnixSeconds {
        self.lifetimes[key].start()
    }

    fn is_revoked(&self, key: usize) -> bool {
        self.lifetimes[key].is_revoked()
    }

    /// Who signs from when on. Who signs can change only when a key starts, or when a predecessor
    /// that stood in for a revoked key can do so no longer.
    fn turns(&self) -> Vec<Turn> {
        let starts = self.all.iter().map(|&key| self.start(key));
        let ends = starts.clone().map(|start| start.saturating_add(WAITS.after_last_signature()));
        let mut moments: Vec<UnixSeconds> = std::iter::once(0).chain(starts).chain(ends).collect();
        moments.sort_unstable();
        let mut turns = Vec::<Turn>::new();
        for from in moments {
            let key = self.signs_at(from);
            if turns.last().is_none_or(|turn| turn.key != key) {
                turns.push(Turn { from, key });
            }
        }
        turns
    }

    /// The latest of the keys that have started; if none has, the earliest. If that one is revoked,
    /// another steps in.
    fn signs_at(&self, now: UnixSeconds) -> usize {
        let started = self.used.partition_point(|&key| self.start(key) <= now);
        let turn = match started.checked_sub(1) {
            Some(latest) => self.used[latest],
            None => self.earliest(),
        };
        if self.is_revoked(turn) {
            self.substitute(&self.used[..started], now).unwrap_or(turn)
        } else {
            turn
        }
    }

    fn earliest(&self) -> usize {
        let start = self.start(self.all[0]);
        self.all[self.all.partition_point(|&key| self.start(key) <= start) - 1]
    }

    /// Who signs in place of a revoked key: its predecessor while verifiers still have that one;
    /// else the waiting key that was made first, which most of them have by now, whatever its
    /// start; else the newest.
    fn substitute(&self, started: &[usize], now: UnixSeconds) -> Option<usize> {
        let predecessor = started.iter().rposition(|&key| !self.is_revoked(key));
        if let Some(position) = predecessor
            && let Some(&successor) = started.get(position + 1)
            && now < self.start(successor).saturating_add(WAITS.after_last_signature())
        {
            return Some(started[position]);
        }
        let live = || self.all.iter().copied().filter(|&key| !self.is_revoked(key));
        live()
            .filter(|&key| self.start(key) > now)
            .min_by_key(|&key| (self.lifetimes[key].made, self.start(key), key))
            .or_else(|| live().next_back())
    }

    /// When the last token of a key has died: some time after its last turn, or, if it never has
    /// one, after its successor started.
    fn retirement(&self, key: usize, turns: &[Turn]) -> Option<UnixSeconds> {
        if self.is_revoked(key) {
            return None;
        }
        let last_signature = match turns.iter().rposition(|turn| turn.key == key) {
            Some(turn) => turns.get(turn + 1)?.from,
            None => self.start(self.successor(key)?),
        };
        Some(last_signature.saturating_add(WAITS.after_last_signature()))
    }

    /// The next key that is not revoked. Keys that start together have the same successor: a file
    /// without dates publishes all its keys.
    fn successor(&self, key: usize) -> Option<usize> {
        let later = self.all.partition_point(|&other| self.start(other) <= self.start(key));
        self.all[later..].iter().copied().find(|&other| !self.is_revoked(other))
    }
}

/// The keys of a file, and beside them their lifetimes. A bare JWK is a set of one whose times do
/// not matter, except that it may be revoked.
fn split(json: &[u8]) -> serde_json::Result<(Vec<PrivateJwk>, Vec<Lifetime>)> {
    if is_set(json)? {
        let keys = serde_json::from_slice::<JwkSet<PrivateJwk>>(json)?.keys;
        let lifetimes = serde_json::from_slice::<JwkSet<Lifetime>>(json)?.keys;
        Ok((keys, lifetimes))
    } else {
        let Bare { revoked } = serde_json::from_slice(json)?;
        Ok((vec![serde_json::from_slice(json)?], vec![Lifetime { revoked, ..Lifetime::default() }]))
    }
}

/// Whether it is a JWK Set, not a bare JWK.
pub(super) fn is_set(json: &[u8]) -> serde_json::Result<bool> {
    serde_json::from_slice(json).map(|Shape { kty, keys }| kty.is_none() && keys.is_some())
}

/// Enough of the file to tell a JWK from a JWK Set.
#[derive(Deserialize)]
struct Shape {
    kty: Option<IgnoredAny>,
    keys: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct JwkSet<T> {
    keys: Vec<T>,
}

/// Other dated members of a bare JWK are not even read: the Go service takes anything there.
#[derive(Deserialize)]
struct Bare {
    #[serde(default, deserialize_with = "present")]
    revoked: Option<Revocation>,
}

/// `null` is present, too.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Revocation>, D::Error> {
    Revocation::deserialize(deserializer).map(Some)
}
