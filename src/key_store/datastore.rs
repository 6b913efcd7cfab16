//! Google Datastore, where the Go tools keep API keys: the only room that knows `gcloud_sdk`.
//!
//! What the exchange asks is here; how a call is made and tried again, what records look like, what
//! operators ask and how a change is made sure of are in the rooms below. A gRPC error is never an
//! absence: only an answer that names the key as missing, or a finished query without results, is.

mod admin;
mod clock_skew;
mod connection;
mod credentials;
mod entity;
mod errand;
mod facts;
mod failure;
mod figures;
mod line;
mod records;
mod retry;
mod rows;
mod written;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gcloud_sdk::google::datastore::v1::filter::FilterType;
use gcloud_sdk::google::datastore::v1::property_filter::Operator;
use gcloud_sdk::google::datastore::v1::query_result_batch::MoreResultsType;
use gcloud_sdk::google::datastore::v1::run_query_request::QueryType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{
    Entity, EntityResult, Filter, Key, KindExpression, LookupRequest, PartitionId, PropertyFilter,
    PropertyReference, Query, QueryResultBatch, RunQueryRequest, Value,
};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

pub use self::figures::DatastoreHealth;
use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use crate::environment::Clock;
use crate::key_store::attempts::AttemptLog;
use crate::key_store::{
    Answer, IntegrationKey, KeyStore, OrganizationKey, READ_ATTEMPT, READ_DEADLINE, Reading,
    Recency, Unavailable, UnavailableKind,
};
use connection::Connection;
use entity::Keys;
use facts::Of;
use failure::{Failure, Wording};

/// How often an answer that is put off (`deferred`, an unfinished batch) is asked for again.
const MAX_CONTINUATIONS: usize = 10;

/// Where the records are, and how to get there.
#[derive(Debug, Clone)]
pub struct DatastoreConfig {
    pub project_id: String,
    /// Holds `Organization`, `APIKey` and its facts.
    pub platform_namespace: String,
    /// Holds `IntegrationMeta`, `IntegrationAPIKey` and its facts.
    pub integration_namespace: String,
    pub place: Place,
}

/// Who is spoken to, and how.
#[derive(Debug, Clone)]
pub enum Place {
    /// `host:port`, spoken to in plain text and without credentials.
    Emulator { host: String },
    Google {
        /// `https://host` or `https://host:port`.
        endpoint: String,
        /// A PEM bundle of the certificate authorities to trust instead of the built-in ones.
        ca_file: Option<PathBuf>,
        /// A credentials file (`GOOGLE_APPLICATION_CREDENTIALS`); `None` is whatever else the
        /// machine has: the file that `gcloud` leaves, or the metadata server.
        credentials_file: Option<PathBuf>,
    },
}

/// Where Google's own Datastore is, unless it is reached by another way.
pub const GOOGLE: &str = "https://datastore.googleapis.com";

/// A configuration that no connection can be prepared with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0:?} cannot be a project id")]
    ProjectId(String),
    #[error("{0:?} is not the host and port of a Datastore emulator")]
    EmulatorHost(String),
    #[error(
        "-datastore-endpoint: {0:?} has to be https:// and a host, and perhaps a port: API keys go there"
    )]
    Endpoint(String),
    #[error("the CA file {path:?} cannot be used: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("the credentials file {path:?} cannot be used: {reason}")]
    CredentialsFile { path: PathBuf, reason: String },
    #[error("the connection to Datastore cannot be prepared: {0}")]
    Transport(String),
}

/// The records of one project.
#[derive(Debug)]
pub struct DatastoreStore {
    connection: Connection,
    keys: Keys,
}

impl DatastoreStore {
    /// Prepares a store without reaching for it: one that is down, and a machine without
    /// credentials, are found out by the first question, and again by each that follows.
    ///
    /// Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the configuration can never work; the store's own condition is no error here.
    pub fn connect(config: DatastoreConfig, clock: Arc<dyn Clock>) -> Result<Self, ConfigError> {
        let connection = Connection::new(&config, clock)?;
        let DatastoreConfig { project_id, platform_namespace, integration_namespace, .. } = config;
        let keys = Keys { project_id, platform_namespace, integration_namespace };
        Ok(Self { connection, keys })
    }

