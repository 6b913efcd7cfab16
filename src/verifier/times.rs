//! When a token is valid (RFC 7519, section 4.1), for verifiers that allow for wrong clocks.

use serde_json::{Map, Value};

use crate::environment::UnixSeconds;

/// The times that a token states, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Times {
    pub issued: Option<f64>,
    pub not_before: Option<f64>,
    pub expires: Option<f64>,
}

impl Times {
    pub(super) fn of(claims: &Map<String, Value>) -> Self {
        let time = |name| claims.get(name).and_then(Value::as_f64);
        Self { issued: time("iat"), not_before: time("nbf"), expires: time("exp") }
    }

    /// Why a verifier that allows for so many seconds refuses it; `None` if it does not.
    pub(super) fn refusal(&self, now: UnixSeconds, leeway: f64, reads_iat: bool) -> Option<String> {
        // Exact until the year 285 million.
        #[allow(clippy::cast_precision_loss, reason = "see above")]
        let now = now as f64;
        let (Some(issued), Some(not_before), Some(expires)) =
            (self.issued, self.not_before, self.expires)
        else {
            return Some("it lacks a time: iat, nbf and exp have to be numbers".to_owned());
        };
        if now - leeway >= expires {
            Some(format!("it expired {} s ago", now - expires))
        } else if now + leeway < not_before {
            Some(format!("it is valid only in {} s (nbf): is a clock wrong?", not_before - now))
        } else if reads_iat && now + leeway < issued {
            Some(format!("it was issued in {} s (iat): is a clock wrong?", issued - now))
        } else {
            None
        }
    }
}
