//! What operators see of the service: logs, records of exchanges, metrics and traces.

pub mod audit;
mod lines;
pub mod logs;
pub mod metrics;
pub mod traces;
