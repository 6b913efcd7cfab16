//! More than the service can do: too many requests, connections, slow clients and files; and the
//! end, in the middle of it.

mod ending;
mod flags;
mod overload;
pub mod ready;
pub mod scene;
mod slow;
