//! This process on the metrics page, by the names that Prometheus gives to any process.
//!
//! Read here and not by the `process` feature of `prometheus`: that counts processor time in whole
//! seconds, of which nobody can tell a rate, and brings three crates for it.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use rustix::param::page_size;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::family::{Named, describe, fractional_counter, fractional_gauge, gauge};
use crate::environment::Moment;

/// Asks the system whenever the page is written.
pub(super) struct Process {
    started: Moment,
    descriptions: Vec<Desc>,
}

const PROCESSOR_TIME: Named =
    ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
const STARTED: Named =
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");
const VIRTUAL: Named = ("process_virtual_memory_bytes", "Virtual memory size in bytes.");
const RESIDENT: Named = ("process_resident_memory_bytes", "Resident memory size in bytes.");
const FILES: Named = ("process_open_fds", "Number of open file descriptors.");
const MOST_FILES: Named = ("process_max_fds", "Maximum number of open file descriptors.");

impl Process {
    pub(super) fn since(started: Moment) -> prometheus::Result<Self> {
        let all = [PROCESSOR_TIME, STARTED, VIRTUAL, RESIDENT, FILES, MOST_FILES];
        let descriptions = all.iter().map(|named| describe(*named, &[]));
        Ok(Self { started, descriptions: descriptions.collect::<Result<_, _>>()? })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    /// What the system does not tell is left out: only Linux has `/proc`.
    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = vec![
            fractional_counter(PROCESSOR_TIME, processor_seconds()),
            fractional_gauge(STARTED, self.started.since_epoch.as_secs_f64()),
        ];
        if let Some((total, resident)) = memory() {
            families.extend([gauge(VIRTUAL, total), gauge(RESIDENT, resident)]);
        }
        families.extend(open_files().map(|files| gauge(FILES, files)));
        families.extend(getrlimit(Resource::Nofile).current.map(|most| gauge(MOST_FILES, most)));
        families
    }
}

#[allow(clippy::cast_precision_loss, reason = "no process works for 2^53 seconds")]
fn processor_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 * 1e-9
}

/// All of it, and what of it is in memory, in bytes (proc(5), `/proc/pid/statm`).
fn memory() -> Option<(u64, u64)> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let mut bytes = pages.split(' ').map(|pages| pages.parse().ok().map(in_bytes));
    Some((bytes.next()??, bytes.next()??))
}

fn in_bytes(pages: u64) -> u64 {
    pages * page_size() as u64
}

/// The folder that is read is one of them, for as long as it is read.
fn open_files() -> Option<u64> {
    let files = fs::read_dir("/proc/self/fd").ok()?.count();
    Some((files as u64).saturating_sub(1))
}
