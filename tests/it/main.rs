//! All integration tests, in one binary: a file per subject.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod architecture;
mod audit;
mod cache;
mod clock;
mod commands;
mod compare;
mod crash;
mod deployment;
mod dev;
mod documentation;
mod explain;
mod explain_token;
mod faults;
mod golden_cli;
mod golden_http;
mod golden_metrics;
mod google;
mod interop;
mod key_life;
mod life;
mod limits;
mod logs;
mod refusals;
mod request_bodies;
#[cfg(target_os = "linux")]
mod resources;
mod rotation;
mod secrets;
mod server;
mod signing_keys;
mod store_faults;
mod stores;
mod support;
mod telemetry;
mod timing;
mod tokens;
mod traces;
mod wycheproof;
