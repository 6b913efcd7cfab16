//! The way to Datastore on the metrics page: read when the page is, from the figures that it keeps.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::family::{Named, counter, describe, fractional_gauge, gauge, histograms};
use crate::key_store::datastore::{DatastoreHealth, DatastoreStore};

/// Reads the health of a store whenever the page is written.
pub(super) struct Datastore {
    store: Arc<DatastoreStore>,
    descriptions: Vec<Desc>,
}

const ATTEMPTS: Named = (
    "tokenexchange_datastore_attempt_duration_seconds",
    "Calls to Datastore by what became of them, each retry on its own.",
);
const RETRIES: Named =
    ("tokenexchange_datastore_retries_total", "Questions to Datastore that were asked again.");
const RETRIES_FORGONE: Named = (
    "tokenexchange_datastore_retries_forgone_total",
    "Questions that were not asked again because the retry budget was spent.",
);
const RETRY_BUDGET: Named =
    ("tokenexchange_datastore_retry_budget", "Retries that the budget would allow at this moment.");
const CONNECTIONS: Named =
    ("tokenexchange_datastore_connections_total", "Connections to Datastore that were made.");
const FAILED_CONNECTIONS: Named = (
    "tokenexchange_datastore_failed_connections_total",
    "Connections to Datastore that could not be made.",
);
const CREDENTIALS: Named = (
    "tokenexchange_datastore_credentials_built_total",
    "Times that the source of access tokens was built, the first included.",
);
const FAILED_CREDENTIALS: Named = (
    "tokenexchange_datastore_failed_credentials_total",
    "Times that the source of access tokens could not be built or gave none.",
);
const CLOCK_SKEW: Named = (
    "tokenexchange_clock_skew_seconds",
    "Our clock less the key store's; absent before its first answer.",
);

impl Datastore {
    pub(super) fn of(store: Arc<DatastoreStore>) -> prometheus::Result<Self> {
        let unlabelled = [
            RETRIES,
            RETRIES_FORGONE,
            RETRY_BUDGET,
            CONNECTIONS,
            FAILED_CONNECTIONS,
            CREDENTIALS,
            FAILED_CREDENTIALS,
            CLOCK_SKEW,
        ];
        let mut descriptions = vec![describe(ATTEMPTS, &["outcome"])?];
        for named in unlabelled {
            descriptions.push(describe(named, &[])?);
        }
        Ok(Self { store, descriptions })
    }
}

impl Collector for Datastore {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let DatastoreHealth {
            attempts,
            retries,
            retries_forgone,
            retry_budget,
            connections,
            failed_connections,
            credentials_built,
            failed_credentials,
            clock_skew,
        } = self.store.health();
        let mut families = vec![
            histograms(ATTEMPTS, "outcome", attempts),
            counter(RETRIES, retries),
            counter(RETRIES_FORGONE, retries_forgone),
            gauge(RETRY_BUDGET, retry_budget),
            counter(CONNECTIONS, connections),
            counter(FAILED_CONNECTIONS, failed_connections),
            counter(CREDENTIALS, credentials_built),
            counter(FAILED_CREDENTIALS, failed_credentials),
        ];
        families.extend(clock_skew.map(|seconds| fractional_gauge(CLOCK_SKEW, seconds)));
        families
    }
}
