//! An errand: something that takes a while and that many wait for. One runs at a time, in a task
//! of its own, which goes on when nobody waits any more, so that the next caller finds it done.

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// Whatever is brought is given to everybody who waits for it.
#[derive(Debug)]
pub(super) struct Errand<T> {
    under_way: Mutex<Option<watch::Receiver<Option<T>>>>,
}

impl<T: Clone + Send + Sync + 'static> Errand<T> {
    pub(super) fn new() -> Self {
        Self { under_way: Mutex::new(None) }
    }

    /// What the errand under way brings; if none is, what `begin` brings. `None` when it panicked.
    pub(super) async fn run<F>(&self, begin: impl FnOnce() -> F) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut outcome = self.join_or_begin(begin);
        let brought = outcome.wait_for(Option::is_some).await.ok()?;
        brought.clone()
    }

    fn join_or_begin<F>(&self, begin: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = &*under_way {
            let has_ended = outcome.borrow().is_some() || outcome.has_changed().is_err();
            if !has_ended {
                return outcome.clone();
            }
        }
        let (bring, outcome) = watch::channel(None);
        let errand = begin();
        tokio::spawn(async move { bring.send_replace(Some(errand.await)) });
        *under_way = Some(outcome.clone());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn an_errand_that_ended_is_run_again_and_one_under_way_is_joined() {
        let errand = Errand::new();
        assert_eq!(errand.run(async || -> u8 { panic!("lost on the way") }).await, None);
        assert_eq!(errand.run(|| ready(1)).await, Some(1));
        assert_eq!(errand.run(|| ready(2)).await, Some(2));
        drop(errand.join_or_begin(pending));
        let joined = errand.join_or_begin(|| ready(3));
        assert!(joined.borrow().is_none(), "nobody waits for the first, and it goes on");
    }
}
