//! How long a process has run on the cores.

use std::fs;
use std::time::Duration;

/// Of all its threads that live, since their start; none, if there is no such process.
pub fn time_on_cores(process: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    // The first number is the time on a core, in nanoseconds (proc_pid_schedstat).
    let nanos = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
