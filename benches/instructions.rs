//! How many instructions an exchange takes from the body of its request to the claims of its token:
//! `CARGO_PROFILE_BENCH_LTO=off CARGO_PROFILE_BENCH_CODEGEN_UNITS=16 cargo bench --bench
//! instructions`, as `.ci/run` has it.
//!
//! Counted by callgrind, so that a neighbour on the machine changes nothing. All but the signature
//! and the network: the router and what is around it, the reading of the body, the key found in memory,
//! verified and turned into claims, and the answer. The signing queue has no place, so the answer is
//! a 503 instead of a token. What a start costs cancels out, since it is in both of two runs.
//!
//! It fails when the figure leaves its budget, upwards or downwards: a change says what it costs by
//! changing [`BUDGET`] to the figure that is printed. It belongs to the compiler of
//! `rust-version` and to that profile; another one needs another figure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, dead_code)]

#[path = "support/core.rs"]
mod core;

use std::process::{Command, ExitCode};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use token_exchange::http::server::{Drain, Schedule};
use token_exchange::http::{self, Canonical};
use token_exchange::telemetry::audit::Audit;
use token_exchange::telemetry::metrics::Metrics;
use token_exchange::telemetry::traces::Traces;
use tower::Service as _;

/// Instructions of an exchange without its signature.
const BUDGET: u64 = 42_756;
/// How far from it a figure may be, in hundredths: another order of the same code moves it by one.
const MARGIN: u64 = 3;
/// Exchanges of the shorter run; the longer one has twice as many.
const EXCHANGES: u64 = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, exchanges] = &arguments[..]
        && word == "exchange"
    {
        exchange(exchanges.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let [shorter, longer] = [EXCHANGES, 2 * EXCHANGES].map(instructions);
    let figure = (longer - shorter) / EXCHANGES;
    println!("{figure} instructions an exchange without its signature; the budget is {BUDGET}");
    if figure.abs_diff(BUDGET) * 100 <= BUDGET * MARGIN {
        return ExitCode::SUCCESS;
    }
    println!(
        "that is more than {MARGIN} % beside the budget. If the change is worth it, or has made it \
         faster, set BUDGET in benches/instructions.rs to {figure}; what takes them is told by \
         `callgrind_annotate target/instructions.callgrind`."
    );
    ExitCode::FAILURE
}

/// What callgrind counts of so many exchanges.
fn instructions(exchanges: u64) -> u64 {
    let run = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(concat!(
            "--callgrind-out-file=",
            env!("CARGO_MANIFEST_DIR"),
            "/target/instructions.callgrind"
        ))
        .arg(std::env::current_exe().unwrap())
        .args(["exchange", &exchanges.to_string()])
        .output()
        .expect("valgrind runs (Debian: valgrind)");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    collected.expect("callgrind reports").1.trim().parse().unwrap()
}

fn exchange(exchanges: u64) {
    // One thread: what a runtime of several does depends on who is faster.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let core = core::Core::with_queue(0, "signing-key.jwk");
        let drain = Drain::new(Schedule::PRODUCTION);
        let signer = Arc::clone(&core.signer);
        let metrics = Metrics::new().unwrap();
        let (audit, traces) = (Audit::default(), Traces::off());
        let mut router =
            http::service(&core.exchange, signer, &metrics, &drain, &audit, &traces).unwrap();
        for _ in 0..exchanges {
            one(&mut router).await;
        }
    });
}

async fn one(router: &mut Canonical<Router>) {
    let body = format!(r#"{{"api_key":"{}"}}"#, core::API_KEY);
    let request = Request::post("/v0/token/integration").body(Body::from(body)).expect("a request");
    let response = router.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
}
