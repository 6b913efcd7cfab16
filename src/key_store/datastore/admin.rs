//! Changes in Datastore: one guarded commit each, and certainty about what became of it.
//!
//! Only `TRANSACTIONAL` with a single-use transaction, and every mutation an insert or bound to the
//! version that was read: every other mode can overwrite, apply half, or drop a part and say OK. A
//! commit whose outcome was lost is settled by reading back; making it again is harmless, because
//! one that was made stands in the way of its twin.

use std::time::Duration;

use async_trait::async_trait;
use backon::BackoffBuilder as _;
use gcloud_sdk::google::datastore::v1::commit_request::{Mode, TransactionSelector};
use gcloud_sdk::google::datastore::v1::mutation::{
    ConflictDetectionStrategy, ConflictResolutionStrategy, Operation,
};
use gcloud_sdk::google::datastore::v1::transaction_options::{self, ReadWrite};
use gcloud_sdk::google::datastore::v1::{
    CommitRequest, Entity, EntityResult, Key, Mutation, TransactionOptions,
};
use gcloud_sdk::tonic::Code;
use tokio::time::{Instant, sleep};

use super::entity::Keys;
use super::failure::{Failure, Wording};
use super::retry::pauses;
use super::{DatastoreStore, Patience, facts, rows, written};
use crate::key_store::{Change, KeyAdmin, Unavailable, Version, WRITE_DEADLINE, Write, WriteError};

/// One commit. It is settled by reading when it stays silent, for which the rest is left.
const COMMIT_ATTEMPT: Duration = Duration::from_secs(3);

