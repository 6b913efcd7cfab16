//! Carries out a plan, on one thread, and where that may sleep with one for each schedule beside it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::connection::Connection;
use super::plan::{Arrivals, NUMBER, Numbers, Plan, Probe, Schedule};
use super::process::time_on_cores;
use super::stats::{Latencies, Report};

/// What has no answer by then has none.
const PATIENCE: Duration = Duration::from_secs(10);
const PROBE_CONNECTIONS: usize = 4;

/// Sends what is planned and waits for the answers.
pub fn generate(plan: &Plan) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, carry_out(plan))
}

async fn carry_out(plan: &Plan) -> Report {
    let start = Instant::now();
    let time =
        Times { start, from: start + plan.warm_up, until: start + plan.warm_up + plan.measure };
    if plan.awake {
        spawn_local(stay_awake());
    }
    let load = Stream::start(plan, plan.requests.clone(), plan.arrivals, plan.connections, time);
    let mut probes = Vec::new();
    for Probe { path, a_second } in &plan.probes {
        let request = format!("GET {path} HTTP/1.1\r\nHost: load\r\n\r\n");
        let arrivals = Arrivals::Even { rate: *a_second };
        let stream = Stream::start(plan, vec![request], arrivals, PROBE_CONNECTIONS, time);
        probes.push((path.clone(), stream));
    }
    let busy = spawn_local(busy(plan.process, time));
    let by_status = load.end(plan.measure).await;
    let busy = busy.await.unwrap();
    let mut report = Report { by_status, probes: BTreeMap::new(), busy };
    for (path, stream) in probes {
        report.probes.insert(path, stream.end(plan.measure).await);
    }
    report
}

/// Gives the runtime something to do for as long as it runs.
async fn stay_awake() {
    loop {
        yield_now().await;
    }
}

/// How many cores a process keeps busy, while it counts.
async fn busy(process: Option<u32>, time: Times) -> f64 {
    let Some(process) = process else { return 0.0 };
    sleep_until(time.from).await;
    let (begun, before) = (Instant::now(), time_on_cores(process));
    sleep_until(time.until).await;
    time_on_cores(process).saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}

#[derive(Clone, Copy)]
struct Times {
    start: Instant,
    from: Instant,
    until: Instant,
}

/// Requests of one kind, on connections of their own.
struct Stream {
    shared: Rc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    time: Times,
}

struct Shared {
    requests: Vec<String>,
    numbers: Numbers,
    next: RefCell<usize>,
    /// In an open loop.
    arrived: Option<Arc<Arrived>>,
    latencies: RefCell<Latencies>,
}

/// Requests that are due.
struct Arrived {
    /// When each of those was to be sent that no connection has taken yet.
    due: Mutex<VecDeque<Instant>>,
    is_due: Semaphore,
}

impl Stream {
    fn start(
        plan: &Plan,
        requests: Vec<String>,
        arrivals: Arrivals,
        connections: usize,
        time: Times,
    ) -> Self {
        let shared = Rc::new(Shared {
            requests,
            numbers: plan.numbers,
            next: RefCell::default(),
            arrived: Schedule::of(arrivals).map(|schedule| Arrived::by(schedule, time, plan.awake)),
            latencies: RefCell::default(),
        });
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let connection = Connection::to(&plan.address);
            tasks.push(spawn_local(Rc::clone(&shared).send_all(connection, time)));
        }
        Self { shared, tasks, time }
    }

    async fn end(self, measured: Duration) -> BTreeMap<u16, super::Stats> {
        for task in self.tasks {
            let abort = task.abort_handle();
            if timeout_at(self.time.until + PATIENCE, task).await.is_err() {
                abort.abort();
            }
        }
        // What nobody has taken until now had no answer.
        if let Some(arrived) = &self.shared.arrived {
            for due in arrived.due.lock().unwrap().drain(..) {
                self.shared.record(self.time, due, 0);
            }
        }
        self.shared.latencies.take().into_stats(measured)
    }
}

impl Shared {
    /// What one connection sends.
    async fn send_all(self: Rc<Self>, mut connection: Connection, time: Times) {
        while let Some(due) = self.take(time).await {
            let request = {
                let mut next = self.next.borrow_mut();
                *next += 1;
                let number = self.numbers.at(*next as u64);
                self.requests[*next % self.requests.len()].replace(NUMBER, &format!("{number:08}"))
            };
            let outcome = timeout(PATIENCE, connection.ask(&request)).await;
            if outcome.is_err() {
                connection = Connection::to(connection.address());
            }
            self.record(time, due, outcome.map_or(0, |status| status.unwrap_or(0)));
        }
    }

    /// When the next request was to be sent; `None` when there is none.
    async fn take(&self, time: Times) -> Option<Instant> {
        match &self.arrived {
            None => Some(Instant::now()).filter(|now| *now < time.until),
            Some(arrived) => arrived.next().await,
        }
    }

    fn record(&self, time: Times, due: Instant, status: u16) {
        if (time.from..time.until).contains(&due) {
            self.latencies.borrow_mut().record(status, due.elapsed());
        }
    }
}

impl Arrived {
    /// Requests fall due by the schedule.
    fn by(schedule: Schedule, time: Times, awake: bool) -> Arc<Self> {
        let arrived = Arc::new(Self { due: Mutex::default(), is_due: Semaphore::new(0) });
        let timetable = Timetable { schedule, time, arrived: Arc::clone(&arrived) };
        if awake {
            spawn_local(timetable.watch());
        } else {
            thread::spawn(|| timetable.sleep());
        }
        arrived
    }

    fn add(&self, due: Instant) {
        self.due.lock().unwrap().push_back(due);
        self.is_due.add_permits(1);
    }

    /// When the next request was to be sent; `None` when there will be no more.
    async fn next(&self) -> Option<Instant> {
        if let Ok(permit) = self.is_due.acquire().await {
            permit.forget();
        }
        self.due.lock().unwrap().pop_front()
    }
}

/// Lets requests fall due.
struct Timetable {
    schedule: Schedule,
    time: Times,
    arrived: Arc<Arrived>,
}

impl Timetable {
    fn next(&mut self) -> Option<Instant> {
        let due = self.time.start + self.schedule.next();
        (due < self.time.until).then_some(due)
    }

    /// By looking at the clock all the time.
    async fn watch(mut self) {
        while let Some(due) = self.next() {
            while Instant::now() < due {
                yield_now().await;
            }
            self.arrived.add(due);
        }
    }

    /// On a thread of its own, because the runtime's timers know whole milliseconds only: several
    /// signatures.
    fn sleep(mut self) {
        // To the nanosecond, where the kernel may be late by 50 µs otherwise.
        #[cfg(target_os = "linux")]
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        while let Some(due) = self.next() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            self.arrived.add(due);
        }
    }
}

impl Drop for Timetable {
    fn drop(&mut self) {
        // Those that wait now find nothing more.
        self.arrived.is_due.close();
    }
}
