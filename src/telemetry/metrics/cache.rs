//! The cache of keys on the metrics page: its own figures, read when the page is.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, counters, describe, gauge, gauges, histograms};
use crate::key_store::cached::Cached;

/// Reads the figures of a cache whenever the page is written.
pub(super) struct KeyCache {
    cache: Arc<Cached>,
    descriptions: Vec<Desc>,
}

const ANSWERS: Named =
    ("tokenexchange_cache_answers_total", "Questions for a key, by what their answers rest on.");
const ENTRIES: Named =
    ("tokenexchange_cache_entries", "What is remembered: keys, and absences of them.");
const READS: Named = (
    "tokenexchange_store_read_duration_seconds",
    "Reads of the key store by what became of them, their retries included.",
);
const JOINED: Named = (
    "tokenexchange_cache_joined_reads_total",
    "Questions that waited for a read that another had begun.",
);
const IN_FLIGHT: Named =
    ("tokenexchange_store_reads_in_flight", "Reads of the key store under way.");

impl KeyCache {
    pub(super) fn of(cache: Arc<Cached>) -> prometheus::Result<Self> {
        let descriptions = vec![
            describe(ANSWERS, &["source"])?,
            describe(ENTRIES, &["kind"])?,
            describe(READS, &["outcome"])?,
            describe(JOINED, &[])?,
            describe(IN_FLIGHT, &[])?,
        ];
        Ok(Self { cache, descriptions })
    }
}

impl Collector for KeyCache {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (figures, entries) = (self.cache.figures(), self.cache.entries());
        let kinds = [("key", entries.keys), ("absence", entries.absences)];
        vec![
            counters(ANSWERS, "source", figures.answers()),
            gauges(ENTRIES, "kind", kinds.map(|(kind, entries)| (kind, entries as u64))),
            histograms(READS, "outcome", figures.reads()),
            counter(JOINED, figures.joined_reads()),
            gauge(IN_FLIGHT, figures.reads_in_flight()),
        ]
    }
}
