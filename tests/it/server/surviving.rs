//! What must not end the server.

use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use token_exchange::http::server::Schedule;

use super::support::{NO_LIMITS, Server, alone, eventually};

#[test]
fn a_handler_that_panics_ends_its_connection_alone() {
    let server = Server::start(NO_LIMITS, Schedule::PRODUCTION);
    let mut bystander = server.connect();
    bystander.get("/");
    for _ in 0..3 {
        let mut client = server.connect();
        client.ask("/panic");
        client.wait_for_close();
    }
    assert_eq!(bystander.get("/").body, "hello");
    assert_eq!(server.connect().get("/").body, "hello");
}

/// Lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines_with(&self, text: &str) -> usize {
        let log = self.0.lock().unwrap();
        String::from_utf8_lossy(&log).lines().filter(|line| line.contains(text)).count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Every file that the process may still open.
fn all_files() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

#[test]
fn running_out_of_files_is_survived_and_logged_once_a_spell() {
    alone("server::surviving::running_out_of_files_is_survived_and_logged_once_a_spell", || {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt().with_writer(move || writer.clone()).init();
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        let server = Server::start(NO_LIMITS, Schedule::PRODUCTION);
        let unused = open_files();

        for spell in 1..=2 {
            let mut files = all_files();
            drop(files.pop());
            let mut client = server.connect();
            client.ask("/");
            client.hears_nothing_for(Duration::from_millis(500));
            drop(files);
            assert_eq!(client.answer().body, "hello");
            assert_eq!(log.lines_with("connections cannot be accepted"), spell);
            drop(client);
            eventually(|| open_files() == unused);
        }
    });
}

#[test]
fn when_files_run_out_an_idle_connection_makes_room() {
    alone("server::surviving::when_files_run_out_an_idle_connection_makes_room", || {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        let server = Server::start(NO_LIMITS, Schedule::PRODUCTION);
        let mut idle = server.connect();
        idle.get("/");

        let mut files = all_files();
        drop(files.pop());
        assert_eq!(server.connect().get("/").body, "hello");
        idle.wait_for_close();
    });
}
