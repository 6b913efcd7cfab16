//! What the `signing-key` commands change in a key file: members of a key that they do not know
//! stay.
//!
//! Changes are made on the JSON, and what comes out is parsed again before anybody gets it: a
//! command cannot write a file that the service would refuse.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::jwk::SigningKey;
use super::key_file::KeyFile;
use super::key_set::{InvalidKeySet, KeySet, Member, is_set};
use super::lifetime::WAITS;
use super::{KeyFileError, Lifetime};
use crate::environment::UnixSeconds;

/// The JSON of a key file, to be edited, with the keys that it holds.
pub struct KeyDocument {
    read: Zeroizing<Vec<u8>>,
    keys: Vec<Members>,
    parsed: KeySet,
}

/// Why a key file cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error(transparent)]
    File(#[from] KeyFileError),
    #[error("there is no key {0:?} in the file")]
    NoSuchKey(String),
    #[error("key {0:?} is revoked already")]
    RevokedAlready(String),
    #[error("the file would be refused by the service: {0}")]
    Refused(InvalidKeySet),
    #[error("the file could not be written as JSON")]
    Json,
}

/// When a key was made and when it is meant to begin to sign, for a key that is added.
#[derive(Debug, Clone, Copy)]
pub struct Dates {
    pub made: UnixSeconds,
    pub not_before: UnixSeconds,
}

impl KeyDocument {
    /// Reads a key file.
    ///
    /// # Errors
    /// When it cannot be read, or the service would refuse it.
    pub fn read(file: &KeyFile) -> Result<Self, EditError> {
        let json = file.read()?;
        let parsed = KeySet::parse(&json).map_err(|error| file.invalid(error))?;
        let keys = if is_set(&json).map_err(|_| EditError::Json)? {
            serde_json::from_slice::<Set>(&json).map_err(|_| EditError::Json)?.keys
        } else {
            vec![undated(serde_json::from_slice(&json).map_err(|_| EditError::Json)?)]
        };
        Ok(Self { read: json, keys, parsed })
    }

    /// The file as it was read, by which [`KeyFile::replace`] tells whether it still stands.
    #[must_use]
    pub fn as_read(&self) -> Zeroizing<Vec<u8>> {
        self.read.clone()
    }

    /// The keys of the file as it stands; changes show in [`Self::finish`].
    #[must_use]
    pub fn keys(&self) -> &KeySet {
        &self.parsed
    }

    /// The keys that wait for their start: they are published, and have not signed.
    pub fn waiting_at(&self, now: UnixSeconds) -> impl Iterator<Item = &Member> {
        let signing = self.parsed.signing_at(now).key.kid();
        self.parsed.members().iter().filter(move |member| {
            let Lifetime { revoked, .. } = &member.lifetime;
            revoked.is_none() && member.lifetime.start() > now && member.key.kid() != signing
        })
    }

    /// Adds a private JWK at the end.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn add(&mut self, jwk: &SecretString, dates: Dates) -> Result<(), EditError> {
        let mut key: Members =
            serde_json::from_str(jwk.expose_secret()).map_err(|_| EditError::Json)?;
        key.date(dates);
        self.keys.push(key);
        Ok(())
    }

    /// Gives a key other dates.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn date(&mut self, kid: &str, dates: Dates) -> Result<(), EditError> {
        self.key(kid)?.date(dates);
        Ok(())
    }

    /// Marks a key as one that nobody may trust any more.
    ///
    /// # Errors
    /// When there is no such key, or it is revoked already.
    pub fn revoke(&mut self, kid: &str, now: UnixSeconds, reason: &str) -> Result<(), EditError> {
        let key = self.key(kid)?;
        if key.value("revoked").is_some() {
            return Err(EditError::RevokedAlready(kid.to_owned()));
        }
        key.set("revoked", serde_json::json!({ "revoked_at": now, "reason": reason }));
        Ok(())
    }

    /// Drops the keys of which no token lives, and revoked ones that every instance has seen
    /// revoked and that have a successor. Says which.
    pub fn drop_past_use(&mut self, now: UnixSeconds) -> Vec<String> {
        let past: Vec<String> = self
            .parsed
            .members()
            .iter()
            .filter(|member| self.is_past_use(member, now))
            .map(|member| member.key.kid().to_owned())
            .collect();
        self.keys.retain(|key| !past.iter().any(|kid| key.kid() == Some(kid)));
        past
    }

    fn is_past_use(&self, member: &Member, now: UnixSeconds) -> bool {
        // Another instance's clock may be behind.
        let now = now.saturating_sub(WAITS.clock_skew);
        let Some(revocation) = &member.lifetime.revoked else {
            return member.retires().is_some_and(|retires| retires <= now);
        };
        let revoked_at = revocation.at.unwrap_or(0).max(member.lifetime.made);
        let is_seen = revoked_at.saturating_add(WAITS.secret_reaches_instances) <= now;
        let has_successor = self.parsed.members().iter().any(|other| {
            let start = other.lifetime.start();
            !other.lifetime.is_revoked()
                && start >= member.lifetime.start()
                && start.saturating_add(WAITS.after_last_signature()) <= now
        });
        is_seen && (has_successor || member.lifetime.was_never_used())
    }

    /// The file after the changes: always a JWK Set; and the keys that the service makes of it.
    ///
    /// # Errors
    /// When the service would refuse it.
    pub fn finish(self) -> Result<(SecretString, KeySet), EditError> {
        let mut json = Zeroizing::new(
            serde_json::to_string_pretty(&Set { keys: self.keys }).map_err(|_| EditError::Json)?,
        );
        json.push('\n');
        let keys = KeySet::parse(json.as_bytes()).map_err(EditError::Refused)?;
        Ok((SecretString::from(json.as_str()), keys))
    }

    /// One key as a bare private JWK, without the members that say when it lives: what the Go
    /// service takes.
    ///
    /// # Errors
    /// When there is no such key, or it is revoked.
    pub fn extract(mut self, kid: &str) -> Result<SecretString, EditError> {
        let key = self.key(kid)?;
        if key.value("revoked").is_some() {
            return Err(EditError::RevokedAlready(kid.to_owned()));
        }
        let bare = undated(std::mem::take(key));
        let mut json =
            Zeroizing::new(serde_json::to_string_pretty(&bare).map_err(|_| EditError::Json)?);
        json.push('\n');
        Ok(SecretString::from(json.as_str()))
    }

    fn key(&mut self, kid: &str) -> Result<&mut Members, EditError> {
        self.keys
            .iter_mut()
            .find(|key| key.kid() == Some(kid))
            .ok_or_else(|| EditError::NoSuchKey(kid.to_owned()))
    }
}

/// Whether a key of this kid could be added.
#[must_use]
pub fn is_free(keys: &KeySet, kid: &str) -> bool {
    !keys.members().iter().map(|member| &*member.key).map(SigningKey::kid).any(|known| known == kid)
}

/// The times of a bare JWK do not matter, so they must not begin to in a set.
fn undated(mut key: Members) -> Members {
    key.0.retain(|(name, _)| !matches!(name.as_str(), "iat" | "nbf" | "exp"));
    key
}

#[derive(Serialize, Deserialize)]
struct Set {
    keys: Vec<Members>,
}

/// The members of a JWK in their order.
#[derive(Default)]
struct Members(Vec<(String, Value)>);

impl Members {
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn kid(&self) -> Option<&str> {
        self.value("kid")?.as_str()
    }

    fn set(&mut self, name: &str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn date(&mut self, dates: Dates) {
        self.set("iat", dates.made.into());
        self.set("nbf", dates.not_before.into());
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a private JWK")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
