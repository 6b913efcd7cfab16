//! One small file per command: what was asked for is done by other rooms, and shown here.

mod apply;
mod compare;
mod completions;
mod consent;
mod create;
mod create_integration;
mod desk;
mod dev;
mod doctor;
mod explain;
mod explain_token;
mod export;
mod integration;
mod integration_key;
mod organization;
mod organization_key;
mod receipt;
mod serve;
mod signing_key;
mod table;
mod view;
mod web;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::{Command, Exit, Platform, Program};
use crate::environment::{Clock as _, System};
use crate::signer::Lull;

/// Why a command was not done, in one line for the operator.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a command comes to: done, or why not.
type Outcome = Result<(), Error>;

/// What a command that looks before it acts comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// All that there was to do; nothing is left.
    All,
    /// It was done, and something was found that somebody has to look at, or would have been done.
    Found,
}

/// Done, but something was found (`doctor`), or would have been done (`--dry-run`).
const FOUND: u8 = 3;

/// Runs the process from its arguments to its exit code.
#[must_use]
pub fn main(program: Program) -> ExitCode {
    let command = match program.parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(exit) => return leave(&exit),
    };
    match run(command) {
        Ok(Done::All) => ExitCode::SUCCESS,
        Ok(Done::Found) => ExitCode::from(FOUND),
        Err(error) => {
            complain(&format!("error: {}\n", table::printable(&error.to_string())));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<Done, Error> {
    let platform = Platform::of_this_process();
    let lull = Lull::default();
    let rested = lull.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(move || rested.rest())
        .build()?;
    let outcome = runtime.block_on(async {
        let done = |()| Done::All;
        match command {
            Command::Serve(flags) => serve::run(&flags, &platform, &lull).await.map(done),
            Command::Dev(flags) => dev::run(flags, &platform).await.map(done),
            Command::CreateIntegration(flags) => {
                create_integration::run(&flags, &platform).await.map(done)
            }
            Command::Integration { command } => integration::run(&command, &platform).await,
            Command::IntegrationKey { command } => integration_key::run(&command, &platform).await,
            Command::Organization { command } => organization::run(&command, &platform).await,
            Command::OrganizationKey { command } => {
                organization_key::run(&command, &platform).await
            }
            Command::SigningKey { command } => signing_key::run(command).await,
            Command::Doctor(flags) => doctor::run(&flags, &platform).await,
            Command::Export(flags) => export::run(&flags, &platform).await,
            Command::Apply(flags) => apply::run(&flags, &platform).await,
            Command::Explain(flags) => explain::run(&flags).map(done),
            Command::ExplainToken(flags) => explain_token::run(&flags, System.now()).await,
            Command::Compare(flags) => compare::run(&flags).await,
            Command::Completions(flags) => completions::run(&flags).map(done),
        }
    });
    // Not waited for: a thread that reads from a store that hangs would hold up the exit.
    runtime.shutdown_background();
    outcome
}

fn leave(exit: &Exit) -> ExitCode {
    match exit {
        Exit::Version(text) => match print(text) {
            Ok(()) => {}
            Err(error) => complain(&format!("error: {error}\n")),
        },
        Exit::Help(text) | Exit::Usage(text) => complain(text),
        Exit::Config(text) => complain(&format!("error: {text}\n")),
    }
    ExitCode::from(exit.code())
}

/// Writes to standard output, down to the last byte: what is printed can be a key that is shown
/// once.
fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes to standard error; if that is gone too, the exit code still tells.
fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
