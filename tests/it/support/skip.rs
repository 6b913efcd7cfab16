//! What happens to a test whose tools are not installed: it fails in CI and skips, visibly, elsewhere.

use std::io::Write as _;

/// The tool, or `None` when the test that needs it has to be skipped.
///
/// Wherever `CI` is `true` a missing tool fails the test: there, a skipped proof is no proof.
pub fn require<T>(what: &str, found: Result<T, String>) -> Option<T> {
    match found {
        Ok(tool) => Some(tool),
        Err(why) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{what} is needed: {why}")
        }
        Err(why) => {
            let test = std::thread::current().name().unwrap_or("a test").to_owned();
            announce(&format!("skipped: {test} needs {what}, missing because {why}"));
            None
        }
    }
}

/// Writes a line that is seen even if the test passes: the harness holds back only what the print
/// macros say.
pub fn announce(line: &str) {
    // One write, so that the lines of parallel tests do not mix. A closed stderr is no failure.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
