//! Trades API keys for short-lived signed JWTs.
pub mod api_key;
pub mod claims;
pub mod commands;
pub mod config;
pub mod environment;
pub mod exchange;
mod go_json;
pub mod http;
pub mod key_store;
pub mod signer;
pub mod telemetry;
