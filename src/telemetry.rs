//! What operators see of the service: logs and metrics.

pub mod logs;
pub mod metrics;
