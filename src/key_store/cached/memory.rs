//! What is remembered: keys in one room, absences in another, so that a flood of keys that do not
//! exist pushes out none that does.
//!
//! The library bounds the rooms and chooses what leaves; of ages it knows nothing. Whoever writes
//! here holds the lock of the reads under way, so that an older answer never replaces a newer one.

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, UnitWeighter};
use sha2::{Digest as _, Sha256};

use super::{Entries, UnavailableKind};
use crate::api_key::{IntegrationId, KeyId, OrganizationApiKey};
use crate::environment::Moment;
use crate::key_store::{Answer, IntegrationKey, OrganizationKey};

/// Absences that are remembered: who asks for more keys that do not exist within two seconds asks
/// the store.
const ABSENCES: usize = 10_000;
/// Parts of a room, each with a lock of its own: few writers meet, and none holds up all for long.
const PARTS: usize = 8;

/// What a key is found by: its family, and a digest, which takes the same room whatever a caller
/// sends and tells nothing of an organization's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Name {
    IntegrationKey([u8; 32]),
    OrganizationKey([u8; 32]),
}

impl Name {
    /// No id holds a dot, so no two pairs of them give the same text.
    pub(super) fn of_integration_key(integration_id: &IntegrationId, key_id: &KeyId) -> Self {
        let digest = Sha256::new_with_prefix(integration_id.as_str())
            .chain_update(".")
            .chain_update(key_id.as_str());
        Self::IntegrationKey(digest.finalize().into())
    }

    pub(super) fn of_organization_key(key: &OrganizationApiKey) -> Self {
        Self::OrganizationKey(*key.hash().as_bytes())
    }
}

/// An answer of the store.
#[derive(Debug, Clone)]
pub(super) struct Entry<T> {
    pub(super) answer: Answer<T>,
    /// When the store was asked.
    pub(super) asked_at: Moment,
    /// When a later read failed, and how.
    pub(super) failed: Option<(Moment, UnavailableKind)>,
}

/// An answer about a key of either family.
#[derive(Clone)]
pub(super) enum AnyEntry {
    IntegrationKey(Arc<Entry<IntegrationKey>>),
    OrganizationKey(Arc<Entry<OrganizationKey>>),
}

/// A record that can be remembered.
pub(super) trait Record: Clone + Send + Sync + 'static {
    fn any(entry: Arc<Entry<Self>>) -> AnyEntry;

    /// `None` for a record of another family, which no name of this one leads to.
    fn of(entry: AnyEntry) -> Option<Arc<Entry<Self>>>;
}

macro_rules! records {
    ($($record:ident),+) => {$(
        impl Record for $record {
            fn any(entry: Arc<Entry<Self>>) -> AnyEntry {
                AnyEntry::$record(entry)
            }

            fn of(entry: AnyEntry) -> Option<Arc<Entry<Self>>> {
                match entry {
                    AnyEntry::$record(entry) => Some(entry),
                    _ => None,
                }
            }
        }
    )+};
}
records!(IntegrationKey, OrganizationKey);

type Room = Cache<Name, AnyEntry>;

/// Answers about the keys of all families.
pub(super) struct Memory {
    keys: Room,
    absences: Room,
}

impl Memory {
    /// With room for `capacity` keys, whichever they are.
    pub(super) fn new(capacity: usize) -> Self {
        let absences = if capacity == 0 { 0 } else { ABSENCES };
        Self { keys: room(capacity + unevenness(capacity)), absences: room(absences) }
    }

    pub(super) fn look<T: Record>(&self, name: &Name) -> Option<Arc<Entry<T>>> {
        self.keys.get(name).or_else(|| self.absences.get(name)).and_then(T::of)
    }

    /// Takes what the store has said, unless it has been asked again since and has answered.
    pub(super) fn remember<T: Record>(&self, name: Name, answer: Answer<T>, asked_at: Moment) {
        if self.look::<T>(&name).is_some_and(|entry| entry.was_asked_after(asked_at)) {
            return;
        }
        let is_key = matches!(answer, Answer::Found(_));
        let (into, out_of) =
            if is_key { (&self.keys, &self.absences) } else { (&self.absences, &self.keys) };
        into.insert(name, T::any(Arc::new(Entry { answer, asked_at, failed: None })));
        out_of.remove(&name);
    }

    /// Takes down that a read, begun at `begun_at`, has failed. Of keys alone: one that is not known
    /// is asked for again by whoever comes.
    pub(super) fn remember_failure<T: Record>(
        &self,
        name: &Name,
        begun_at: Moment,
        failed_at: Moment,
        kind: UnavailableKind,
    ) {
        let entry = self.keys.get(name).and_then(T::of);
        if let Some(entry) = entry.filter(|entry| !entry.was_asked_after(begun_at)) {
            let failed = Some((failed_at, kind));
            self.keys.insert(*name, T::any(Arc::new(Entry { failed, ..Entry::clone(&entry) })));
        }
    }

    pub(super) fn entries(&self) -> Entries {
        Entries { keys: self.keys.len(), absences: self.absences.len() }
    }
}

fn room(capacity: usize) -> Room {
    let options = OptionsBuilder::new()
        .shards(PARTS)
        .estimated_items_capacity(capacity)
        .weight_capacity(capacity as u64)
        .build();
    match options {
        Ok(options) => Cache::with_options(
            options,
            UnitWeighter,
            DefaultHashBuilder::default(),
            DefaultLifecycle::default(),
        ),
        // Both capacities are given, and nothing else can be missing.
        Err(_) => Cache::new(capacity),
    }
}

/// What has to be added to a room so that as many keys as are promised find a place, although they
/// do not fall into its parts evenly: six standard deviations of each part.
fn unevenness(capacity: usize) -> usize {
    6 * (capacity * PARTS).isqrt()
}

impl<T> Entry<T> {
    /// By the clock that nobody sets.
    fn was_asked_after(&self, moment: Moment) -> bool {
        self.asked_at.since_boot > moment.since_boot
    }
}
