//! The loop of one port: lets connections in, makes room for them, and goes through the stages of
//! a drain.
//!
//! It alone knows all connections of the port, so nothing that a request touches is shared between
//! connections.

use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::connection;
use super::conversation::{Conversation, Dispensable};
use super::listener::{Listener, refuse_new_connections};
use super::{Routes, Rules};

/// The pause after a failed accept: long enough not to spin, short enough not to be noticed.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The pause after many failed accepts.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// While no connection can be spared: how often to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(super) struct Acceptor<R> {
    listener: TcpListener,
    routes: R,
    rules: Arc<Rules>,
    tasks: JoinSet<()>,
    open: HashMap<Id, Arc<Conversation>>,
    /// Accepted, but still without room.
    next: Option<TcpStream>,
    /// The pause after the next failed accept, while they fail.
    pause: Option<Duration>,
}

impl<R: Routes> Acceptor<R> {
    pub(super) fn new(listener: Listener, routes: R, rules: Rules) -> io::Result<Self> {
        Ok(Self {
            listener: listener.into_tokio()?,
            routes,
            rules: Arc::new(rules),
            tasks: JoinSet::new(),
            open: HashMap::new(),
            next: None,
            pause: None,
        })
    }

    /// Serves until the drain is over.
    pub(super) async fn run(mut self) {
        let drain = self.rules.drain.clone();
        let mut started = pin!(drain.started());
        loop {
            tokio::select! {
                biased;
                () = &mut started => break,
                () = self.admit() => {}
            }
        }
        self.drain().await;
    }

    async fn drain(mut self) {
        let Some(times) = self.rules.drain.times() else { return };
        for conversation in self.open.values() {
            conversation.wake();
        }

        self.admit_until_quiet(times.schedule.quiet_port, times.port_closes()).await;
        if let Err(error) = refuse_new_connections(&self.listener) {
            tracing::debug!(%error, "the port cannot be closed to new connections alone");
        }
        self.admit_until_quiet(times.schedule.last_arrival, times.deadline()).await;

        let Self { listener, mut tasks, rules, .. } = self;
        drop(listener);
        let all = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(times.end(), all).await.is_err() {
            tracing::warn!(connections = tasks.len(), "the drain ends before its connections");
        }
        let requests = rules.figures.too_late();
        if requests > 0 {
            tracing::warn!(requests, "draining: what was not ready in time was refused");
        }
    }

    /// Admits connections until none has come for a while and all have room, or the time is over.
    async fn admit_until_quiet(&mut self, quiet: Duration, last: Instant) {
        loop {
            let pause = last.min(Instant::now() + quiet);
            let is_quiet = timeout_at(pause, self.admit()).await.is_err() && self.next.is_none();
            if is_quiet || Instant::now() >= last {
                return;
            }
        }
    }

    /// Admits one connection. May be cancelled: a connection that was accepted is not lost.
    async fn admit(&mut self) {
        if self.next.is_none() {
            self.next = Some(self.accept().await);
        }
        while self.open.len() >= self.rules.limits.connections {
            self.evict_one(|_| true);
            let _ = timeout(LOOK_AGAIN, self.one_ended()).await;
        }
        if let Some(stream) = self.next.take() {
            self.spawn(stream);
        }
    }

    /// The next connection of the port, whatever accepting it runs into.
    async fn accept(&mut self) -> TcpStream {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        self.pause = None;
                        return stream;
                    }
                    Err(error) => self.back_off(&error).await,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
            }
        }
    }

    /// Waits before the next try, until a connection ends at most.
    ///
    /// Without files to open Linux reports so even if nobody wants to connect. An idle connection
    /// is worth less than a free file then; one that waits for its first request may be the one
    /// that took the last.
    async fn back_off(&mut self, error: &io::Error) {
        let pause = self.pause.unwrap_or_else(|| {
            tracing::warn!(%error, "connections cannot be accepted");
            FIRST_PAUSE
        });
        self.pause = Some(LONGEST_PAUSE.min(2 * pause));
        if matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE)) {
            self.evict_one(Dispensable::is_idle);
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = self.one_ended(), if !self.tasks.is_empty() => {}
        }
    }

    fn spawn(&mut self, stream: TcpStream) {
        // Answers are written in one go: nothing is gained by waiting for more. Where this fails
        // the client is gone already, and reading will tell.
        let _ = stream.set_nodelay(true);
        let conversation = Arc::new(Conversation::open());
        let task = self.tasks.spawn(connection::serve(
            stream,
            Arc::clone(&conversation),
            self.routes.clone(),
            Arc::clone(&self.rules),
        ));
        self.open.insert(task.id(), conversation);
        self.rules.figures.count_opened();
    }

    /// Ends the connection idle longest; if none is idle, the one that has waited longest for the
    /// head of a request; if none waits either, none. Of those alone that `may` go.
    ///
    /// Looks at all of them: a few times what accepting a connection costs, at 2048 of them, and
    /// only while the port is full. An order kept up to date would cost every request.
    fn evict_one(&self, may: impl Fn(&Dispensable) -> bool) {
        let ranked = self.open.values().filter_map(|one| Some((one.dispensable()?, one)));
        let eligible = ranked.filter(|(rank, _)| may(rank));
        let first = eligible.max_by_key(|(rank, _)| *rank);
        if first.is_some_and(|(_, conversation)| conversation.evict()) {
            self.rules.figures.count_evicted();
        }
    }

    async fn one_ended(&mut self) {
        if let Some(ended) = self.tasks.join_next_with_id().await {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                // The panic's message may hold anything, a secret too: the panic hook's business.
                tracing::error!(panicked = error.is_panic(), "a connection's task failed");
                error.id()
            }
        };
        self.open.remove(&id);
        self.rules.figures.count_closed();
    }
}
