//! The road that production takes: TLS, access tokens, a metadata server; all of it ours, and the
//! store behind it an emulator. Whatever fails on that road, the service recovers from without a
//! restart, and the operator reads what it was.

mod connections;
pub mod road;
mod tokens;
