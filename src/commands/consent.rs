//! Asks before something that exists is changed or ended.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::table::paragraph;
use super::{Error, complain};
use crate::config::life::ChangeFlags;

/// The longest answer that is read: `yes` and a newline, and room for a typing error.
const MAX_ANSWER_BYTES: u64 = 1024;

/// What the operator has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Consent {
    Given,
    /// They only wanted to see what would be done.
    DryRun,
}

/// Names what will be done, and has it confirmed: by `--yes`, or by a person at a terminal.
///
/// # Errors
/// When it is not confirmed.
pub(super) fn ask(flags: &ChangeFlags, will: &[String]) -> Result<Consent, Error> {
    name(flags, will);
    if flags.dry_run {
        complain("Nothing was changed: this is a dry run.\n");
        return Ok(Consent::DryRun);
    }
    if flags.yes {
        return Ok(Consent::Given);
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err("nothing was changed: there is no terminal to ask at; say --yes".into());
    }
    complain("Go on? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::Read::take(io::stdin().lock(), MAX_ANSWER_BYTES).read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
        Ok(Consent::Given)
    } else {
        Err("nothing was changed".into())
    }
}

/// For what adds and ends nothing: it is done without asking, unless it is a dry run.
pub(super) fn go_on(flags: &ChangeFlags, will: &[String]) -> Consent {
    if flags.dry_run {
        name(flags, will);
        complain("Nothing was changed: this is a dry run.\n");
        return Consent::DryRun;
    }
    Consent::Given
}

fn name(flags: &ChangeFlags, will: &[String]) {
    complain(if flags.dry_run { "This would\n" } else { "This will\n" });
    for action in will {
        complain(&paragraph("  - ", action));
    }
}
