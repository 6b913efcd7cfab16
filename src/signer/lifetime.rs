//! When a signing key lives: the dated members of a key in the file, and the waits that make a
//! rotation safe.
//!
//! The names are those of OpenID Federation 1.0 (section on historical keys): `iat`, `nbf`, `exp`
//! and `revoked`, times in seconds since the Unix epoch.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};

use crate::environment::UnixSeconds;

/// What happens between the making of a key and the last token of it, in seconds.
///
/// Constants and not flags: two instances that go by different waits break tokens.
#[derive(Debug)]
pub struct Waits {
    /// A new version of a mounted secret reaches every instance.
    pub secret_reaches_instances: u64,
    /// What the key set's `Cache-Control: max-age` lets verifiers keep it for.
    pub key_set_max_age: u64,
    /// Some verifiers go on with a stale key set while they cannot fetch another.
    pub stale_key_set: u64,
    /// Cloud Endpoints keeps a key set, whatever `Cache-Control` says.
    pub cloud_endpoints_cache: u64,
    /// The clocks of two instances differ by this much at most: each by half of it.
    pub clock_skew: u64,
    /// The longest lifetime of a token: that of the family `autojoin`.
    pub longest_token: u64,
    /// How long after their `exp` verifiers take tokens: the default of go-jose.
    pub leeway: u64,
}

/// The waits of every instance.
pub const WAITS: Waits = Waits {
    secret_reaches_instances: 12 * 3600,
    key_set_max_age: 3600,
    stale_key_set: 3600,
    cloud_endpoints_cache: 300,
    clock_skew: 60,
    longest_token: 3600,
    leeway: 60,
};

impl Waits {
    /// From the making of a key to its first signature: by then every verifier can know it.
    #[must_use]
    pub const fn before_start(&self) -> u64 {
        self.secret_reaches_instances
            + self.key_set_max_age
            + self.stale_key_set
            + self.cloud_endpoints_cache
            + self.clock_skew
    }

    /// From the last signature of a key to its leaving the key set: by then no token of it lives.
    #[must_use]
    pub const fn after_last_signature(&self) -> u64 {
        self.longest_token + self.leeway + self.clock_skew
    }

    /// How long an instance goes on signing with a key that the file has lost: by then verifiers
    /// that keep to `max-age` have fetched the key that took its place.
    #[must_use]
    pub const fn after_loss(&self) -> u64 {
        self.key_set_max_age + self.cloud_endpoints_cache + self.clock_skew
    }
}

/// The dated members of one key. Without any, it is a key of old that can sign at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// `iat`: when the key was made. 0 where it is missing.
    pub made: UnixSeconds,
    /// `nbf`: when the key is meant to begin to sign. 0 where it is missing.
    pub not_before: UnixSeconds,
    /// `exp`: until when the key is meant to sign. It moves nothing; it is only told.
    pub expires: Option<UnixSeconds>,
    /// `revoked`: its presence decides, whatever it holds.
    pub revoked: Option<Revocation>,
}

/// What `revoked` says of a key that nobody may trust any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revocation {
    /// `revoked_at`, where it can be read.
    pub at: Option<UnixSeconds>,
    /// `reason`, where it can be read.
    pub reason: Option<String>,
}

impl Lifetime {
    /// When the key begins to sign: as it is meant to, but not before every verifier can know it.
    #[must_use]
    pub fn start(&self) -> UnixSeconds {
        self.not_before.max(self.made.saturating_add(WAITS.before_start()))
    }

    /// The last moment at which a file with this key can be uploaded without a failure.
    #[must_use]
    pub fn upload_by(&self) -> UnixSeconds {
        self.start().saturating_sub(WAITS.before_start())
    }

    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.is_some()
    }

    /// Revoked while it was still waiting: no token of it exists.
    ///
    /// Only where the times can be believed: a key without `iat`, or with a `revoked_at` from before
    /// it was made, counts as used.
    pub(super) fn was_never_used(&self) -> bool {
        let revoked_at = self.revoked.as_ref().and_then(|revocation| revocation.at);
        self.made > 0 && revoked_at.is_some_and(|at| (self.made..self.start()).contains(&at))
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LifetimeVisitor)
    }
}

struct LifetimeVisitor;

impl<'de> Visitor<'de> for LifetimeVisitor {
    type Value = Lifetime;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a private JWK")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Lifetime, A::Error> {
        let (mut made, mut not_before, mut expires, mut revoked) = (None, None, None, None);
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "iat" => once(&mut made, "iat", members.next_value::<Seconds>()?.0)?,
                "nbf" => once(&mut not_before, "nbf", members.next_value::<Seconds>()?.0)?,
                "exp" => once(&mut expires, "exp", members.next_value::<Seconds>()?.0)?,
                // Not an `Option` of serde's: `null` is present, too.
                "revoked" => once(&mut revoked, "revoked", members.next_value()?)?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Lifetime {
            made: made.flatten().unwrap_or_default(),
            not_before: not_before.flatten().unwrap_or_default(),
            expires: expires.flatten(),
            revoked,
        })
    }
}

/// Two instances, or a command and an instance, must not take different ones of two dates.
fn once<T, E: de::Error>(member: &mut Option<T>, name: &'static str, value: T) -> Result<(), E> {
    match member.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(name)),
    }
}

impl<'de> Deserialize<'de> for Revocation {
    /// Takes anything: a key must not come back to life because of a slip of the pen.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self {
            at: value.get("revoked_at").and_then(serde_json::Value::as_u64),
            reason: value.get("reason").and_then(|reason| reason.as_str()).map(str::to_owned),
        })
    }
}

/// A `NumericDate` (RFC 7519, section 2) of whole seconds, or `null`, which is as good as missing.
struct Seconds(Option<UnixSeconds>);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Option::<serde_json::Number>::deserialize(deserializer)?;
        number.map(|number| whole_seconds(&number)).transpose().map(Self)
    }
}

/// 9999-12-31T23:59:59Z. What is later is a slip, as a rule milliseconds: such a key would wait for
/// ever.
const LAST_SECOND: UnixSeconds = 253_402_300_799;

fn whole_seconds<E: de::Error>(number: &serde_json::Number) -> Result<UnixSeconds, E> {
    // Some tools write 1700000000.0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
    let from_float = |float: f64| {
        (float.fract() == 0.0 && (0.0..1e12).contains(&float)).then_some(float as UnixSeconds)
    };
    number
        .as_u64()
        .or_else(|| number.as_f64().and_then(from_float))
        .filter(|seconds| *seconds <= LAST_SECOND)
        .ok_or_else(|| E::custom("not whole seconds since 1970"))
}
