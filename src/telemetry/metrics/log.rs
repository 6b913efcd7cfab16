//! The lines of the log on the metrics page.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counters, describe};
use crate::telemetry::logs::LineFigures;

const DROPPED: Named = (
    "tokenexchange_log_lines_dropped_total",
    "Lines of the log that were not written because they were not read fast enough.",
);

/// Reads what has become of the lines whenever the page is written.
pub(super) struct Log {
    lines: Arc<LineFigures>,
    description: Desc,
}

impl Log {
    pub(super) fn of(lines: Arc<LineFigures>) -> prometheus::Result<Self> {
        Ok(Self { lines, description: describe(DROPPED, &["kind"])? })
    }
}

impl Collector for Log {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        vec![counters(DROPPED, "kind", self.lines.dropped())]
    }
}
