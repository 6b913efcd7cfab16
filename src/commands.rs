//! One small file per command: what was asked for is done by other rooms, and shown here.

mod create;
mod create_integration;
mod dev;
mod serve;
mod signing_key;

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::config::{
    Command, Exit, IntegrationKeyCommand, OrganizationCommand, OrganizationKeyCommand, Platform,
    Program,
};

/// What a command comes to: done, or why not, in one line for the operator.
type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// The command did what it was asked for, and what it printed needs somebody's attention.
#[derive(Debug, thiserror::Error)]
#[error("something was found")]
struct SomethingFound;

/// Runs the process from its arguments to its exit code.
#[must_use]
pub fn main(program: Program) -> ExitCode {
    let command = match program.parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(exit) => return leave(&exit),
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<SomethingFound>() => ExitCode::from(3),
        Err(error) => {
            complain(&format!("error: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome {
    let platform = Platform::of_this_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve(flags) => serve::run(&flags, &platform).await,
            Command::Dev(flags) => dev::run(flags, &platform).await,
            Command::CreateIntegration(flags) => create_integration::run(&flags, &platform).await,
            Command::IntegrationKey { command: IntegrationKeyCommand::Create(flags) } => {
                create::integration_key(&flags, &platform).await
            }
            Command::Organization { command: OrganizationCommand::Create(flags) } => {
                create::organization(&flags, &platform).await
            }
            Command::OrganizationKey { command: OrganizationKeyCommand::Create(flags) } => {
                create::organization_key(&flags, &platform).await
            }
            Command::SigningKey { command } => signing_key::run(command).await,
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
