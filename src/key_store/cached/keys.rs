//! The keys of one token family: what becomes of a question for one, and the reads under way.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::timeout_at;
use tokio_util::task::AbortOnDropHandle;

use super::flight::{Flight, Outcome, crowded};
use super::memory::{Entry, Name, Record};
use super::places::Side;
use super::rules::{Patience, Remembered, Sight, Step};
use super::{Common, Reading, Recency, Source, Unavailable, UnavailableKind};
use crate::environment::Moment;
use crate::key_store::{Answer, AttemptOutcome, Attempts};

/// Answers, remembered or asked for.
pub(super) struct Keys<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    common: Arc<Common>,
    /// The youngest read of each key. Whoever writes to the memory of one holds this; who finds what
    /// is fresh there never does.
    flights: Mutex<Flights<T>>,
}

type Flights<T> = HashMap<Name, Arc<Flight<T>>>;

/// What becomes of a question.
enum Course<T> {
    Over(Result<Reading<T>, Unavailable>),
    Waits(Arc<Flight<T>>, Patience),
    /// For a read that was begun for somebody else.
    Joins(Arc<Flight<T>>, Patience),
}

impl<T: Record> Keys<T> {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self { shared: Arc::new(Shared { common, flights: Mutex::default() }) }
    }

    /// What is known of a key; `ask` asks the store.
    pub(super) async fn reading<Q>(
        &self,
        name: Name,
        recency: Recency,
        ask: impl FnOnce() -> Q + Send,
    ) -> Result<Reading<T>, Unavailable>
    where
        Q: Future<Output = Result<Reading<T>, Unavailable>> + Send + 'static,
    {
        let reading = match self.course(name, recency, ask) {
            Course::Over(reading) => reading,
            Course::Waits(flight, patience) => self.shared.wait(&flight, patience, &name).await,
            Course::Joins(flight, patience) => {
                joined(self.shared.wait(&flight, patience, &name).await)
            }
        };
        self.shared.common.figures.count_answer(&reading);
        reading
    }

    fn course<Q>(&self, name: Name, recency: Recency, ask: impl FnOnce() -> Q) -> Course<T>
    where
        Q: Future<Output = Result<Reading<T>, Unavailable>> + Send + 'static,
    {
        let shared = &self.shared;
        let now = shared.common.clock.moment();
        let served = |entry: Arc<Entry<T>>, source| {
            Course::Over(Ok(remembered(&entry, source, Attempts::default())))
        };
        // Most questions end here, without the lock.
        if let Step::Serve(entry, source @ (Source::Fresh | Source::Absence)) =
            shared.step(recency, shared.common.memory.look(&name), None, now)
        {
            return served(entry, source);
        }
        let mut flights = shared.flights();
        // Looked at again: a read leaves its answer in the memory before it leaves the others.
        let entry = shared.common.memory.look(&name);
        let flight = flights.get(&name).map(Arc::clone);
        match shared.step(recency, entry, flight, now) {
            Step::Serve(entry, source) => served(entry, source),
            Step::ServeAndBegin(entry) => {
                self.begin(&mut flights, name, Side::Known, now, ask());
                served(entry, Source::Refreshing)
            }
            Step::Join(flight, patience) => {
                shared.common.figures.count_joined();
                Course::Joins(flight, patience)
            }
            Step::Begin(side, patience) => {
                Course::Waits(self.begin(&mut flights, name, side, now, ask()), patience)
            }
            Step::Refuse(kind) => {
                let detail = "a moment ago, and it is not asked again yet";
                Course::Over(Err(Unavailable::new(kind, detail)))
            }
        }
    }

    /// Begins a read in a task of its own, which nobody's leaving ends.
    fn begin<Q>(
        &self,
        flights: &mut Flights<T>,
        name: Name,
        side: Side,
        now: Moment,
        question: Q,
    ) -> Arc<Flight<T>>
    where
        Q: Future<Output = Result<Reading<T>, Unavailable>> + Send + 'static,
    {
        let (flight, announce) = Flight::new(now);
        let flight = Arc::new(flight);
        flights.insert(name, Arc::clone(&flight));
        self.shared.common.figures.count_begun();
        let (shared, own) = (Arc::clone(&self.shared), Arc::clone(&flight));
        tokio::spawn(async move {
            // In a task of its own, so that a panic of the store ends that alone.
            let read = tokio::spawn(Arc::clone(&shared).read(side, question));
            let read = AbortOnDropHandle::new(read);
            let outcome = match timeout_at(own.deadline(), read).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(own.lost()),
                Err(_) => Err(own.overdue(AttemptOutcome::Failed(UnavailableKind::TooSlow))),
            };
            announce.send_replace(Some(shared.land(&name, &own, outcome)));
        });
        flight
    }
}

