//! A read under way, and those who wait for it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::rules::Patience;
use super::{Reading, Unavailable, UnavailableKind};
use crate::environment::Moment;
use crate::key_store::{AttemptOutcome, Attempts, READ_ATTEMPT, READ_DEADLINE};

/// How much later than the store a read gives up: the store knows why there is no answer.
const GRACE: Duration = Duration::from_millis(100);

/// What a read has come to.
pub(super) type Outcome<T> = Result<Reading<T>, Unavailable>;

/// A read under way. Nobody owns it: whoever waits may leave.
pub(super) struct Flight<T> {
    /// When it was begun, to tell its age by.
    pub(super) begun_at: Moment,
    begun: Instant,
    outcome: watch::Receiver<Option<Outcome<T>>>,
}

/// Where its outcome is told.
pub(super) type Announce<T> = watch::Sender<Option<Outcome<T>>>;

impl<T: Clone> Flight<T> {
    pub(super) fn new(begun_at: Moment) -> (Self, Announce<T>) {
        let (announce, outcome) = watch::channel(None);
        (Self { begun_at, begun: Instant::now(), outcome }, announce)
    }

    /// How long it has been under way.
    pub(super) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// When it has to be over.
    pub(super) fn deadline(&self) -> Instant {
        self.begun + READ_DEADLINE + GRACE
    }

    /// Waits for what it comes to, or until it is as old as one attempt.
    pub(super) async fn wait(&self, patience: Patience) -> Outcome<T> {
        let mut outcome = self.outcome.clone();
        let told = async {
            match outcome.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(outcome)) => outcome.clone(),
                Ok(None) | Err(_) => Err(self.lost()),
            }
        };
        match patience {
            Patience::Attempt => {
                let told = timeout_at(self.begun + READ_ATTEMPT, told).await;
                told.unwrap_or_else(|_| Err(self.overdue(AttemptOutcome::Abandoned)))
            }
            Patience::Whole => told.await,
        }
    }

    /// The read ended in a panic.
    pub(super) fn lost(&self) -> Unavailable {
        let kind = UnavailableKind::Failed;
        let attempts = self.untold(AttemptOutcome::Failed(kind));
        Unavailable { attempts, ..Unavailable::new(kind, "the question ended without an answer") }
    }

    /// There is no answer, and so nobody who could tell what it took.
    pub(super) fn overdue(&self, outcome: AttemptOutcome) -> Unavailable {
        let attempts = self.untold(outcome);
        let kind = UnavailableKind::TooSlow;
        Unavailable { attempts, ..Unavailable::new(kind, "no answer within the deadline") }
    }

    fn untold(&self, outcome: AttemptOutcome) -> Attempts {
        Attempts::untold(self.begun.into_std(), outcome)
    }
}

pub(super) fn crowded() -> Unavailable {
    Unavailable::new(UnavailableKind::Overloaded, "too many reads wait for their turn")
}