#[async_trait]
impl KeyAdmin for DatastoreStore {
    async fn commit(&self, change: &Change) -> Result<(), WriteError> {
        if change.writes().is_empty() {
            return Ok(());
        }
        if change.writes().len() > Change::MAX_WRITES {
            return Err(WriteError::TooLarge(change.writes().len()));
        }
        let commit = Commit::of(change, &self.keys)?;
        let deadline = Instant::now() + WRITE_DEADLINE;
        let mut pauses = pauses().build();
        // Why an earlier attempt may have been made all the same.
        let mut open = None;
        loop {
            let request = commit.request(&self.keys.project_id);
            let attempt =
                self.connection.call(request, COMMIT_ATTEMPT, deadline, commit.wording).await;
            let failure = match attempt {
                Ok(answer) if answer.mutation_results.iter().any(|one| one.conflict_detected) => {
                    return self.refusal(&commit, open, deadline).await;
                }
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            if is_refusal(&failure) {
                return self.refusal(&commit, open, deadline).await;
            }
            if failure.leaves_outcome_open() {
                let stored = self.stored(&commit, deadline).await;
                if commit.is_made(&stored.map_err(WriteError::Unknown)?) {
                    return Ok(());
                }
                // It may still be under way. The next attempt finds out.
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
}

impl DatastoreStore {
    /// What a refused commit comes to: somebody was there before, or it was an earlier attempt of
    /// our own.
    async fn refusal(
        &self,
        commit: &Commit<'_>,
        open: Option<Unavailable>,
        deadline: Instant,
    ) -> Result<(), WriteError> {
        let stored = match (self.stored(commit, deadline).await, &open) {
            (Ok(stored), _) => stored,
            (Err(why), None) => return Err(WriteError::Unavailable(why)),
            (Err(why), Some(_)) => return Err(WriteError::Unknown(why)),
        };
        match open {
            // Without an earlier attempt it cannot be ours, even if it looks the same.
            Some(_) if commit.is_made(&stored) => Ok(()),
            // It was never made, or made and changed again by somebody else.
            Some(earlier) if !commit.shows_for_good() => Err(WriteError::Unknown(earlier)),
            _ => Err(WriteError::in_the_way_of(commit.obstacle(&stored))),
        }
    }

    /// What stands in the places of a commit.
    async fn stored(
        &self,
        commit: &Commit<'_>,
        deadline: Instant,
    ) -> Result<Vec<Option<EntityResult>>, Unavailable> {
        let keys = commit.places.iter().map(|place| place.key.clone()).collect();
        Ok(self.lookup_all(keys, Patience::until(deadline), commit.wording).await?)
    }
}

/// A commit of an earlier attempt may still be under way, whatever a later one was told.
fn not_made(open: Option<Unavailable>, reason: Unavailable) -> WriteError {
    match open {
        Some(earlier) => WriteError::Unknown(earlier),
        None => WriteError::Unavailable(reason),
    }
}

/// Whether the store says that a place is not as it has to be. An update of what is gone is "not
/// found", and so is a project; what stands there tells them apart.
fn is_refusal(failure: &Failure) -> bool {
    matches!(failure.code, Some(Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound))
        && !failure.leaves_outcome_open()
}

/// A change in the terms of Datastore.
struct Commit<'a> {
    places: Vec<Place<'a>>,
    wording: Wording,
}

/// One write and where it goes.
struct Place<'a> {
    write: &'a Write,
    key: Key,
    /// `None` removes what is there.
    entity: Option<Entity>,
    /// What has to be there before: nothing, or this version.
    before: Option<Version>,
}

impl<'a> Commit<'a> {
    fn of(change: &'a Change, keys: &Keys) -> Result<Self, WriteError> {
        let places: Vec<_> =
            change.writes().iter().map(|write| Place::of(write, keys)).collect::<Result<_, _>>()?;
        let holds_api_key = |write: &Write| {
            matches!(
                write,
                Write::InsertOrganizationKey(_)
                    | Write::ReplaceOrganizationKey(_)
                    | Write::RemoveOrganizationKey(_)
            )
        };
        let is_secret = change.writes().iter().any(holds_api_key);
        Ok(Self { places, wording: if is_secret { Wording::CodeOnly } else { Wording::Kept } })
    }

    fn request(&self, project_id: &str) -> CommitRequest {
        let read_write = transaction_options::Mode::ReadWrite(ReadWrite::default());
        let options = TransactionOptions { mode: Some(read_write) };
        CommitRequest {
            project_id: project_id.to_owned(),
            mode: Mode::Transactional.into(),
            mutations: self.places.iter().map(Place::mutation).collect(),
            transaction_selector: Some(TransactionSelector::SingleUseTransaction(options)),
            ..CommitRequest::default()
        }
    }

    /// Whether what stands in the store is our own commit. What was created tells it for good: it
    /// holds a hash that nobody else knows. Without that, all has to be as it was written.
    fn is_made(&self, stored: &[Option<EntityResult>]) -> bool {
        let mut places = self.places.iter().zip(stored);
        match places.clone().rev().find(|(place, _)| place.write.is_insert()) {
            Some((place, stored)) => place.is_made(stored.as_ref()),
            None => places.all(|(place, stored)| place.is_made(stored.as_ref())),
        }
    }

    /// Whether it can be told of a later moment that this was never made.
    fn shows_for_good(&self) -> bool {
        self.places.iter().any(|place| place.write.is_insert())
    }

    /// The first write that cannot be made; the first of all, when its obstacle is gone again.
    fn obstacle(&self, stored: &[Option<EntityResult>]) -> &'a Write {
        let mut places = self.places.iter().zip(stored);
        let blocked = places.find(|(place, stored)| {
            stored.as_ref().map(|stored| Version(stored.version)) != place.before
        });
        blocked.map_or(self.places[0].write, |(place, _)| place.write)
    }
}

impl<'a> Place<'a> {
    fn of(write: &'a Write, keys: &Keys) -> Result<Self, WriteError> {
        let (entity, before) = match write {
            Write::InsertIntegration(new) => (written::new_integration(keys, new), None),
            Write::InsertIntegrationKey(new) => (written::new_integration_key(keys, new), None),
            Write::InsertOrganization(new) => (written::new_organization(keys, new), None),
            Write::InsertOrganizationKey(new) => (written::new_organization_key(keys, new), None),
            Write::ReplaceIntegration(row) => (written::integration(keys, row), Some(row.version)),
            Write::ReplaceIntegrationKey(row) => {
                (written::integration_key(keys, row), Some(row.version))
            }
            Write::ReplaceOrganization(row) => {
                (written::organization(keys, row), Some(row.version))
            }
            Write::ReplaceOrganizationKey(row) | Write::RemoveOrganizationKey(row) => {
                // A row of some other store stands nowhere in this one.
                let (key, api_key) =
                    rows::locate(&row.locator).ok_or_else(|| WriteError::Conflict(write.name()))?;
                if matches!(write, Write::RemoveOrganizationKey(_)) {
                    return Ok(Self { write, key, entity: None, before: Some(row.version) });
                }
                (written::organization_key(key, api_key, row.created_at), Some(row.version))
            }
            Write::PutIntegrationKeyFacts { integration_id, key_id, facts, instead_of } => {
                let key = keys.integration_key_facts(integration_id, key_id);
                (facts::entity(key, facts), *instead_of)
            }
            Write::PutOrganizationKeyFacts { key_hash, facts, instead_of } => {
                (facts::entity(keys.organization_key_facts(*key_hash), facts), *instead_of)
            }
        };
        Ok(Self {
            write,
            key: entity.key.clone().unwrap_or_default(),
            entity: Some(entity),
            before,
        })
    }

    fn mutation(&self) -> Mutation {
        let operation = match (&self.entity, self.before) {
            (Some(entity), None) => Operation::Insert(entity.clone()),
            (Some(entity), Some(_)) => Operation::Update(entity.clone()),
            (None, _) => Operation::Delete(self.key.clone()),
        };
        let guard =
            self.before.map(|Version(version)| ConflictDetectionStrategy::BaseVersion(version));
        let resolution = match guard {
            Some(_) => ConflictResolutionStrategy::Fail,
            None => ConflictResolutionStrategy::StrategyUnspecified,
        };
        Mutation {
            operation: Some(operation),
            conflict_detection_strategy: guard,
            conflict_resolution_strategy: resolution.into(),
            ..Mutation::default()
        }
    }

    fn is_made(&self, stored: Option<&EntityResult>) -> bool {
        let stored = stored.and_then(|stored| stored.entity.as_ref());
        match (&self.entity, stored) {
            (Some(wanted), Some(stored)) => written::is_same(stored, wanted),
            (None, stored) => stored.is_none(),
            (Some(_), None) => false,
        }
    }
}
