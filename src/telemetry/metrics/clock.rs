//! The wall clock on the metrics page.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, describe};
use crate::environment::{System, WatchedClock};

const JUMPS: Named = (
    "tokenexchange_clock_jumps_total",
    "Jumps of the wall clock by more than five minutes; each is in the log.",
);

/// Reads what was seen of a clock whenever the page is written.
pub(super) struct ClockJumps {
    clock: Arc<WatchedClock<System>>,
    description: Desc,
}

impl ClockJumps {
    pub(super) fn of(clock: Arc<WatchedClock<System>>) -> prometheus::Result<Self> {
        Ok(Self { clock, description: describe(JUMPS, &[])? })
    }
}

impl Collector for ClockJumps {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        vec![counter(JUMPS, self.clock.jumps())]
    }
}