    /// How the way to Datastore is, for those who watch over it.
    pub fn health(&self) -> DatastoreHealth {
        self.connection.health()
    }

    /// Reads entities by their keys, which are all different; `None` is an absence.
    async fn lookup<const N: usize>(
        &self,
        keys: [Key; N],
        patience: Patience<'_>,
        wording: Wording,
    ) -> Result<[Option<EntityResult>; N], Failure> {
        let found = self.lookup_all(keys.into(), patience, wording).await?;
        found.try_into().map_err(|_| {
            Failure::unusable_answer(UnavailableKind::Failed, "a lookup of something else")
        })
    }

    async fn lookup_all(
        &self,
        keys: Vec<Key>,
        patience: Patience<'_>,
        wording: Wording,
    ) -> Result<Vec<Option<EntityResult>>, Failure> {
        let mut answers: Vec<Option<Option<EntityResult>>> = vec![None; keys.len()];
        // Where it is looked up for, whatever project and database an answer names.
        let place = |key: Option<&Key>| {
            key.and_then(|key| keys.iter().position(|asked| asked.path == key.path))
        };
        let mut open = keys.clone();
        for _ in 0..MAX_CONTINUATIONS {
            if open.is_empty() {
                break;
            }
            let request = LookupRequest {
                project_id: self.keys.project_id.clone(),
                keys: open,
                ..LookupRequest::default()
            };
            let answer = self.connection.ask(&request, patience, wording).await?;
            for result in answer.found {
                let key = result.entity.as_ref().and_then(|entity| entity.key.as_ref());
                if let Some(place) = place(key) {
                    answers[place] = Some(Some(result));
                }
            }
            for result in answer.missing {
                let key = result.entity.as_ref().and_then(|entity| entity.key.as_ref());
                if let Some(place) = place(key) {
                    answers[place] = Some(None);
                }
            }
            open = answer.deferred;
        }
        if !open.is_empty() {
            return Err(Failure::unusable_answer(
                UnavailableKind::TooSlow,
                "the lookup was deferred every time",
            ));
        }
        answers.into_iter().collect::<Option<_>>().ok_or_else(|| {
            let detail = "a lookup that says neither found nor missing";
            Failure::unusable_answer(UnavailableKind::Failed, detail)
        })
    }

    /// Runs a query for one entity to its end; `None` is an absence.
    async fn query_first(
        &self,
        mut query: Query,
        patience: Patience<'_>,
        wording: Wording,
    ) -> Result<Option<Entity>, Failure> {
        for _ in 0..MAX_CONTINUATIONS {
            let partition = self.keys.platform();
            let (batch, more) = self.query(partition, query.clone(), patience, wording).await?;
            if let Some(found) = batch.entity_results.into_iter().next() {
                return found.entity.map(Some).ok_or_else(|| {
                    Failure::unusable_answer(UnavailableKind::Failed, "a result without an entity")
                });
            }
            if more != MoreResultsType::NotFinished {
                return Ok(None);
            }
            query.start_cursor = batch.end_cursor;
        }
        Err(Failure::unusable_answer(UnavailableKind::TooSlow, "the query did not come to an end"))
    }

    /// Asks for one batch of a query, and whether it is the last.
    async fn query(
        &self,
        partition: PartitionId,
        query: Query,
        patience: Patience<'_>,
        wording: Wording,
    ) -> Result<(QueryResultBatch, MoreResultsType), Failure> {
        let request = RunQueryRequest {
            project_id: self.keys.project_id.clone(),
            partition_id: Some(partition),
            query_type: Some(QueryType::Query(query)),
            ..RunQueryRequest::default()
        };
        let answer = self.connection.ask(&request, patience, wording).await?;
        let Some(batch) = answer.batch else {
            let detail = "a query without a batch of results";
            return Err(Failure::unusable_answer(UnavailableKind::Failed, detail));
        };
        match batch.more_results() {
            MoreResultsType::Unspecified => {
                let detail = "a batch that does not say whether it is the last";
                Err(Failure::unusable_answer(UnavailableKind::Failed, detail))
            }
            more => Ok((batch, more)),
        }
    }
}

