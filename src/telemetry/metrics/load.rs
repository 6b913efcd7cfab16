//! How much there is to do, on the metrics page: signatures, exchanges, connections. Asked for when
//! the page is.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, describe, gauge, histograms};
use crate::exchange::Exchange;
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
const FAILING: Named = (
    "tokenexchange_signing_failing",
    "1 while signatures fail, and the instance is not ready; 0 is right.",
);
const WAITS: Named =
    ("tokenexchange_signing_wait_seconds", "How long signatures waited to be begun.");
const TIMES: Named = ("tokenexchange_signing_duration_seconds", "How long a signature took.");
const DRAINED: Named = (
    "tokenexchange_drain_refusals_total",
    "Requests that were refused with 503 because they were not ready at the end of the drain.",
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
            describe(FAILING, &[])?,
            describe(WAITS, &["algorithm"])?,
            describe(TIMES, &["algorithm"])?,
            describe(DRAINED, &[])?,
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
        let SigningFigures { waiting, is_standing, is_failing, signatures } = self.signer.figures();
        let waits = signatures.iter().map(|of| (of.algorithm, of.waits.clone()));
        let times = signatures.iter().map(|of| (of.algorithm, of.times.clone()));
        vec![
            gauge(WAITING, waiting as u64),
            gauge(STANDING, u64::from(is_standing)),
            gauge(FAILING, u64::from(is_failing)),
            histograms(WAITS, "algorithm", waits),
            histograms(TIMES, "algorithm", times),
            counter(DRAINED, self.port.too_late()),
            gauge(IN_FLIGHT, self.exchange.in_flight() as u64),
            gauge(OPEN, self.port.open()),
            counter(EVICTED, self.port.evicted()),
        ]
    }
}
