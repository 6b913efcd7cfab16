//! A service in this process, with a store that does as it is told and a log that is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use token_exchange::api_key::{IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey};
use token_exchange::http::server::Schedule;
use token_exchange::key_store::{
    Answer, Holder, IntegrationKey, KeyStatus, KeyStore, OrganizationKey, Reading, Recency,
    Unavailable, UnavailableKind, UnusableRecord, Validity,
};
use token_exchange::telemetry::audit::{Audit, AuditMode};
use token_exchange::telemetry::logs::Written;

use crate::support::eventually::eventually;
use crate::support::http_client::{Answer as HttpAnswer, Request};
use crate::support::in_process::{EDDSA, InProcess, Setting};
use crate::support::log::{KeptLog, records};

pub const WITHIN: Duration = Duration::from_secs(30);

/// The secret of every key of an integration in the house.
pub const SECRET: &str = "the-secret";

pub struct House {
    pub service: InProcess,
    /// Questions that the store will never answer.
    pub hanging: Arc<AtomicUsize>,
    log: KeptLog,
    _written: Written,
    _runtime: tokio::runtime::Runtime,
}

impl House {
    pub fn open() -> Self {
        Self::that_closes_by(Schedule::PRODUCTION)
    }

    pub fn that_closes_by(schedule: Schedule) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let log = KeptLog::default();
        let (audit, written) = Audit::to(log.clone(), AuditMode::BestEffort).unwrap();
        let hanging = Arc::<AtomicUsize>::default();
        let store = Arc::new(Obedient { hanging: Arc::clone(&hanging) });
        let setting = Setting { key_file: EDDSA, audit, schedule, ..Setting::default() };
        let entered = runtime.enter();
        let service = InProcess::serve(store, setting);
        drop(entered);
        Self { service, hanging, log, _written: written, _runtime: runtime }
    }

    pub fn send(&self, request: &Request) -> HttpAnswer {
        request.send(&self.service.address, WITHIN).expect("every request gets an answer")
    }

    /// The record of the request of this name, once it is there, and after everything else that
    /// was begun before is there, too.
    pub fn record(&self, request_id: &str) -> Value {
        let marker = format!("after-{request_id:.100}");
        let all = eventually("the record is written", WITHIN, || {
            let all = self.records();
            let of = |id: &str| all.iter().any(|record| record["audit"]["request_id"] == *id);
            if of(request_id) && of(&marker) {
                return Some(all);
            }
            if of(request_id) {
                let request = Request::post("/v0/token/autojoin", "");
                self.send(&request.header("X-Request-Id", &marker));
            }
            None
        });
        let mut of = all.into_iter().filter(|record| record["audit"]["request_id"] == request_id);
        let record = of.next().unwrap();
        assert_eq!(of.next(), None, "one record for each exchange");
        record
    }

    pub fn records(&self) -> Vec<Value> {
        records(&self.log.text())
    }

    /// Ends all connections at once.
    pub fn close(&self) {
        self.service.server.abort();
    }

    /// How often a reason was counted.
    pub fn counted(&self, family: &str, reason: &str) -> u64 {
        let page =
            Request::get("/metrics").send(&self.service.metrics_address, WITHIN).unwrap().text();
        let series =
            format!(r#"tokenexchange_rejections_total{{family="{family}",reason="{reason}"}} "#);
        let value = page.lines().find_map(|line| line.strip_prefix(&series));
        value.unwrap_or_else(|| panic!("{series} is on the page from the start")).parse().unwrap()
    }
}

pub fn body(api_key: &str) -> String {
    serde_json::json!({ "api_key": api_key }).to_string()
}

/// A key of the integration `acme`, of which the store says what the key's id says.
pub fn integration_key(fate: &str) -> String {
    format!("mlabk.cii_acme.ki_{fate}.{SECRET}")
}

/// A store that says of each key what the key itself asks for.
struct Obedient {
    hanging: Arc<AtomicUsize>,
}

impl Obedient {
    async fn say<T>(&self, fate: &str, record: T) -> Result<Answer<T>, Unavailable> {
        let unavailable = |kind| Err(Unavailable::new(kind, "as it was told"));
        match fate {
            "unknown" => Ok(Answer::Absent),
            "unusable" => Ok(Answer::Unusable(UnusableRecord::UnknownProperty)),
            "unavailable" => unavailable(UnavailableKind::Unreachable),
            "crowded" => unavailable(UnavailableKind::Overloaded),
            "panic" => panic!("as it was told"),
            "abandoned" => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
            _ => Ok(Answer::Found(record)),
        }
    }

    fn validity(fate: &str) -> Validity {
        let long_ago = "2020-01-01T00:00:00Z".parse().unwrap();
        let some_day = "2999-01-01T00:00:00Z".parse().unwrap();
        match fate {
            "not_yet_valid" => Validity { not_before: Some(some_day), ..Validity::default() },
            "expired" => Validity { expires_at: Some(long_ago), ..Validity::default() },
            "revoked" => Validity { is_revoked: true, ..Validity::default() },
            _ => Validity::default(),
        }
    }
}

#[async_trait]
impl KeyStore for Obedient {
    async fn integration_key(
        &self,
        integration: &IntegrationId,
        key_id: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let fate = key_id.as_str().trim_start_matches("ki_");
        let stored = format!("mlabk.cii_{integration}.{key_id}.{SECRET}");
        let stored = IntegrationApiKey::parse(&stored.into()).unwrap();
        let status = if fate == "not_active" { KeyStatus::Inactive } else { KeyStatus::Active };
        let record = IntegrationKey {
            secret_hash: Some(stored.secret_hash()),
            status,
            tier: 0,
            validity: Self::validity(fate),
        };
        self.say(fate, record).await.map(Reading::from)
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        let fate = key.reveal().expose_secret();
        let holder = match fate {
            "failed" => Holder::Numbered,
            _ => Holder::Organization("mlab".into()),
        };
        let record = OrganizationKey { holder, validity: Self::validity(fate) };
        self.say(fate, record).await.map(Reading::from)
    }
}
