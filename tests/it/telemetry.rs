//! What operators see of the service: that it is what the documents promise, and all of it.

mod alerts;
mod dashboard;
mod formats;
mod moves;
#[cfg(target_os = "linux")]
mod process;
mod promql;
mod promtool;
mod table;
mod whole;
