//! Prometheus' own tool (Debian's package `prometheus`).

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::skip::require;

/// That it is there, and by which name.
pub struct Promtool(&'static str);

/// What it said, and whether it was content.
#[derive(Debug)]
pub struct Verdict {
    pub is_good: bool,
    pub words: String,
}

impl Promtool {
    /// `None` when the test has to be skipped.
    pub fn find() -> Option<Self> {
        let promtool = Self("promtool");
        let found = Command::new(promtool.0).arg("--version").output();
        let found = found.map(|_| promtool).map_err(|error| format!("promtool: {error}"));
        require("promtool", found)
    }

    /// Runs a command of it, from the root of the repository.
    pub fn run(&self, arguments: &[&str], input: &str) -> Verdict {
        let mut child = Command::new(self.0)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs");
        // What reads nothing may have ended by now.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        let output = child.wait_with_output().expect("promtool ends");
        let words = [output.stdout, output.stderr].concat();
        Verdict {
            is_good: output.status.success(),
            words: String::from_utf8_lossy(&words).into_owned(),
        }
    }
}
