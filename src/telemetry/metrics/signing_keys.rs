//! The signing keys on the metrics page: asked for when the page is, since they change with time.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, describe, gauge, gauges};
use crate::signer::{Signer, SignerHealth};

/// Reads the health of a signer whenever the page is written.
pub(super) struct SigningKeys {
    signer: Arc<Signer>,
    descriptions: Vec<Desc>,
}

const FAILURES: Named = (
    "tokenexchange_signing_key_reload_failures_total",
    "Looks at the private key file that found none that could be used.",
);
const INFO: Named = (
    "tokenexchange_signing_key_set_info",
    "Always 1; the hash is equal on instances that publish the same keys.",
);
const NEXT_START: Named = (
    "tokenexchange_signing_key_next_start_seconds",
    "Time until another key begins to sign; absent while none waits.",
);
const NEXT_RETIREMENT: Named = (
    "tokenexchange_signing_key_next_retirement_seconds",
    "Time until a key leaves the key set; absent while none will.",
);
const EXPIRY: Named = (
    "tokenexchange_signing_key_expiry_seconds",
    "Time until the key that signs comes to its exp, 0 from then on; absent without an exp.",
);
const PAST_EXPIRY: Named = (
    "tokenexchange_signing_key_past_expiry_seconds",
    "For how long the key that signs has been past its exp; 0 is right.",
);

impl SigningKeys {
    pub(super) fn of(signer: Arc<Signer>) -> prometheus::Result<Self> {
        let descriptions = vec![
            describe(FAILURES, &[])?,
            describe(INFO, &["hash"])?,
            describe(NEXT_START, &[])?,
            describe(NEXT_RETIREMENT, &[])?,
            describe(EXPIRY, &[])?,
            describe(PAST_EXPIRY, &[])?,
        ];
        Ok(Self { signer, descriptions })
    }
}

impl Collector for SigningKeys {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let SignerHealth {
            reload_failures,
            key_set_hash,
            next_start,
            next_retirement,
            until_expiry,
            past_expiry,
        } = self.signer.health();
        let mut families =
            vec![counter(FAILURES, reload_failures), gauge(PAST_EXPIRY, past_expiry)];
        families.push(gauges(INFO, "hash", [(key_set_hash.as_str(), 1)]));
        families.extend(until_expiry.map(|seconds| gauge(EXPIRY, seconds)));
        families.extend(next_start.map(|seconds| gauge(NEXT_START, seconds)));
        families.extend(next_retirement.map(|seconds| gauge(NEXT_RETIREMENT, seconds)));
        families
    }
}
