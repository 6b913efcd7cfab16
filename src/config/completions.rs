//! What shells need to complete the commands and their flags.

use clap::CommandFactory as _;
use clap_complete::shells;

use super::flags::Cli;
use super::life::Shell;

/// A script for the shell, to be read at its start.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut cli = Cli::command();
    let name = cli.get_name().to_owned();
    match shell {
        Shell::Bash => clap_complete::generate(shells::Bash, &mut cli, name, &mut script),
        Shell::Zsh => clap_complete::generate(shells::Zsh, &mut cli, name, &mut script),
        Shell::Fish => clap_complete::generate(shells::Fish, &mut cli, name, &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}
