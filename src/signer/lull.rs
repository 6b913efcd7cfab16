//! Lets the runtime rest while more is asked for than can be signed, so that requests come together.

use std::sync::{Arc, OnceLock, Weak};
use std::thread;

use super::Signer;

/// The rest of a runtime's threads, which are started before there is anything to sign with.
#[derive(Clone, Default)]
pub struct Lull(Arc<OnceLock<Weak<Signer>>>);

impl Lull {
    /// Goes by this signer from now on; by the first one, if there are several.
    pub fn follow(&self, signer: &Arc<Signer>) {
        let _ = self.0.set(Arc::downgrade(signer));
    }

    /// Rests, if there is reason to. For a thread that has nothing to do, and is about to look for
    /// new requests.
    pub fn rest(&self) {
        let signer = self.0.get().and_then(Weak::upgrade);
        let lull = signer.map_or_else(Default::default, |signer| signer.pool.lull());
        if !lull.is_zero() {
            thread::sleep(lull);
        }
    }
}
