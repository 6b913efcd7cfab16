//! `create-integration`: the Go tool's name for `token-exchange create-integration`.

use std::process::ExitCode;

use token_exchange::commands;
use token_exchange::config::Program;

fn main() -> ExitCode {
    commands::main(Program::CreateIntegration)
}
