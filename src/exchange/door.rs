//! How many exchanges there are at once, and which are turned away for want of time or room.
//!
//! To refuse early is what keeps the rest in time: a refusal costs a hundredth of a token.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::Reason;

/// Exchanges at once, unless it is said otherwise: as many as there may be connections.
const MAX_IN_FLIGHT: usize = 2048;

/// Why an exchange is turned away. Nothing is said about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    #[error("shed: signatures wait in a standing queue")]
    StandingQueue,
    #[error("too many: there are as many exchanges as there may be")]
    InFlight,
    #[error("queue wait: the signature did not begin in time")]
    QueueWait,
    #[error("crowded: the key store is asked too much at once")]
    Crowded,
}

impl Overload {
    pub const ALL: [Self; 4] =
        [Self::StandingQueue, Self::InFlight, Self::QueueWait, Self::Crowded];

    /// The reason in a word.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self {
            Self::StandingQueue => Reason::Shed,
            Self::InFlight => Reason::TooMany,
            Self::QueueWait => Reason::QueueWait,
            Self::Crowded => Reason::Crowded,
        }
    }
}

/// An exchange that was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Busy {
    pub why: Overload,
    /// How many were turned away before it: whoever tells callers when to come again spreads them
    /// by this, so that they do not all come at once.
    pub number: u64,
}

pub(super) struct Door {
    max_in_flight: usize,
    in_flight: AtomicUsize,
    refused: AtomicU64,
}

/// One exchange, until it is dropped.
pub(super) struct Place<'a>(&'a Door);

impl Default for Door {
    fn default() -> Self {
        Self::for_at_most(MAX_IN_FLIGHT)
    }
}

impl Door {
    pub(super) fn for_at_most(in_flight: usize) -> Self {
        Self {
            max_in_flight: in_flight,
            in_flight: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Whether there is a place. Takes none: a client may take its time to send the rest.
    pub(super) fn has_room(&self) -> Result<(), Busy> {
        if self.in_flight.load(Ordering::Relaxed) < self.max_in_flight {
            Ok(())
        } else {
            Err(self.refuse(Overload::InFlight))
        }
    }

    pub(super) fn enter(&self) -> Result<Place<'_>, Busy> {
        let place = Place(self);
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.max_in_flight {
            Ok(place)
        } else {
            drop(place);
            Err(self.refuse(Overload::InFlight))
        }
    }

    /// Turns an exchange away.
    pub(super) fn refuse(&self, why: Overload) -> Busy {
        let number = self.refused.fetch_add(1, Ordering::Relaxed);
        Busy { why, number }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_exchange_is_over() {
        let door = Door::for_at_most(2);
        let (first, second) = (door.enter(), door.enter());
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(door.has_room().map_err(|busy| busy.why), Err(Overload::InFlight));
        assert_eq!(door.enter().err().map(|busy| busy.number), Some(1));
        assert_eq!(door.in_flight(), 2, "who is refused takes no place");
        drop(first);
        assert!(door.has_room().is_ok());
        assert!(door.enter().is_ok());
    }
}
