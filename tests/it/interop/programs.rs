//! Builds the programs under `tests/interop`, each where Cargo keeps what tests make.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::support::skip::require;

/// A program that can be run.
pub struct Program {
    command: Vec<String>,
}

pub fn go_verifier() -> Option<Program> {
    require("Go", build_go("verify")).map(|program| Program { command: vec![program] })
}

/// The tool that reads and writes Datastore as the Go tools do.
pub fn go_datastore() -> Option<Program> {
    require("Go", build_go("datastore")).map(|program| Program { command: vec![program] })
}

pub fn python_verifier() -> Option<Program> {
    python("python", "verify.py")
}

/// Prometheus' own parser of the metrics page.
pub fn metrics_reader() -> Option<Program> {
    python("metrics", "read.py")
}

fn python(folder: &str, program: &str) -> Option<Program> {
    let build = || {
        let (sources, venv) = (sources(folder), built(folder));
        let requirements = format!("{sources}/requirements.txt");
        run("python3", ["-m", "venv", &venv])?;
        let pip = ["install", "--quiet", "--require-hashes", "-r", &requirements];
        run(&format!("{venv}/bin/pip"), pip)?;
        Ok(vec![format!("{venv}/bin/python"), format!("{sources}/{program}")])
    };
    require("Python with venv", build()).map(|command| Program { command })
}

pub fn node_verifier() -> Option<Program> {
    node("verify.mjs", "node")
}

/// Verifies token after token, with one client for the key set all the time.
pub fn go_watcher() -> Option<Program> {
    require("Go", build_go("watch")).map(|program| Program { command: vec![program] })
}

/// The same, with jose.
pub fn node_watcher() -> Option<Program> {
    // A folder of its own: the verifier's may be in the making.
    node("watch.mjs", "node-watch")
}

fn node(program: &str, folder: &str) -> Option<Program> {
    let build = || {
        // Imports resolve from the file's own folder, so the file moves to its packages.
        let (sources, folder) = (sources("node"), built(folder));
        std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
        for file in ["package.json", "package-lock.json", "verify.mjs", "watch.mjs"] {
            std::fs::copy(format!("{sources}/{file}"), format!("{folder}/{file}"))
                .map_err(|error| error.to_string())?;
        }
        run("npm", ["ci", "--prefix", &folder, "--ignore-scripts", "--silent"])?;
        Ok(vec!["node".to_owned(), format!("{folder}/{program}")])
    };
    require("Node.js with npm", build()).map(|command| Program { command })
}

pub fn java_verifier() -> Option<Program> {
    let build = || {
        let (sources, folder) = (sources("java"), built("java"));
        let pom = format!("{sources}/pom.xml");
        let output = format!("-DbuildDirectory={folder}");
        run("mvn", ["-q", "-B", "-f", &pom, &output, "compile"])?;
        let classes = format!("{folder}/classes:{folder}/lib/*");
        Ok(["java", "-cp", &classes, "Verify"].map(str::to_owned).to_vec())
    };
    require("Java 17 with Maven", build()).map(|command| Program { command })
}

impl Program {
    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it does not succeed, with what it said.
    pub fn run(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        input: &str,
    ) -> Result<Value, String> {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        // A program that reads nothing may have ended by now.
        let _ = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        let output = child.wait_with_output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
    }
}

/// A program that runs and is told things, line by line.
pub struct Conversation {
    child: Child,
    stdin: ChildStdin,
}

impl Program {
    pub fn start(&self, arguments: &[&str]) -> Conversation {
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built");
        let stdin = child.stdin.take().expect("stdin is piped");
        Conversation { child, stdin }
    }
}

impl Conversation {
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("the program listens");
    }

    /// Ends its input; what it answers to all of it.
    pub fn finish(self) -> Value {
        drop(self.stdin);
        let output = self.child.wait_with_output().expect("the program ends");
        serde_json::from_slice(&output.stdout).expect("the program answers with JSON")
    }
}

fn build_go(program: &str) -> Result<String, String> {
    // Each its own output: tests that build at the same time must not replace a running program.
    let output = format!("{}/{program}", built("go"));
    let package = format!("./cmd/{program}");
    // The version control may not be readable, and nobody asks these programs for their commit.
    run("go", ["build", "-C", &sources("go"), "-buildvcs=false", "-o", &output, &package])?;
    Ok(output)
}

fn sources(language: &str) -> String {
    format!("{}/tests/interop/{language}", env!("CARGO_MANIFEST_DIR"))
}

fn built(language: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop").join(language);
    folder.to_string_lossy().into_owned()
}

fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{program} failed: {}", String::from_utf8_lossy(&said)))
}
