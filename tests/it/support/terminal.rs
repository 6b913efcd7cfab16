//! A terminal with a person at it, who reads what is asked and takes their time to answer.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::service::{Finished, Launch};

const WITHIN: Duration = Duration::from_secs(30);

/// Somebody who runs a command at a terminal. The command reads from there and complains there;
/// what it prints goes elsewhere.
pub struct Person {
    command: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Person {
    /// Starts the command.
    pub fn runs(launch: Launch) -> Self {
        // The terminal is to control neither the test nor the command.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let outer = openpt(flags).expect("there are terminals");
        grantpt(&outer).and_then(|()| unlockpt(&outer)).expect("the terminal is ours");
        let name = ptsname(&outer, Vec::new()).expect("the terminal has a name").into_bytes();
        let inner = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OpenptFlags::NOCTTY.bits().cast_signed())
            .open(PathBuf::from(std::ffi::OsString::from_vec(name)))
            .expect("the terminal can be opened");
        let mut command = launch.into_command();
        command.stdin(Stdio::from(inner.try_clone().expect("a terminal has room for two")));
        let child = command.stderr(Stdio::from(inner)).spawn().expect("the binary runs");
        // Its copies of the terminal have to be closed, or the screen never ends.
        drop(command);

        let keyboard = File::from(outer);
        let mut eye = keyboard.try_clone().expect("a terminal has room for two");
        let (sight, screen) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Ok(count @ 1..) = eye.read(&mut bytes) {
                if sight.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { command: child, keyboard, screen, seen: String::new() }
    }

    /// Waits until these words stand on the screen.
    ///
    /// # Panics
    /// When they do not come.
    pub fn reads(&mut self, words: &str) {
        let deadline = Instant::now() + WITHIN;
        while !self.seen.contains(words) {
            let left = deadline.saturating_duration_since(Instant::now());
            let bytes = self.screen.recv_timeout(left);
            let bytes = bytes.unwrap_or_else(|why| panic!("no {words:?} ({why}):\n{}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("the terminal is open");
    }

    /// Waits for the end of the command; the screen is what it had to complain.
    ///
    /// # Panics
    /// When it does not end.
    pub fn sees_it_end(mut self) -> Finished {
        let mut pipe = self.command.stdout.take().expect("stdout is piped");
        let printed = std::thread::spawn(move || {
            let mut stdout = String::new();
            pipe.read_to_string(&mut stdout).map(|_| stdout)
        });
        let deadline = Instant::now() + WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = self.command.kill();
                    panic!("still running after {WITHIN:?}:\n{}", self.seen);
                }
            }
        }
        let status = self.command.wait().expect("the command has ended");
        let stdout =
            printed.join().expect("reading does not panic").expect("what is printed is UTF-8");
        Finished { status, stdout, stderr: self.seen }
    }
}
