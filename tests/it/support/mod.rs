//! What the tests stand on: real emulators, the real binaries, a client that sends exact bytes.
//!
//! No rule of the service is stated here, and nothing here is a test.

pub mod ask;
pub mod clock;
pub mod emulator;
pub mod equal;
pub mod eventually;
pub mod fault_proxy;
pub mod gate;
pub mod golden;
pub mod google;
pub mod http_client;
pub mod in_process;
pub mod load;
pub mod log;
pub mod metrics_page;
pub mod operator;
pub mod service;
pub mod skip;
pub mod stand_in;
pub mod terminal;
pub mod token;
