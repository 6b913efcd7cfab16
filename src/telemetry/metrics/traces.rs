//! Traces on the metrics page.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, counters, describe};
use crate::telemetry::traces::TraceFigures;

const EXPORTED: Named = (
    "tokenexchange_traces_exported_total",
    "Exchanges whose spans were taken by the collector of traces.",
);
const DROPPED: Named = (
    "tokenexchange_traces_dropped_total",
    "Exchanges whose spans were lost: there was no room in the queue, or the collector did not take \
     them.",
);

/// Reads what became of traces whenever the page is written.
pub(super) struct TraceExports {
    figures: Arc<TraceFigures>,
    descriptions: [Desc; 2],
}

impl TraceExports {
    pub(super) fn of(figures: Arc<TraceFigures>) -> prometheus::Result<Self> {
        let descriptions = [describe(EXPORTED, &[])?, describe(DROPPED, &["reason"])?];
        Ok(Self { figures, descriptions })
    }
}

impl Collector for TraceExports {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let lost =
            [("export_failed", self.figures.failed()), ("queue_full", self.figures.dropped())];
        vec![counter(EXPORTED, self.figures.exported()), counters(DROPPED, "reason", lost)]
    }
}
