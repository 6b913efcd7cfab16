//! The cache of keys: how old an answer may be, who waits for whom, and what happens in an outage.

mod ages;
mod bulkhead;
mod callers;
mod flights;
#[cfg(target_os = "linux")]
mod flood;
mod in_place;
mod model;
mod outage;
mod verdicts;
pub mod world;
