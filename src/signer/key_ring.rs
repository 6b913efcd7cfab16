//! What one instance signs with and publishes: the keys of its file and, after an unsafe rotation,
//! those that the file has lost.
//!
//! Every state is computed ahead, when a file is read: a request looks its moment up and copies
//! bytes, and the answer changes at the right second even if nothing happens then.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::jwk::SigningKey;
use super::key_set::{InvalidKeySet, KeySet};
use super::lifetime::WAITS;
use crate::environment::UnixSeconds;

/// The most lost keys that are kept. By number, not by time: a clock that jumps forward and comes
/// back must find them again. One an hour, which is far too often to lose keys, is all of those
/// whose tokens can still live.
const MAX_LOST: usize = 4;

/// The keys of an instance, for all times to come.
#[derive(Debug)]
pub struct KeyRing {
    file: KeySet,
    lost: Vec<LostKey>,
    /// Never empty; the first state is of all times before the second.
    states: Vec<State>,
}

/// Which key signs and what is published, from one moment to the next.
#[derive(Debug)]
pub struct State {
    from: UnixSeconds,
    signing: Arc<SigningKey>,
    published: Vec<Arc<SigningKey>>,
    jwk_set: JwkSet,
}

/// A JWK Set (RFC 7517, section 5) of public keys as it goes over the wire. Clones share the bytes.
#[derive(Debug, Clone)]
pub struct JwkSet {
    json: Bytes,
    entity_tag: Bytes,
}

/// A key that signed when a new file no longer held it. There is no way to do this safely; the best
/// is to publish both keys and to go on with the one that verifiers know.
#[derive(Debug, Clone)]
struct LostKey {
    key: Arc<SigningKey>,
    signs_until: UnixSeconds,
    published_until: UnixSeconds,
}

/// What a new file means for the tokens under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// Nothing that verifiers could notice.
    Safe,
    /// The file lost the key that signs. It goes on to sign until then, here: an instance that did
    /// not know it does not.
    Unsafe { lost_kid: String, signs_until: UnixSeconds },
}

impl KeyRing {
    /// The keys of an instance that starts with this file.
    #[must_use]
    pub fn of(file: KeySet) -> Self {
        Self::with_lost(file, Vec::new())
    }

    /// The keys after a new file was read.
    ///
    /// # Errors
    /// When the file gives the `kid` of a key that is in use to another key.
    pub fn renewed(
        &self,
        file: KeySet,
        now: UnixSeconds,
    ) -> Result<(Self, Rotation), InvalidKeySet> {
        let state = self.at(now);
        let reused = file.members().iter().find(|member| {
            state.published.iter().any(|known| {
                known.kid() == member.key.kid() && known.public_jwk() != member.key.public_jwk()
            })
        });
        if let Some(member) = reused {
            return Err(InvalidKeySet::KidReused(member.key.kid().to_owned()));
        }
        // By kid: what was lost is back, or its name was given to another key when it was over.
        let is_in_file = |lost: &&LostKey| {
            file.members().iter().any(|member| member.key.kid() == lost.key.kid())
        };
        let mut lost: Vec<LostKey> =
            self.lost.iter().filter(|lost| !is_in_file(lost)).cloned().collect();
        let signing = &state.signing;
        if file.holds(signing) || lost.iter().any(|lost| now < lost.signs_until) {
            return Ok((Self::with_lost(file, lost), Rotation::Safe));
        }
        let signs_until = now.saturating_add(WAITS.after_loss());
        lost.drain(..(lost.len() + 1).saturating_sub(MAX_LOST));
        lost.push(LostKey {
            key: Arc::clone(signing),
            signs_until,
            published_until: signs_until.saturating_add(WAITS.after_last_signature()),
        });
        let rotation = Rotation::Unsafe { lost_kid: signing.kid().to_owned(), signs_until };
        Ok((Self::with_lost(file, lost), rotation))
    }

    fn with_lost(file: KeySet, lost: Vec<LostKey>) -> Self {
        let turns = file.turns().iter().map(|turn| turn.from);
        let retirements = file.members().iter().filter_map(super::key_set::Member::retires);
        let losses = lost.iter().flat_map(|lost| [lost.signs_until, lost.published_until]);
        let mut moments: Vec<UnixSeconds> = turns.chain(retirements).chain(losses).collect();
        moments.sort_unstable();
        moments.dedup();
        let states = moments.into_iter().map(|from| State::at(&file, &lost, from)).collect();
        Self { file, lost, states }
    }

    /// What holds at a moment.
    #[must_use]
    pub fn at(&self, now: UnixSeconds) -> &State {
        let next = self.states.partition_point(|state| state.from <= now);
        &self.states[next.saturating_sub(1)]
    }

    /// The keys of the file.
    #[must_use]
    pub fn file(&self) -> &KeySet {
        &self.file
    }

    /// When another key begins to sign.
    #[must_use]
    pub fn next_start(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        let kid = self.at(now).signing_kid();
        self.later(now).find(|state| state.signing_kid() != kid).map(|state| state.from)
    }

    /// When a key leaves the key set.
    #[must_use]
    pub fn next_retirement(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        let count = self.at(now).published.len();
        self.later(now).find(|state| state.published.len() < count).map(|state| state.from)
    }

    fn later(&self, now: UnixSeconds) -> impl Iterator<Item = &State> {
        self.states.iter().filter(move |state| state.from > now)
    }
}

impl State {
    fn at(file: &KeySet, lost: &[LostKey], now: UnixSeconds) -> Self {
        let signing = lost
            .iter()
            .find(|lost| now < lost.signs_until)
            .map_or_else(|| &file.signing_at(now).key, |lost| &lost.key);
        let others = file
            .published_at(now)
            .map(|member| &member.key)
            .chain(lost.iter().filter(|lost| now < lost.published_until).map(|lost| &lost.key))
            .filter(|key| key.kid() != signing.kid());
        // The signing key first: some verifiers try the keys in their order.
        let published: Vec<_> = std::iter::once(signing).chain(others).map(Arc::clone).collect();
        let jwk_set = JwkSet::of(&published);
        Self { from: now, signing: Arc::clone(signing), published, jwk_set }
    }

    /// The key that signs.
    #[must_use]
    pub fn signing_key(&self) -> &Arc<SigningKey> {
        &self.signing
    }

    /// The `kid` of the key that signs.
    #[must_use]
    pub fn signing_kid(&self) -> &str {
        self.signing.kid()
    }

    /// The `kid`s of the keys that are published, the one that signs first.
    pub fn published_kids(&self) -> impl Iterator<Item = &str> {
        self.published.iter().map(|key| key.kid())
    }

    /// The public keys, the one that signs first.
    #[must_use]
    pub fn jwk_set(&self) -> &JwkSet {
        &self.jwk_set
    }
}

impl JwkSet {
    fn of(keys: &[Arc<SigningKey>]) -> Self {
        let members: Vec<&str> = keys.iter().map(|key| key.public_jwk()).collect();
        let json = Bytes::from(format!("{{\"keys\":[{}]}}\n", members.join(",")));
        let entity_tag = Bytes::from(format!("\"{}\"", hex::encode(&Sha256::digest(&json)[..16])));
        Self { json, entity_tag }
    }

    /// The JSON, with a newline at its end.
    #[must_use]
    pub fn json(&self) -> Bytes {
        self.json.clone()
    }

    /// A strong entity tag (RFC 9110, section 8.8.3) with its quotes: equal for equal bytes, on
    /// every instance.
    #[must_use]
    pub fn entity_tag(&self) -> Bytes {
        self.entity_tag.clone()
    }
}
