//! Trades API keys for short-lived signed JWTs.
//!
//! An API key comes in, is parsed, found, verified, turned into claims, signed, and goes out as a
//! token; everything else here serves that sentence.
//!
//! # The rooms
//! ```text
//! core, which imports no HTTP, no storage engine, no telemetry backend and no flags:
//!
//! api_key.rs      grammar of API keys: parse, generate, hash, compare
//! claims.rs       what a token says
//! exchange.rs     the use case: find, verify, claim, sign; a file per token family below it
//! key_life.rs     how an API key comes to be, is replaced and ends: rules, and no deeds
//! key_store.rs    what a store must be able to say and to do; the engines, and the cache around
//!                 one, are below it
//! signer.rs       signing keys, signatures, and the JWK Set to publish
//! doctor.rs       what is wrong in a store, with remedies
//! manifest.rs     what a store should hold, as a file; the steps from here to there
//! explain.rs      what became of a request, by its log
//! verifier.rs     what a verifier makes of a token
//! comparison.rs   whether two services answer alike
//! environment.rs  time and randomness, passed in
//! histogram.rs    how often something took how long
//! go_json.rs      JSON byte for byte as Go writes it
//!
//! around it:
//!
//! http.rs         the router; handlers, and the server that carries them, below it
//! telemetry.rs    logs, records of exchanges, metrics, traces
//! config.rs       flags and environment, checked before a port opens
//! commands.rs     one small file per command
//! version.rs      which build this is
//! ```
//!
//! # The way of a request
//! ```text
//! bytes -> http::token       room, size, time, JSON      503 400 408 413
//!       -> ApiKey::parse     grammar                     401
//!       -> KeyStore          remembered, or read         503 when it cannot know
//!       -> verify            the only maker of VerifiedKey   401
//!       -> Claims::of        what the token says         500
//!       -> Signer::sign      here, or on its threads     500, 503 when it is too late
//!       -> {"token":"..."}
//! ```
//! Straight down and straight back; only a store is asked twice, where nothing can rest on its first
//! answer.
//!
//! # Invariants
//! 1. The core imports nothing of what is around it.
//! 2. Claims can only be made from a [`exchange::VerifiedKey`], and only an exchange makes one.
//! 3. *There is no such key* and *I could not find out* are different types from the store to the
//!    wire. Only the first is a 401.
//! 4. A secret or a token never reaches a log, a metric, an error text or `Debug`.
//! 5. An error has two readers: the caller gets the contract's words, the operator the cause.
//! 6. No global mutable state, and no reading of the environment outside [`config`].
//! 7. Everything has a bound: body, head, connections, queues, time, the end of the process.
//! 8. Records of the Go tools never get a new property.
//! 9. What the Go service answers, we answer, except where its recording is marked as a defect.

pub mod api_key;
pub mod claims;
pub mod commands;
pub mod comparison;
pub mod config;
pub mod doctor;
pub mod environment;
pub mod exchange;
pub mod explain;
mod go_json;
pub mod histogram;
pub mod http;
pub mod key_life;
pub mod key_store;
pub mod manifest;
pub mod signer;
pub mod telemetry;
pub mod verifier;
pub mod version;
