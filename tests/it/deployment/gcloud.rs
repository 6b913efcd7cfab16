//! A `gcloud` on the `PATH` that writes down what it was asked, and answers what a test gives it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Output};

use tempfile::TempDir;

/// `fake-gcloud.sh` under the name `gcloud`, and the folder of its answers.
pub struct Gcloud {
    folder: TempDir,
}

impl Gcloud {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/deployment/fake-gcloud.sh");
        fs::create_dir(folder.path().join("bin")).unwrap();
        symlink(fake, folder.path().join("bin/gcloud")).unwrap();
        Self { folder }
    }

    /// From now on the question is answered so. Questions without an answer fail.
    pub fn answers(self, question: &str, answer: &str) -> Self {
        fs::write(self.folder.path().join(question), answer).unwrap();
        self
    }

    /// What was asked, a line each.
    pub fn calls(&self) -> Vec<String> {
        self.left("calls").unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Whether something was asked that begins so.
    pub fn was_asked(&self, begin: &str) -> bool {
        self.calls().iter().any(|call| call.starts_with(begin))
    }

    /// A file that it was given.
    pub fn left(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(file)).ok()
    }

    /// Runs a script of the repository, which finds it before any other `gcloud`.
    pub fn run(&self, script: &str, environment: &[(&str, &str)]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(format!("scripts/{script}"))
            .env_clear()
            .env("PATH", format!("{}/bin:{path}", self.folder.path().display()))
            .env("FAKE_GCLOUD", self.folder.path())
            .env("TMPDIR", self.folder.path())
            .env("TOKEN_EXCHANGE", env!("CARGO_BIN_EXE_token-exchange"))
            .envs(environment.iter().copied())
            .output()
            .expect("the script runs")
    }

    /// The folders that a script has made for itself and not removed.
    pub fn left_behind(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("tmp.")).collect()
    }
}
