//! How much there is to do, on the metrics page: signatures, exchanges, connections. Asked for when
//! the page is.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, counters, describe, gauge, histograms};
use crate::exchange::{DoorFigures, Exchange};
use crate::http::server::PortFigures;
use crate::signer::{Signer, SigningFigures};

/// Reads the figures of a service whenever the page is written.
pub(super) struct Load {
    exchange: Exchange,
    signer: Arc<Signer>,
    port: Arc<PortFigures>,
    descriptions: Vec<Desc>,
}

const WAITING: Named = ("tokenexchange_signing_queue_length", "Signatures that wait to be begun.");
const STANDING: Named = (
    "tokenexchange_signing_queue_standing",
    "1 while even the shortest wait for a signature is long, and newcomers are refused; 0 is right.",
);
const WAITS: Named =
    ("tokenexchange_signing_wait_seconds", "How long signatures waited to be begun.");
const TIMES: Named =
    ("tokenexchange_signing_duration_seconds", "How long a thread was busy with a signature.");
const SHED: Named = (
    "tokenexchange_shed_total",
    "Requests that were refused with 503 because more was asked for than could be done in time.",
);
const IN_FLIGHT: Named = ("tokenexchange_exchanges_in_flight", "Exchanges under way.");
const OPEN: Named = ("tokenexchange_connections_open", "Open connections of the service.");
const EVICTED: Named = (
    "tokenexchange_connections_evicted_total",
    "Connections of the service that had to make room for another.",
);

impl Load {
    pub(super) fn of(
        exchange: Exchange,
        signer: Arc<Signer>,
        port: Arc<PortFigures>,
    ) -> prometheus::Result<Self> {
        let descriptions = vec![
            describe(WAITING, &[])?,
            describe(STANDING, &[])?,
            describe(WAITS, &["algorithm"])?,
            describe(TIMES, &["algorithm"])?,
            describe(SHED, &["reason"])?,
            describe(IN_FLIGHT, &[])?,
            describe(OPEN, &[])?,
            describe(EVICTED, &[])?,
        ];
        Ok(Self { exchange, signer, port, descriptions })
    }
}

impl Collector for Load {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let SigningFigures { waiting, is_standing, signatures } = self.signer.figures();
        let DoorFigures { in_flight, refused } = self.exchange.figures();
        let waits = signatures.iter().map(|of| (of.algorithm, of.waits.clone()));
        let times = signatures.iter().map(|of| (of.algorithm, of.times.clone()));
        let shed = refused.iter().map(|(why, count)| (why.reason().as_str(), *count));
        let shed = shed.chain([("draining", self.port.too_late())]);
        vec![
            gauge(WAITING, waiting as u64),
            gauge(STANDING, u64::from(is_standing)),
            histograms(WAITS, "algorithm", waits),
            histograms(TIMES, "algorithm", times),
            counters(SHED, "reason", shed),
            gauge(IN_FLIGHT, in_flight as u64),
            gauge(OPEN, self.port.open()),
            counter(EVICTED, self.port.evicted()),
        ]
    }
}
