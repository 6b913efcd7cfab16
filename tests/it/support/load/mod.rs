//! A load generator: open loop, where requests come when they come, and closed loop, where each
//! waits for the one before.
//!
//! It knows a little HTTP and nothing of tokens. A latency counts from the moment at which a request
//! was to be sent, not from that at which a connection was free for it: a generator that waits for a
//! slow server would leave out just the requests that had to wait.

mod connection;
mod generator;
pub mod plan;
mod process;
mod stats;

pub use self::generator::generate;
pub use self::plan::{Arrivals, Numbers, Plan, Probe};

pub use self::stats::{Report, Stats};
