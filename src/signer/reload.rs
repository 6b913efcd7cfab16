//! Looks at the key file again, when a request needs to know or a signal asks.
//!
//! No timer: a machine that was stopped, or that nobody asked for a day, has none to rely on. A
//! request that finds the last look too old waits for a new one, for a moment; reading a mounted
//! secret is network I/O, so a look that takes longer goes on alone. A file that cannot be used
//! changes nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::key_file::{KeyFile, KeyFileError};
use super::key_ring::{KeyRing, Rotation};
use super::key_set::KeySet;
use crate::environment::{Clock, Moment, UnixSeconds, rfc3339};

/// How long requests wait for a look. Most of them are read in a few milliseconds, and the known
/// callers have ten seconds at most for everything.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most looks at a time that were given up and still run, each on a thread of its own: more
/// than one, so that a read that hangs for ever does not end all reloading.
const MAX_LOOKS: usize = 4;

/// Where the bytes of a key file come from.
pub trait KeySource: Send + Sync + 'static {
    /// Reads the whole file. Blocks.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError>;

    /// What goes wrong when the bytes are no key set.
    fn invalid(&self, source: super::InvalidKeySet) -> KeyFileError;
}

impl KeySource for KeyFile {
    fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        Self::read(self)
    }

    fn invalid(&self, source: super::InvalidKeySet) -> KeyFileError {
        Self::invalid(self, source)
    }
}

/// The key ring of an instance, as new as its file.
pub(super) struct Reload {
    source: Arc<dyn KeySource>,
    /// A look that is as old as this is due to be repeated.
    interval: Duration,
    clock: Arc<dyn Clock>,
    ring: ArcSwap<KeyRing>,
    /// When the last look ended, or was given up.
    last_look: ArcSwap<Moment>,
    looks: Mutex<Looks>,
    failures: AtomicU64,
}

#[derive(Default)]
struct Looks {
    /// The one that requests wait for.
    awaited: Option<Look>,
    /// How many run, given up or not.
    running: usize,
    begun: u64,
    /// The number of the latest look whose outcome counts; those that began before it come too late.
    counted: u64,
    /// The SHA-256 of the last file that could be used.
    content: Option<[u8; 32]>,
    /// The keys that were published at the last look, the one that signed first.
    told_published: Vec<String>,
    /// The key of which it was told that it signs past its `exp`.
    told_expired: Option<String>,
}

struct Look {
    number: u64,
    deadline: Instant,
    ended: watch::Receiver<()>,
}

impl Reload {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When the file cannot be read or used: there is no last good set yet.
    pub(super) fn start(
        source: Arc<dyn KeySource>,
        interval: Duration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeyFileError> {
        let json = source.read()?;
        let keys = KeySet::parse(&json).map_err(|error| source.invalid(error))?;
        let moment = clock.moment();
        let now = moment.since_epoch.as_secs();
        let ring = KeyRing::of(keys);
        log_in_use(&ring, now, "signing keys read");
        let mut looks = Looks { content: Some(digest(&json)), ..Looks::default() };
        looks.told_published = published(&ring, now);
        looks.tell_if_expired(&ring, now);
        Ok(Self {
            interval,
            ring: ArcSwap::from_pointee(ring),
            last_look: ArcSwap::from_pointee(moment),
            looks: Mutex::new(looks),
            failures: AtomicU64::new(0),
            source,
            clock,
        })
    }

    pub(super) fn ring(&self) -> &ArcSwap<KeyRing> {
        &self.ring
    }

    /// How many looks found a file that could not be used.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Returns when the last look is young enough, or will not become so in time.
    pub(super) async fn be_fresh(self: &Arc<Self>) {
        if self.is_due() {
            let look = self.join_or_begin();
            if let Some(look) = look {
                self.wait_for(look).await;
            }
        }
    }

    /// Looks at once, however young the last look is, and waits for it as a request would.
    pub(super) async fn look_now(self: &Arc<Self>) {
        let look = {
            let mut looks = self.lock();
            // Who asks wants to read in the log what there is, changed or not.
            looks.content = None;
            self.begin(&mut looks)
        };
        if let Some(look) = look {
            self.wait_for(look).await;
        }
    }

    fn is_due(&self) -> bool {
        self.clock.moment().since(**self.last_look.load()) >= self.interval
    }

    fn has_looked(&self) {
        self.last_look.store(Arc::new(self.clock.moment()));
    }

    fn join_or_begin(self: &Arc<Self>) -> Option<Look> {
        let mut looks = self.lock();
        // Another request may have been faster.
        if !self.is_due() {
            return None;
        }
        match &looks.awaited {
            Some(look) => Some(look.share()),
            None => self.begin(&mut looks),
        }
    }

    /// `None` when too many hang already.
    fn begin(self: &Arc<Self>, looks: &mut Looks) -> Option<Look> {
        if looks.running >= MAX_LOOKS {
            self.has_looked();
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                looks = looks.running,
                "the signing keys stay as they were: reading the private key file hangs"
            );
            return None;
        }
        looks.running += 1;
        looks.begun += 1;
        let (end, ended) = watch::channel(());
        let look = Look { number: looks.begun, deadline: Instant::now() + PATIENCE, ended };
        let shared = look.share();
        let number = look.number;
        looks.awaited = Some(look);
        let this = Arc::clone(self);
        // Not awaited: the look goes on even if every request that waits for it is gone.
        drop(tokio::task::spawn_blocking(move || {
            let running = Running { reload: &this, number };
            this.look(number);
            drop(running);
            drop(end);
        }));
        Some(shared)
    }

