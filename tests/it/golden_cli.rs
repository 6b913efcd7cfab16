//! Every recorded command line of `tests/golden/cli.json`: what is demanded of it, run for real.
//!
//! Held are exit statuses, stdout, what is written to the store, what is said of signing keys, and
//! `expect`. The texts on stderr are no demand; that a refusal gives a reason is.

mod create_integration;
mod created;
mod key_files;
mod serve;
mod signals;

use std::time::Duration;

use crate::support::equal::equal;
use crate::support::golden::{self, CliCase};
use crate::support::service::Finished;

/// Every command ends sooner, even one that waits for a store that is not there.
const RUN_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn the_recorded_command_lines_are_all_accounted_for() {
    let replayed: usize = [Subject::CreateIntegration, Subject::Serve, Subject::Signal]
        .map(|s| cases(s).len())
        .iter()
        .sum();
    assert_eq!(replayed, 109);
    for case in golden::cli_cases() {
        assert_eq!(case.deliberate.is_some(), case.expect.is_some(), "{}", case.name);
    }
}

/// What a case is about; each kind has a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    CreateIntegration,
    Serve,
    Signal,
}

fn cases(subject: Subject) -> Vec<CliCase> {
    golden::cli_cases().into_iter().filter(|case| subject_of(case) == subject).collect()
}

fn subject_of(case: &CliCase) -> Subject {
    match (case.argv.first().map(String::as_str), &case.signal) {
        (Some("create-integration"), None) => Subject::CreateIntegration,
        (Some("token-exchange"), None) => Subject::Serve,
        (None, Some(_)) => Subject::Signal,
        other => panic!("{}: what is {other:?}?", case.name),
    }
}

/// The recording had the emulator's address in the environment of every other case.
fn is_without_a_store(case: &CliCase) -> bool {
    case.name.ends_with("no credentials")
}

/// Ended with this status, with an explanation on stderr and nothing on stdout: a refusal, or help.
fn check_explained(finished: &Finished, exit: i32) -> Result<(), String> {
    let Finished { status, stdout, stderr } = finished;
    equal("exit status", &status.code(), &Some(exit)).map_err(|why| format!("{why}: {stderr}"))?;
    equal("stdout", stdout.as_str(), "")?;
    if stderr.trim().is_empty() {
        return Err("there is no explanation on stderr".to_owned());
    }
    Ok(())
}

/// Fails with all failures together.
fn report(failures: &[String], of: usize) {
    let (count, list) = (failures.len(), failures.join("\n"));
    assert!(
        failures.is_empty(),
        "{count} of {of} command lines differ from the recording:\n{list}"
    );
}
