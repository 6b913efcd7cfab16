//! The real binaries, as processes of their own, with an environment that holds only what a test
//! gives them.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde_json::Value;

/// Far more than it takes; machines that build something else meanwhile are slow.
pub const START_WITHIN: Duration = Duration::from_secs(30);

/// A command line and its whole environment.
#[derive(Debug)]
pub struct Launch {
    command: Command,
}

impl Launch {
    /// `token-exchange`, without any flag.
    pub fn token_exchange() -> Self {
        Self::new(env!("CARGO_BIN_EXE_token-exchange"))
    }

    /// The same, in the place of a shell that has run a command before.
    pub fn token_exchange_after(command: &str) -> Self {
        let script = format!("{command}; exec \"$0\" \"$@\"");
        Self::new("/bin/sh").arg("-c").arg(&script).arg(env!("CARGO_BIN_EXE_token-exchange"))
    }

    /// `create-integration`, without any flag.
    pub fn create_integration() -> Self {
        Self::new(env!("CARGO_BIN_EXE_create-integration"))
    }

    /// A program by its path, without any flag.
    pub fn new(program: &str) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command }
    }

    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.command.arg(arg);
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Reads API keys from a Datastore emulator.
    #[must_use]
    pub fn keys_in(self, emulator_host: &str, project: &str) -> Self {
        self.env("DATASTORE_EMULATOR_HOST", emulator_host).arg(&format!("-project-id={project}"))
    }

    /// Signs with the key of the recorded answers.
    #[must_use]
    pub fn recorded_signing_key(self) -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/signing-key.jwk");
        self.arg(&format!("-private-key-path={path}"))
    }

    #[must_use]
    pub fn current_dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// For who wants other pipes; standard output is one.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// Starts the process and goes on.
    pub fn spawn(mut self) -> Process {
        let mut child = self.command.spawn().expect("the binary runs");
        let stdout = Output::of(child.stdout.take().expect("stdout is piped"));
        let stderr = Output::of(child.stderr.take().expect("stderr is piped"));
        Process { child, stdout, stderr }
    }

    /// Runs the process to its end.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub fn run(self, within: Duration) -> Finished {
        self.try_run(within).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Runs the process to its end, and has it read this on its standard input.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub fn run_on(mut self, input: &[u8], within: Duration) -> Finished {
        self.command.stdin(Stdio::piped());
        let mut process = self.spawn();
        let mut stdin = process.child.stdin.take().expect("stdin is piped");
        let input = input.to_vec();
        // Who has heard enough reads no more of it.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        let status = process.wait_exit(within);
        Finished { status, stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Runs the process to its end. The error is that it has not ended in time, and what it said.
    pub fn try_run(self, within: Duration) -> Result<Finished, String> {
        let mut process = self.spawn();
        let status = process.try_wait_exit(within)?;
        Ok(Finished { status, stdout: process.stdout(), stderr: process.stderr() })
    }

    /// Starts the service on free ports, logging JSON, and waits until it listens.
    ///
    /// # Panics
    /// When it ends before, or does not listen in time.
    pub fn serve(self) -> Service {
        self.serve_logging("json")
    }

    /// The same, logging text.
    ///
    /// # Panics
    /// When it ends before, or does not listen in time.
    pub fn serve_logging_text(self) -> Service {
        self.serve_logging("text")
    }

    fn serve_logging(self, format: &str) -> Service {
        self.arg("-port=0")
            .arg("-prometheusx.listen-address=127.0.0.1:0")
            .arg(&format!("-log-format={format}"))
            .spawn()
            .listening()
            .unwrap_or_else(|stderr| panic!("the service does not listen:\n{stderr}"))
    }
}

/// What a process left behind.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// A running process; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Waits until it logs that it listens. The error is what it has said instead.
    pub fn listening(self) -> Result<Service, String> {
        match self.stderr.wait_for(START_WITHIN, listening_addresses) {
            Some((address, metrics_address)) => {
                Ok(Service { process: self, address, metrics_address })
            }
            None => Err(self.stderr()),
        }
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        self.try_wait_exit(within).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Waits for the end of the process. The error is that it did not come, and what was said.
    pub fn try_wait_exit(&mut self, within: Duration) -> Result<ExitStatus, String> {
        let deadline = Instant::now() + within;
        // Both pipes end when the process does.
        for output in [&self.stdout, &self.stderr] {
            let left = deadline.saturating_duration_since(Instant::now());
            if !output.wait_for_end(left) {
                return Err(format!("still running after {within:?}: {}", self.stderr()));
            }
        }
        self.child.wait().map_err(|error| error.to_string())
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process is there");
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A service that listens; it is killed when dropped.
#[derive(Debug)]
pub struct Service {
    pub process: Process,
    address: String,
    metrics_address: String,
}

impl Service {
    /// `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `127.0.0.1:port`.
    pub fn metrics_address(&self) -> &str {
        &self.metrics_address
    }
}

fn listening_addresses(stderr: &str) -> Option<(String, String)> {
    stderr.lines().find_map(|line| {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            return listening_addresses_in_text(line);
        };
        let address = |name: &str| on_loopback(event[name].as_str()?);
        if event["message"] != "listening" {
            return None;
        }
        Some((address("address")?, address("metrics_address")?))
    })
}

fn listening_addresses_in_text(line: &str) -> Option<(String, String)> {
    let (_, fields) = line.split_once("listening address=")?;
    let (address, rest) = fields.split_once(" metrics_address=")?;
    Some((on_loopback(address)?, on_loopback(rest.split(' ').next()?)?))
}

/// The service listens on all interfaces; `[::]` is no address to connect to everywhere.
fn on_loopback(address: &str) -> Option<String> {
    let (_, port) = address.rsplit_once(':')?;
    Some(format!("127.0.0.1:{port}"))
}

/// What comes through a pipe, collected as it comes.
#[derive(Debug)]
struct Output {
    shared: Arc<(Mutex<Collected>, Condvar)>,
}

#[derive(Debug, Default)]
struct Collected {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::<(Mutex<Collected>, Condvar)>::default();
        let writer = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            loop {
                let mut line = Vec::new();
                let ended = !matches!(pipe.read_until(b'\n', &mut line), Ok(1..));
                let mut collected = lock(&writer.0);
                collected.bytes.extend(line);
                collected.ended = ended;
                writer.1.notify_all();
                if ended {
                    return;
                }
            }
        });
        Self { shared }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.shared.0).bytes).into_owned()
    }

    /// What `find` makes of all that was said so far, asked again with every line.
    fn wait_for<T>(&self, within: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let found = |collected: &Collected| find(&String::from_utf8_lossy(&collected.bytes));
        let waiting = |collected: &Collected| !collected.ended && found(collected).is_none();
        found(&self.wait_while(within, waiting))
    }

    fn wait_for_end(&self, within: Duration) -> bool {
        self.wait_while(within, |collected| !collected.ended).ended
    }

    fn wait_while(
        &self,
        within: Duration,
        waiting: impl Fn(&Collected) -> bool,
    ) -> MutexGuard<'_, Collected> {
        let (collected, changed) = &*self.shared;
        changed
            .wait_timeout_while(lock(collected), within, |collected| waiting(collected))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}
