//! What operators see of the service: logs and metrics.

mod lines;
pub mod logs;
pub mod metrics;
