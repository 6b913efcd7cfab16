//! Key files made for tests: Ed25519, because such keys are made in microseconds.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use token_exchange::signer::generate::{RsaSize, private_jwk};
use token_exchange::signer::{Algorithm, KeySet, WAITS};

/// 2026-01-01T00:00:00Z; far from 0, so that a missing time is told from a small one.
pub const DAY_ZERO: u64 = 1_767_225_600;
pub const HOUR: u64 = 3600;

/// A private key of this kid, without dates.
pub fn key(kid: &str) -> Value {
    key_for("EdDSA", kid)
}

pub fn key_for(alg: &str, kid: &str) -> Value {
    let algorithm = Algorithm::from_name(alg).unwrap();
    let jwk = private_jwk(algorithm, RsaSize::default(), Some(kid)).unwrap();
    serde_json::from_str(jwk.expose_secret()).unwrap()
}

/// A private key that may sign from `start` on, because it was made long before.
pub fn key_from(kid: &str, start: u64) -> Value {
    dated(key(kid), start - 2 * WAITS.before_start(), start)
}

pub fn dated(mut key: Value, iat: u64, nbf: u64) -> Value {
    key["iat"] = iat.into();
    key["nbf"] = nbf.into();
    key
}

pub fn revoked(mut key: Value, at: u64) -> Value {
    key["revoked"] = json!({ "revoked_at": at, "reason": "compromised" });
    key
}

pub fn set(keys: &[Value]) -> Vec<u8> {
    serde_json::to_vec(&json!({ "keys": keys })).unwrap()
}

pub fn parse(keys: &[Value]) -> KeySet {
    KeySet::parse(&set(keys)).unwrap()
}

pub fn signing(keys: &KeySet, now: u64) -> &str {
    keys.signing_at(now).key.kid()
}

pub fn published(keys: &KeySet, now: u64) -> Vec<&str> {
    keys.published_at(now).map(|member| member.key.kid()).collect()
}
