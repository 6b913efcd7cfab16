//! How fast exchanges are, beside what they cannot do without: `cargo bench --bench exchange`.
//!
//! The service, a process of its own, has core 0 to itself; whoever drives it over kept-alive
//! connections, another process, has core 1. What it is compared with takes turns with it on core 0,
//! in short windows: raw signatures of aws-lc-rs, a hello-world POST of axum, and a peer, if there is
//! one. A neighbour on the machine slows all of them down, so what is told is the median of the
//! ratios of each round, and their range.
//!
//! ```text
//! cargo bench --bench exchange                      all sections
//! cargo bench --bench exchange -- rates jwks        some: see SECTIONS
//! cargo bench --bench exchange -- --json FILE       the table for machines, too
//!
//! ROUNDS=15             pairs of windows
//! WINDOW_MILLIS=500     how long each is measured
//! PEER_URL              http://127.0.0.1:port of another service, which has core 0, too
//! PEER_API_KEY          a key that it knows
//! PEER_PID              its process; then it is compared by the time that both had on the core
//! ALGORITHMS            of the rates: RS256,EdDSA
//! TOKEN_EXCHANGE        the service in the place of the one that was built with this
//! KEYS=1000000          in the store at most; EMULATOR_KEYS=10000 in the emulator
//! ```
//! It needs `taskset`, and two cores with nothing else to do; `busy` says how much of core 0 the
//! service had. What is much below 1 has another limit than the service: the generator, or a
//! neighbour.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code, unused_imports)]

#[path = "exchange/machine.rs"]
mod machine;
#[path = "support/pinned.rs"]
mod pinned;
#[path = "exchange/reference.rs"]
mod reference;
#[path = "exchange/scene.rs"]
mod scene;
#[path = "exchange/sections.rs"]
mod sections;
#[path = "support/stand_in.rs"]
mod stand_in;
#[path = "../tests/it/support/mod.rs"]
mod support;
#[path = "exchange/table.rs"]
mod table;

use self::sections::SECTIONS;
use self::table::Table;

fn main() {
    if pinned::is_generator() || reference::is_one() {
        return;
    }
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let (mut wanted, mut json) = (Vec::new(), None);
    while let Some(word) = words.next() {
        if word == "--json" {
            json = Some(words.next().expect("--json FILE"));
        } else {
            assert!(SECTIONS.iter().any(|(name, _)| *name == word), "no such section: {word}");
            wanted.push(word);
        }
    }
    println!("{}\n", machine::describe());
    let mut table = Table::begin();
    for (name, section) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            table.section = name;
            section(&mut table);
        }
    }
    if let Some(path) = json {
        std::fs::write(path, table.as_json()).unwrap();
    }
}