    async fn wait_for(&self, mut look: Look) {
        if timeout_at(look.deadline, look.ended.changed()).await.is_err() {
            self.give_up(look.number);
        }
    }

    fn give_up(&self, number: u64) {
        let mut looks = self.lock();
        if looks.awaited.take_if(|look| look.number == number).is_some() {
            self.has_looked();
            tracing::warn!(
                "reading the private key file takes long; until it ends, the signing keys stay as they were"
            );
        }
    }

    /// Reads the file and takes its keys into use. Blocks.
    fn look(&self, number: u64) {
        let outcome = self.source.read().and_then(|json| {
            let content = digest(&json);
            let known = self.lock().content == Some(content);
            // Trying keys costs milliseconds of a core: not for a file that has not changed.
            let keys = if known { None } else { Some(KeySet::parse(&json)) };
            let keys = keys.transpose().map_err(|error| self.source.invalid(error))?;
            Ok((content, keys))
        });
        let mut looks = self.lock();
        if number < looks.counted {
            return;
        }
        looks.counted = number;
        // What the clock did to the old keys, before the new ones are told of.
        looks.tell_if_changed(&self.ring.load(), self.clock.now());
        let outcome = outcome.and_then(|(content, keys)| {
            if let Some(keys) = keys {
                self.take(keys)?;
                looks.content = Some(content);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            self.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the signing keys stay as they were: the new file cannot be used");
        }
        let (ring, now) = (self.ring.load(), self.clock.now());
        looks.told_published = published(&ring, now);
        looks.tell_if_expired(&ring, now);
    }

    fn take(&self, keys: KeySet) -> Result<(), KeyFileError> {
        let now = self.clock.now();
        let before = self.ring.load();
        let (ring, rotation) =
            before.renewed(keys, now).map_err(|error| self.source.invalid(error))?;
        log_in_use(&ring, now, "signing keys read again");
        let signing = ring.at(now).signing_kid();
        if before.at(now).published_kids().all(|kid| kid != signing) {
            tracing::error!(
                kid = signing,
                "by the new file a key signs that was not published before: verifiers will refuse \
                 its tokens until they fetch the key set again"
            );
        }
        if let Rotation::Unsafe { lost_kid, signs_until } = rotation {
            tracing::error!(
                kid = lost_kid,
                signs_until = rfc3339(signs_until),
                "unsafe rotation: the private key file no longer holds the key that signs, so \
                 verifiers will refuse tokens; this instance goes on to sign with the lost key for \
                 a while. Rotate with `token-exchange signing-key rotate`, which adds keys ahead; \
                 if the key leaked, mark it as revoked with `signing-key rotate --leaked`"
            );
        }
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Looks> {
        // Every change under the lock is whole; a panic leaves nothing half done.
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looks {
    /// What the file and the clock had arranged has happened since the last look.
    fn tell_if_changed(&mut self, ring: &KeyRing, now: UnixSeconds) {
        let kids = published(ring, now);
        if kids == self.told_published {
            return;
        }
        let (kid, next_start) = (ring.at(now).signing_kid(), ring.next_start(now).map(rfc3339));
        let before = self.told_published.first().map_or("", String::as_str);
        if before == kid {
            tracing::info!(kid, published = kids.len(), "a signing key has left the key set");
        } else {
            tracing::info!(kid, before, published = kids.len(), next_start, "another key signs");
        }
        self.told_published = kids;
    }

    /// Loud, and once a key: it goes on until somebody adds another.
    fn tell_if_expired(&mut self, ring: &KeyRing, now: UnixSeconds) {
        let signing = ring.file().signing_at(now);
        let kid = signing.key.kid();
        let Some(expires) = signing.lifetime.expires.filter(|at| *at <= now) else {
            // It may have been told by a clock that was wrong.
            self.told_expired = None;
            return;
        };
        if self.told_expired.as_deref() != Some(kid) {
            self.told_expired = Some(kid.to_owned());
            tracing::error!(
                kid,
                expires = rfc3339(expires),
                "the signing key is past its exp and signs on, since no key has followed it; add \
                 one with `token-exchange signing-key rotate`"
            );
        }
    }
}

impl Look {
    fn share(&self) -> Self {
        Self { number: self.number, deadline: self.deadline, ended: self.ended.clone() }
    }
}

/// A look that has not ended; ends with it, panic or not.
struct Running<'a> {
    reload: &'a Reload,
    number: u64,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut looks = self.reload.lock();
        looks.running -= 1;
        let was_awaited = looks.awaited.take_if(|look| look.number == self.number).is_some();
        if was_awaited {
            self.reload.has_looked();
        }
    }
}

fn digest(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

fn published(ring: &KeyRing, now: UnixSeconds) -> Vec<String> {
    ring.at(now).published_kids().map(str::to_owned).collect()
}

/// What operators have to know of a set that is taken into use.
fn log_in_use(ring: &KeyRing, now: UnixSeconds, message: &'static str) {
    tracing::info!(
        kid = ring.at(now).signing_kid(),
        keys = ring.file().members().len(),
        published = ring.at(now).published_kids().count(),
        next_start = ring.next_start(now).map(rfc3339),
        "{message}"
    );
    for warning in ring.file().warnings() {
        tracing::warn!(%warning, "some verifiers will refuse tokens");
    }
}
