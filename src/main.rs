//! `token-exchange`: the service and its commands.

use std::process::ExitCode;

use token_exchange::commands;
use token_exchange::config::Program;

fn main() -> ExitCode {
    commands::main(Program::named(std::env::args_os().next().as_deref()))
}