/// How long an answer is waited for, and where what it takes is noted.
#[derive(Debug, Clone, Copy)]
struct Patience<'a> {
    /// Each attempt.
    attempt: Duration,
    /// All of them.
    deadline: Instant,
    noted_in: Option<&'a AttemptLog>,
}

impl<'a> Patience<'a> {
    /// With a question that somebody waits for.
    fn question() -> Self {
        Self::until(Instant::now() + READ_DEADLINE)
    }

    fn until(deadline: Instant) -> Self {
        Self { attempt: READ_ATTEMPT, deadline, noted_in: None }
    }

    fn noted_in(self, attempts: &'a AttemptLog) -> Self {
        Self { noted_in: Some(attempts), ..self }
    }
}

#[async_trait]
impl KeyStore for DatastoreStore {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        _: Recency,
    ) -> Result<Reading<IntegrationKey>, Unavailable> {
        let log = AttemptLog::default();
        let patience = Patience::question().noted_in(&log);
        let answer = self.find_integration_key(integration_id, key_id, patience).await;
        log.tell(answer)
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
        _: Recency,
    ) -> Result<Reading<OrganizationKey>, Unavailable> {
        let log = AttemptLog::default();
        let patience = Patience::question().noted_in(&log);
        let answer = Box::pin(self.find_organization_key(key, patience)).await;
        log.tell(answer)
    }
}

impl DatastoreStore {
    async fn find_integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
        patience: Patience<'_>,
    ) -> Result<Answer<IntegrationKey>, Unavailable> {
        let (id, key_id) = (integration_id.as_str(), key_id.as_str());
        let keys =
            [self.keys.integration_key(id, key_id), self.keys.integration_key_facts(id, key_id)];
        let [record, facts] = self.lookup(keys, patience, Wording::Kept).await?;
        match record.and_then(|record| record.entity) {
            Some(record) => {
                entity::integration_key(record, &facts::of_result(facts, Of::IntegrationKey))
            }
            None => Ok(Answer::Absent),
        }
    }

    async fn find_organization_key(
        &self,
        key: &OrganizationApiKey,
        patience: Patience<'_>,
    ) -> Result<Answer<OrganizationKey>, Unavailable> {
        let query = key_is(key.reveal().expose_secret());
        let facts_key = self.keys.organization_key_facts(key.hash());
        let (record, [facts]) = tokio::try_join!(
            self.query_first(query, patience, Wording::CodeOnly),
            self.lookup([facts_key], patience, Wording::Kept),
        )?;
        let validity = facts::of_result(facts, Of::OrganizationKey).validity()?;
        Ok(match (record, validity) {
            (Some(record), validity) => {
                entity::organization_key(record, validity.unwrap_or_default())
            }
            (None, Some(validity)) => Answer::Gone(validity),
            (None, None) => Answer::Absent,
        })
    }
}

/// `SELECT * FROM APIKey WHERE key = … LIMIT 1`: served by the built-in index of the property.
fn key_is(api_key: &str) -> Query {
    let filter = PropertyFilter {
        property: Some(PropertyReference { name: entity::KEY.to_owned() }),
        op: Operator::Equal.into(),
        value: Some(Value {
            value_type: Some(ValueType::StringValue(api_key.to_owned())),
            ..Value::default()
        }),
    };
    Query {
        kind: vec![KindExpression { name: entity::API_KEY_KIND.to_owned() }],
        filter: Some(Filter { filter_type: Some(FilterType::PropertyFilter(filter)) }),
        limit: Some(1),
        ..Query::default()
    }
}

/// An error and what led to it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string does not fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
