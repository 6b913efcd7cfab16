//! Signing keys: the rules of a key file, the reload, the key set over HTTP, the commands.

mod algorithms;
mod check_url;
mod commands;
pub mod file;
mod http;
mod load;
mod reload;
mod rules;
mod unsafe_rotation;
