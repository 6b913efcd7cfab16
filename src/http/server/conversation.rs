//! Where one connection stands, and how long it may stay there.
//!
//! The state is shared by the connection's own task, which does everything but one thing, and the
//! acceptor, which looks for a connection to end. Nothing here touches a socket.

use std::cmp::Reverse;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use super::Rules;

/// One connection's state. Its lock is held for a few instructions, and contended only when the
/// acceptor is out of room.
#[derive(Debug)]
pub(super) struct Conversation {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// Since when the client has not taken a byte of its answer, while there is one to take.
    write_blocked: Option<Instant>,
    task: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The head of a request is awaited: since the opening, or since its first byte.
    Waiting,
    /// A request is being handled or its answer produced; handlers bound themselves.
    Handling,
    /// The same, but the time of the drain is up.
    TooLate,
    /// The answer has been handed over and may still be on its way out.
    Answered,
    /// Kept alive. Begins when hyper asks for more and nothing is there. It may hold the beginning
    /// of a head all the same, one that came with the end of the last request or before its answer.
    Idle,
    /// Kept alive, and hyper was seen to hold nothing.
    Quiet,
    /// To be closed, unless a byte comes first.
    Leaving,
    /// To be closed for another's sake, unless a head is complete first.
    Evicted,
    /// HTTP is over; what is left bounds itself.
    Closing,
}

/// What is to happen to a connection now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before this time, or at all.
    Wait(Option<Instant>),
    /// Something that hyper must see: poll it again.
    Continue,
    /// What hyper holds decides: look, and say so by [`Conversation::looked`].
    Look,
    /// The end, without another word.
    Close,
}

/// How dispensable a connection is: the greatest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dispensable {
    idle: bool,
    since: Reverse<Instant>,
}

impl Dispensable {
    pub(super) fn is_idle(&self) -> bool {
        self.idle
    }
}

impl Conversation {
    /// A connection that has just been opened.
    pub(super) fn open() -> Self {
        let state =
            State { phase: Phase::Waiting, since: Instant::now(), write_blocked: None, task: None };
        Self { state: Mutex::new(state) }
    }

    /// A request's head is complete.
    pub(super) fn handling(&self) {
        self.state().enter(Phase::Handling);
    }

    /// The request at hand must be answered with a refusal.
    pub(super) fn is_too_late(&self) -> bool {
        self.state().phase == Phase::TooLate
    }

    /// The answer has been handed over, all of it.
    pub(super) fn answered(&self) {
        self.state().enter(Phase::Answered);
    }

    /// HTTP is over.
    pub(super) fn closing(&self) {
        self.state().enter(Phase::Closing);
    }

    pub(super) fn bytes_came(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Idle | Phase::Quiet | Phase::Leaving) {
            state.enter(Phase::Waiting);
        }
    }

    /// Whether hyper holds the beginning of a head has been looked at. It has been there for as long
    /// as nothing else came.
    pub(super) fn looked(&self, head_has_begun: bool) {
        let mut state = self.state();
        // Unless it was evicted meanwhile.
        if state.phase == Phase::Idle {
            state.phase = if head_has_begun { Phase::Waiting } else { Phase::Quiet };
        }
    }

    /// Nothing is there to be read. True if the connection need not wait for it.
    pub(super) fn nothing_came(&self) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Answered {
            state.enter(Phase::Idle);
        }
        state.phase == Phase::Leaving
    }

    pub(super) fn write_blocked(&self) {
        self.state().write_blocked.get_or_insert_with(Instant::now);
    }

    pub(super) fn write_went_on(&self) {
        self.state().write_blocked = None;
    }

    /// Compares the state with the rules. To be asked whenever the connection has done all it can;
    /// the task is woken when the acceptor changes the state or the rules.
    pub(super) fn judge(&self, rules: &Rules, task: &Waker) -> Verdict {
        let mut state = self.state();
        match &mut state.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
        // Read under the lock: a drain that is not seen here finds the waker just put there.
        state.judge(rules)
    }

    /// Has the connection judged anew.
    pub(super) fn wake(&self) {
        let task = self.state().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Whether, and how gladly, the connection can be spared.
    pub(super) fn dispensable(&self) -> Option<Dispensable> {
        let state = self.state();
        let idle = match state.phase {
            Phase::Idle | Phase::Quiet => true,
            Phase::Waiting => false,
            _ => return None,
        };
        Some(Dispensable { idle, since: Reverse(state.since) })
    }

    /// Ends the connection if it can still be spared; whether it could.
    pub(super) fn evict(&self) -> bool {
        let mut state = self.state();
        let can_go = matches!(state.phase, Phase::Idle | Phase::Quiet | Phase::Waiting);
        if can_go {
            state.enter(Phase::Evicted);
            drop(state);
            self.wake();
        }
        can_go
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two writes of the same state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    fn judge(&mut self, rules: &Rules) -> Verdict {
        let drain = rules.drain.times();
        let before_deadline = |due: Option<Instant>| match (due, drain) {
            (Some(due), Some(drain)) => Some(due.min(drain.deadline())),
            (due, None) => due,
            (None, Some(drain)) => Some(drain.deadline()),
        };

        let stalled = self.write_blocked.map(|since| since + rules.limits.write_stall);
        let stalled = stalled.and_then(|due| before_deadline(Some(due)));
        let head_due = self.since + rules.limits.head;
        let idle_due = match drain {
            Some(drain) => drain.quiet_after(self.since),
            None => self.since + rules.limits.idle,
        };
        let due = match self.phase {
            Phase::Evicted => return Verdict::Close,
            Phase::Waiting => before_deadline(Some(head_due)),
            // The rest of an answer would be lost by a look at hyper.
            Phase::Idle if self.write_blocked.is_some() => None,
            Phase::Idle => Some(head_due.min(idle_due)),
            Phase::Quiet => Some(idle_due),
            Phase::Handling => before_deadline(None),
            Phase::TooLate | Phase::Answered | Phase::Leaving | Phase::Closing => None,
        };

        let now = Instant::now();
        let is_over = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_over(stalled) {
            return Verdict::Close;
        }
        if !is_over(due) {
            return Verdict::Wait([due, stalled].into_iter().flatten().min());
        }
        match self.phase {
            Phase::Idle => return Verdict::Look,
            Phase::Quiet => self.enter(Phase::Leaving),
            Phase::Handling => self.enter(Phase::TooLate),
            _ => return Verdict::Close,
        }
        Verdict::Continue
    }
}
