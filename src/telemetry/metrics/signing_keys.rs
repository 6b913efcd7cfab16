//! The signing keys on the metrics page: asked for when the page is, since they change with time.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::signer::{Signer, SignerHealth};

/// Reads the health of a signer whenever the page is written.
pub(super) struct SigningKeys {
    signer: Arc<Signer>,
    descriptions: Vec<Desc>,
}

const FAILURES: (&str, &str) = (
    "tokenexchange_signing_key_reload_failures_total",
    "Looks at the private key file that found none that could be used.",
);
const INFO: (&str, &str) = (
    "tokenexchange_signing_key_set_info",
    "Always 1; the hash is equal on instances that publish the same keys.",
);
const NEXT_START: (&str, &str) = (
    "tokenexchange_signing_key_next_start_seconds",
    "Time until another key begins to sign; absent while none waits.",
);
const NEXT_RETIREMENT: (&str, &str) = (
    "tokenexchange_signing_key_next_retirement_seconds",
    "Time until a key leaves the key set; absent while none will.",
);
const PAST_EXPIRY: (&str, &str) = (
    "tokenexchange_signing_key_past_expiry_seconds",
    "For how long the key that signs has been past its exp; 0 is right.",
);

impl SigningKeys {
    pub(super) fn of(signer: Arc<Signer>) -> prometheus::Result<Self> {
        let describe = |(name, help): (&str, &str), labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
        };
        let descriptions = vec![
            describe(FAILURES, &[])?,
            describe(INFO, &["hash"])?,
            describe(NEXT_START, &[])?,
            describe(NEXT_RETIREMENT, &[])?,
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
            past_expiry,
        } = self.signer.health();
        let mut families =
            vec![counter(FAILURES, reload_failures), gauge(PAST_EXPIRY, past_expiry, None)];
        families.push(gauge(INFO, 1, Some(("hash", &key_set_hash))));
        families.extend(next_start.map(|seconds| gauge(NEXT_START, seconds, None)));
        families.extend(next_retirement.map(|seconds| gauge(NEXT_RETIREMENT, seconds, None)));
        families
    }
}

fn counter(family: (&str, &str), value: u64) -> MetricFamily {
    let mut counter = Counter::default();
    counter.set_value(as_float(value));
    let mut metric = Metric::default();
    metric.set_counter(counter);
    of_one(family, MetricType::COUNTER, metric)
}

fn gauge(family: (&str, &str), value: u64, label: Option<(&str, &str)>) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(as_float(value));
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    if let Some((name, value)) = label {
        let mut label = LabelPair::default();
        label.set_name(name.to_owned());
        label.set_value(value.to_owned());
        metric.set_label(vec![label]);
    }
    of_one(family, MetricType::GAUGE, metric)
}

fn of_one((name, help): (&str, &str), kind: MetricType, metric: Metric) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(vec![metric]);
    family
}

/// Exact up to 2^53, which neither seconds nor failures reach.
#[allow(clippy::cast_precision_loss, reason = "no such number comes here")]
fn as_float(value: u64) -> f64 {
    value as f64
}
