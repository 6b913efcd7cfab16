//! Changes in Datastore: one commit of inserts each, and certainty about what became of it.
//!
//! Only `TRANSACTIONAL` with a single-use transaction, and only inserts: every other mode can
//! overwrite, apply half, or drop a part and say OK. A commit whose outcome was lost is settled by
//! reading back; inserting again is harmless, because an insert that was made refuses its twin.

use std::time::Duration;

use async_trait::async_trait;
use backon::BackoffBuilder as _;
use gcloud_sdk::google::datastore::v1::commit_request::{Mode, TransactionSelector};
use gcloud_sdk::google::datastore::v1::mutation::Operation;
use gcloud_sdk::google::datastore::v1::transaction_options::{self, ReadWrite};
use gcloud_sdk::google::datastore::v1::{CommitRequest, Entity, Mutation, TransactionOptions};
use gcloud_sdk::tonic::Code;
use tokio::time::{Instant, sleep};

use super::DatastoreStore;
use super::connection::{Wording, pauses};
use super::entity;
use crate::key_store::{
    KeyAdmin, NewIntegration, NewIntegrationKey, NewOrganization, NewOrganizationKey, Unavailable,
    WriteError,
};

/// A change as its caller sees it, reading back included: an operator waits for this.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// One commit. It is settled by reading when it stays silent, for which the rest is left.
const COMMIT_ATTEMPT: Duration = Duration::from_secs(3);

/// What became of a commit of inserts.
enum Inserted {
    Done,
    /// Nothing was written: one of the entities is somebody else's.
    Occupied,
}

impl DatastoreStore {
    /// Inserts all of the entities or none. The last one tells our commit from any other.
    async fn insert(
        &self,
        entities: &[Entity],
        deadline: Instant,
        wording: Wording,
    ) -> Result<Inserted, WriteError> {
        let request = insert_all(&self.keys.project_id, entities);
        let mut pauses = pauses().build();
        // Why an earlier commit may have been made all the same.
        let mut open = None;
        loop {
            let attempt =
                self.connection.call(request.clone(), COMMIT_ATTEMPT, deadline, wording).await;
            let failure = match attempt {
                Ok(answer) if answer.mutation_results.iter().any(|one| one.conflict_detected) => {
                    return Ok(Inserted::Occupied);
                }
                Ok(_) => return Ok(Inserted::Done),
                Err(failure) => failure,
            };
            if failure.code == Some(Code::AlreadyExists) {
                // Without an earlier attempt it cannot be ours, even if it looks the same.
                let ours = open.is_some() && self.is_stored(entities, deadline, wording).await?;
                return Ok(if ours { Inserted::Done } else { Inserted::Occupied });
            }
            if failure.leaves_outcome_open() {
                if self.is_stored(entities, deadline, wording).await? {
                    return Ok(Inserted::Done);
                }
                // It may still be under way. The next insert finds out.
                open = Some(failure.unavailable.clone());
            } else if !failure.is_passing() {
                return Err(not_made(open, failure.unavailable));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match pauses.next() {
                Some(pause) if pause < left => sleep(pause).await,
                _ => return Err(not_made(open, failure.unavailable)),
            }
        }
    }

    /// Whether what stands in the store is our own commit.
    async fn is_stored(
        &self,
        entities: &[Entity],
        deadline: Instant,
        wording: Wording,
    ) -> Result<bool, WriteError> {
        let Some((written, key)) =
            entities.last().and_then(|last| last.key.clone().map(|key| (last, key)))
        else {
            return Ok(false);
        };
        let stored = self.lookup(key, deadline, wording).await;
        let stored = stored.map_err(|failure| WriteError::Unknown(failure.unavailable))?;
        Ok(stored.is_some_and(|stored| entity::is_same(&stored, written)))
    }
}

/// A commit of an earlier attempt may still be under way, whatever a later one was told.
fn not_made(open: Option<Unavailable>, reason: Unavailable) -> WriteError {
    match open {
        Some(earlier) => WriteError::Unknown(earlier),
        None => WriteError::Unavailable(reason),
    }
}

fn insert_all(project_id: &str, entities: &[Entity]) -> CommitRequest {
    let insert = |entity: &Entity| Mutation {
        operation: Some(Operation::Insert(entity.clone())),
        ..Mutation::default()
    };
    let read_write = transaction_options::Mode::ReadWrite(ReadWrite::default());
    CommitRequest {
        project_id: project_id.to_owned(),
        mode: Mode::Transactional.into(),
        mutations: entities.iter().map(insert).collect(),
        transaction_selector: Some(TransactionSelector::SingleUseTransaction(TransactionOptions {
            mode: Some(read_write),
        })),
        ..CommitRequest::default()
    }
}

#[async_trait]
impl KeyAdmin for DatastoreStore {
    async fn create_integration(
        &self,
        integration: &NewIntegration,
        key: &NewIntegrationKey,
    ) -> Result<(), WriteError> {
        let deadline = Instant::now() + WRITE_DEADLINE;
        let entities = [
            entity::of_integration(&self.keys, integration),
            entity::of_integration_key(&self.keys, key),
        ];
        match self.insert(&entities, deadline, Wording::Kept).await? {
            Inserted::Done => Ok(()),
            Inserted::Occupied => {
                let integration_key = self.keys.integration(&integration.id);
                let found = self.lookup(integration_key, deadline, Wording::Kept).await;
                Err(match found.map_err(|failure| failure.unavailable)? {
                    Some(_) => WriteError::IntegrationExists(integration.id.clone()),
                    None => WriteError::IntegrationKeyExists(
                        key.integration_id.clone(),
                        key.key_id.clone(),
                    ),
                })
            }
        }
    }

    async fn create_integration_key(&self, key: &NewIntegrationKey) -> Result<(), WriteError> {
        let deadline = Instant::now() + WRITE_DEADLINE;
        let integration = self.keys.integration(&key.integration_id);
        let found = self.lookup(integration, deadline, Wording::Kept).await;
        if found.map_err(|failure| failure.unavailable)?.is_none() {
            return Err(WriteError::NoSuchIntegration(key.integration_id.clone()));
        }
        let entities = [entity::of_integration_key(&self.keys, key)];
        match self.insert(&entities, deadline, Wording::Kept).await? {
            Inserted::Done => Ok(()),
            Inserted::Occupied => Err(WriteError::IntegrationKeyExists(
                key.integration_id.clone(),
                key.key_id.clone(),
            )),
        }
    }

    async fn create_organization(&self, organization: &NewOrganization) -> Result<(), WriteError> {
        let deadline = Instant::now() + WRITE_DEADLINE;
        let entities = [entity::of_organization(&self.keys, organization)];
        match self.insert(&entities, deadline, Wording::Kept).await? {
            Inserted::Done => Ok(()),
            Inserted::Occupied => Err(WriteError::OrganizationExists(organization.name.clone())),
        }
    }

    async fn create_organization_key(&self, key: &NewOrganizationKey) -> Result<(), WriteError> {
        let deadline = Instant::now() + WRITE_DEADLINE;
        let organization = self.keys.organization(&key.organization);
        let found = self.lookup(organization, deadline, Wording::Kept).await;
        if found.map_err(|failure| failure.unavailable)?.is_none() {
            return Err(WriteError::NoSuchOrganization(key.organization.clone()));
        }
        let entities = [entity::of_organization_key(&self.keys, key)];
        match self.insert(&entities, deadline, Wording::CodeOnly).await? {
            Inserted::Done => Ok(()),
            Inserted::Occupied => Err(WriteError::OrganizationKeyExists(key.organization.clone())),
        }
    }
}
