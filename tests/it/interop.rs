//! Other people's libraries verify our tokens, each with its own client for the key set; and the
//! Go tools' own client reads what we store and writes what we then accept.

mod algorithms;
mod go_tools;
mod live_rotation;
pub mod programs;
mod verifiers;
