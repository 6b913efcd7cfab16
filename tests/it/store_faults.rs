//! The service between a caller and a Datastore that fails: through the real binary, over real
//! HTTP, with every fault that the proxy has.

mod budget;
mod each_fault;
mod outage;
pub mod scene;
mod secrecy;
mod skew;
mod storm;
