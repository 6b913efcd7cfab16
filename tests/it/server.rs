//! The HTTP server, through real sockets: what a client sees, and when the server ends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests, too")]

mod bounding;
mod draining;
mod lingering;
mod listening;
mod pipelining;
mod support;
mod surviving;
mod timing;
