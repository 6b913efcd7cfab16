//! Google Datastore, where the Go tools keep API keys: the only room that knows `gcloud_sdk`.
//!
//! What can be asked is here; how a call is made, what records look like and how a change is made
//! sure of are in the rooms below. A gRPC error is never an absence: only an answer that names the
//! key as missing, or a finished query without results, is.

mod admin;
mod connection;
mod credentials;
mod entity;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use gcloud_sdk::google::datastore::v1::filter::FilterType;
use gcloud_sdk::google::datastore::v1::property_filter::Operator;
use gcloud_sdk::google::datastore::v1::query_result_batch::MoreResultsType;
use gcloud_sdk::google::datastore::v1::run_query_request::QueryType;
use gcloud_sdk::google::datastore::v1::value::ValueType;
use gcloud_sdk::google::datastore::v1::{
    Entity, Filter, Key, KindExpression, LookupRequest, PropertyFilter, PropertyReference, Query,
    QueryResultBatch, RunQueryRequest, Value,
};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use crate::key_store::{
    Answer, IntegrationKey, KeyStore, OrganizationKey, Unavailable, UnavailableKind,
};
use connection::{Connection, Failure, Wording};
use entity::Keys;

/// One attempt at a question. Datastore answers a lookup in tens of milliseconds; a call that has
/// not come back by now is better made again.
const READ_ATTEMPT: Duration = Duration::from_millis(800);
/// One question as its caller sees it: connection, token, attempts and pauses. One known client
/// gives up after ten seconds, and our answer has to reach it before.
const READ_DEADLINE: Duration = Duration::from_secs(4);
/// How often an answer that is put off (`deferred`, an unfinished batch) is asked for again.
const MAX_CONTINUATIONS: usize = 10;

/// Where the records are, and how to get there.
#[derive(Debug, Clone)]
pub struct DatastoreConfig {
    pub project_id: String,
    /// Holds `Organization` and `APIKey`.
    pub platform_namespace: String,
    /// Holds `IntegrationMeta` and `IntegrationAPIKey`.
    pub integration_namespace: String,
    /// `host:port`, spoken to in plain text and without credentials; `None` is Google's Datastore.
    pub emulator_host: Option<String>,
    /// A credentials file (`GOOGLE_APPLICATION_CREDENTIALS`); `None` is whatever else the machine
    /// has: the file that `gcloud` leaves, or the metadata server.
    pub credentials_file: Option<PathBuf>,
}

/// A configuration that no connection can be prepared with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{0:?} cannot be a project id")]
    ProjectId(String),
    #[error("{0:?} is not the host and port of a Datastore emulator")]
    EmulatorHost(String),
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
    pub fn connect(config: DatastoreConfig) -> Result<Self, ConfigError> {
        let connection = Connection::new(&config)?;
        let DatastoreConfig { project_id, platform_namespace, integration_namespace, .. } = config;
        let keys = Keys { project_id, platform_namespace, integration_namespace };
        Ok(Self { connection, keys })
    }

    /// Reads one entity by its key; `None` is an absence.
    async fn lookup(
        &self,
        key: Key,
        deadline: Instant,
        wording: Wording,
    ) -> Result<Option<Entity>, Failure> {
        let request = LookupRequest {
            project_id: self.keys.project_id.clone(),
            keys: vec![key],
            ..LookupRequest::default()
        };
        for _ in 0..MAX_CONTINUATIONS {
            let answer = self.connection.ask(&request, READ_ATTEMPT, deadline, wording).await?;
            if let Some(found) = answer.found.into_iter().next() {
                return found.entity.map(Some).ok_or_else(|| {
                    Failure::unusable_answer(UnavailableKind::Failed, "a result without an entity")
                });
            }
            if !answer.missing.is_empty() {
                return Ok(None);
            }
            if answer.deferred.is_empty() {
                let detail = "a lookup that says neither found nor missing";
                return Err(Failure::unusable_answer(UnavailableKind::Failed, detail));
            }
        }
        Err(Failure::unusable_answer(
            UnavailableKind::TooSlow,
            "the lookup was deferred every time",
        ))
    }

    /// Runs a query for one entity to its end; `None` is an absence.
    async fn query_first(
        &self,
        mut query: Query,
        deadline: Instant,
        wording: Wording,
    ) -> Result<Option<Entity>, Failure> {
        for _ in 0..MAX_CONTINUATIONS {
            let request = RunQueryRequest {
                project_id: self.keys.project_id.clone(),
                partition_id: Some(self.keys.platform()),
                query_type: Some(QueryType::Query(query.clone())),
                ..RunQueryRequest::default()
            };
            let answer = self.connection.ask(&request, READ_ATTEMPT, deadline, wording).await?;
            let Some(QueryResultBatch { entity_results, more_results, end_cursor, .. }) =
                answer.batch
            else {
                let detail = "a query without a batch of results";
                return Err(Failure::unusable_answer(UnavailableKind::Failed, detail));
            };
            if let Some(found) = entity_results.into_iter().next() {
                return found.entity.map(Some).ok_or_else(|| {
                    Failure::unusable_answer(UnavailableKind::Failed, "a result without an entity")
                });
            }
            match MoreResultsType::try_from(more_results) {
                Ok(
                    MoreResultsType::NoMoreResults
                    | MoreResultsType::MoreResultsAfterLimit
                    | MoreResultsType::MoreResultsAfterCursor,
                ) => return Ok(None),
                Ok(MoreResultsType::NotFinished) => query.start_cursor = end_cursor,
                Ok(MoreResultsType::Unspecified) | Err(_) => {
                    let detail = "a batch that does not say whether it is the last";
                    return Err(Failure::unusable_answer(UnavailableKind::Failed, detail));
                }
            }
        }
        Err(Failure::unusable_answer(UnavailableKind::TooSlow, "the query did not come to an end"))
    }
}

#[async_trait]
impl KeyStore for DatastoreStore {
    async fn integration_key(
        &self,
        integration_id: &IntegrationId,
        key_id: &KeyId,
    ) -> Result<Answer<IntegrationKey>, Unavailable> {
        let key = self.keys.integration_key(integration_id, key_id);
        let deadline = Instant::now() + READ_DEADLINE;
        match self.lookup(key, deadline, Wording::Kept).await {
            Ok(found) => Ok(found.map_or(Answer::Absent, entity::integration_key)),
            Err(failure) => Err(failure.unavailable),
        }
    }

    async fn organization_key(
        &self,
        key: &OrganizationApiKey,
    ) -> Result<Answer<OrganizationKey>, Unavailable> {
        let query = key_is(key);
        let deadline = Instant::now() + READ_DEADLINE;
        match self.query_first(query, deadline, Wording::CodeOnly).await {
            Ok(found) => Ok(found.map_or(Answer::Absent, entity::organization_key)),
            Err(failure) => Err(failure.unavailable),
        }
    }
}

/// `SELECT * FROM APIKey WHERE key = … LIMIT 1`: served by the built-in index of the property.
fn key_is(key: &OrganizationApiKey) -> Query {
    let value = ValueType::StringValue(key.reveal().expose_secret().to_owned());
    let filter = PropertyFilter {
        property: Some(PropertyReference { name: entity::KEY.to_owned() }),
        op: Operator::Equal.into(),
        value: Some(Value { value_type: Some(value), ..Value::default() }),
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