impl<T: Record> Shared<T> {
    fn step(
        &self,
        recency: Recency,
        entry: Option<Arc<Entry<T>>>,
        flight: Option<Arc<Flight<T>>>,
        now: Moment,
    ) -> Step<Arc<Entry<T>>, Arc<Flight<T>>> {
        let failed = entry.as_ref().and_then(|entry| entry.failed);
        let memory = entry.map_or(Remembered::Nothing, |entry| {
            let age = now.since(entry.asked_at);
            match entry.answer {
                Answer::Found(_) => Remembered::Key(entry, age),
                _ => Remembered::Absence(entry, age),
            }
        });
        let flight = flight.map(|flight| {
            let age = now.since(flight.begun_at);
            (flight, age)
        });
        let failed = failed.map(|(at, kind)| (now.since(at), kind));
        let sight = Sight { memory, failed, flight };
        match recency {
            Recency::Remembered => self.common.rules.remembered(sight),
            Recency::Current => self.common.rules.current(sight),
        }
    }

    /// What a read under way comes to, for one who waits for it.
    async fn wait(
        &self,
        flight: &Flight<T>,
        patience: Patience,
        name: &Name,
    ) -> Result<Reading<T>, Unavailable> {
        match patience {
            Patience::Attempt => {
                let outcome = flight.wait(Patience::Attempt).await;
                outcome.or_else(|why| self.in_spite_of(why, name))
            }
            // Without a place the read goes on, for whoever comes again.
            Patience::Whole => match self.common.places.wait() {
                Some(_place) => flight.wait(Patience::Whole).await,
                None => Err(crowded()),
            },
        }
    }

    /// What is remembered of a key, unless it is too old even for this.
    fn in_spite_of(&self, why: Unavailable, name: &Name) -> Result<Reading<T>, Unavailable> {
        let now = self.common.clock.moment();
        match self.common.memory.look(name) {
            Some(entry)
                if matches!(entry.answer, Answer::Found(_))
                    && self.common.rules.outlasts_a_failure(now.since(entry.asked_at)) =>
            {
                Ok(remembered(&entry, Source::Stale(why.kind), why.attempts))
            }
            _ => Err(why),
        }
    }

    /// Asks the store when there is a place for it. Tells when it was asked.
    async fn read(
        self: Arc<Self>,
        side: Side,
        question: impl Future<Output = Result<Reading<T>, Unavailable>> + Send,
    ) -> Result<(Reading<T>, Moment), Unavailable> {
        let Some(_place) = self.common.places.enter(side).await else {
            return Err(crowded());
        };
        let asked_at = self.common.clock.moment();
        Ok((question.await?, asked_at))
    }

    /// Keeps what a read has come to, for those who come from now on.
    fn land(
        &self,
        name: &Name,
        flight: &Arc<Flight<T>>,
        outcome: Result<(Reading<T>, Moment), Unavailable>,
    ) -> Outcome<T> {
        let now = self.common.clock.moment();
        if let Err(why) = &outcome {
            self.common.failure_log.count(why, now);
        }
        let mut flights = self.flights();
        match &outcome {
            Ok((reading, asked_at)) => {
                self.common.memory.remember(*name, reading.answer.clone(), *asked_at);
            }
            Err(why) => {
                let memory = &self.common.memory;
                memory.remember_failure::<T>(name, flight.begun_at, now, why.kind);
            }
        }
        if flights.get(name).is_some_and(|youngest| Arc::ptr_eq(youngest, flight)) {
            flights.remove(name);
        }
        self.common.figures.count_ended(&outcome, flight.took());
        outcome.map(|(reading, _)| reading)
    }

    fn flights(&self) -> MutexGuard<'_, Flights<T>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remembered<T: Clone>(entry: &Entry<T>, source: Source, attempts: Attempts) -> Reading<T> {
    Reading { answer: entry.answer.clone(), source, attempts }
}

/// As one sees it who joined the read of another.
fn joined<T>(outcome: Outcome<T>) -> Outcome<T> {
    match outcome {
        Ok(reading) => Ok(Reading { attempts: reading.attempts.joined(), ..reading }),
        Err(why) => Err(Unavailable { attempts: why.attempts.joined(), ..why }),
    }
}
