//! What a token says.
//!
//! Claims can be made from a [`VerifiedKey`] only, and only an exchange makes those.

mod skew;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use smallvec::SmallVec;
use uuid::Uuid;

pub use self::skew::{ClockSkewAllowance, InvalidAllowance};
use crate::environment::UnixSeconds;
use crate::exchange::{TokenFamily, VerifiedKey};
use crate::go_json;

/// The `iss` of every token (contract, section Tokens).
pub const ISSUER: &str = "token-exchange";

/// The claims of one token, in the bytes that are signed.
#[derive(Debug)]
pub struct Claims {
    json: Vec<u8>,
}

/// Why there is no token for a key that is right.
#[derive(Debug, thiserror::Error)]
pub enum NoClaims {
    #[error("the organization has a numeric id, and a token can only state a name")]
    NumberedOrganization,
    #[error("the claims could not be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Claims {
    /// Says who the key belongs to, from `now` for the lifetime of its family. The allowance moves
    /// `nbf` alone: no token lives longer for it.
    ///
    /// # Errors
    /// When the record of the key has nothing that a token could state.
    pub fn of<F: TokenFamily>(
        key: &VerifiedKey<'_, F>,
        now: UnixSeconds,
        allowance: ClockSkewAllowance,
        jti: Uuid,
    ) -> Result<Self, NoClaims> {
        let mut jti_text = Uuid::encode_buffer();
        // In place, with room for those of the family.
        let mut members: SmallVec<[Claim<'_>; 9]> = SmallVec::new();
        members.extend([
            ("aud", ClaimValue::Text(F::NAME)),
            ("exp", ClaimValue::Time(now.saturating_add(F::LIFETIME_SECONDS))),
            ("iat", ClaimValue::Time(now)),
            ("iss", ClaimValue::Text(ISSUER)),
            ("jti", ClaimValue::Text(jti.hyphenated().encode_lower(&mut jti_text))),
            ("nbf", ClaimValue::Time(now.saturating_sub(allowance.seconds()))),
        ]);
        key.add_own_claims(&mut members)?;
        members.sort_unstable_by_key(|(name, _)| *name);
        Ok(Self { json: go_json::to_vec(&SortedMembers(&members))? })
    }

    /// Claims of nobody, for tests of what only signs them.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self { json: b"{}".to_vec() }
    }

    /// The JSON object: members sorted by name, no blank space.
    #[must_use]
    pub fn as_json(&self) -> &[u8] {
        &self.json
    }
}

/// A claim that a token family adds to the registered ones.
pub type Claim<'a> = (&'static str, ClaimValue<'a>);

/// What a claim can hold.
#[derive(Debug, Clone, Copy)]
pub enum ClaimValue<'a> {
    Text(&'a str),
    /// The whole range: a number stays an integer, whatever a verifier makes of it.
    Integer(i64),
    /// `NumericDate`, in whole seconds.
    Time(UnixSeconds),
}

impl Serialize for ClaimValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(number) => serializer.serialize_i64(*number),
            Self::Time(seconds) => serializer.serialize_u64(*seconds),
        }
    }
}

struct SortedMembers<'a>(&'a [Claim<'a>]);

impl Serialize for SortedMembers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
