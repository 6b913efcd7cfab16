//! Signals: how the service ends, whatever it is in the middle of.
//!
//! Of the recording, the exit status and `expect` count: the Go service drains for longer than
//! Cloud Run waits.

use std::time::Duration;

use serde_json::{Value, json};

use super::{ANSWER_WITHIN, Subject, cases, key_files, report};
use crate::support::eventually::eventually;
use crate::support::golden::{self, CliCase};
use crate::support::http_client::{Connection, Request};
use crate::support::service::{Launch, Service, Signal};
use crate::support::skip::announce;
use crate::support::stand_in::SilentStore;

/// What Cloud Run grants between SIGTERM and SIGKILL.
const EXIT_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn signals_end_the_service_as_recorded() {
    let cases = cases(Subject::Signal);
    // Each may take seconds, of waiting.
    let failures: Vec<String> = std::thread::scope(|scope| {
        let checks: Vec<_> =
            cases.iter().map(|case| (case, scope.spawn(|| Scene::new().check(case)))).collect();
        let failure = |case: &CliCase, why: &str| format!("{}: {why}", case.name);
        checks
            .into_iter()
            .filter_map(|(case, check)| match check.join() {
                Ok(outcome) => outcome.err().map(|why| failure(case, &why)),
                Err(panic) => {
                    let why = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
                    Some(failure(case, why))
                }
            })
            .collect()
    });
    announce(&format!("replayed {} signals", cases.len()));
    report(&failures, cases.len());
}

struct Scene {
    folder: tempfile::TempDir,
    store: SilentStore,
    service: Service,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        key_files::make(folder.path(), "keys/good.jwk");
        let store = SilentStore::start();
        let service = Launch::token_exchange()
            .current_dir(folder.path())
            .env("DATASTORE_EMULATOR_HOST", &store.host())
            .arg("-private-key-path=keys/good.jwk")
            .serve();
        Self { folder, store, service }
    }

    fn check(mut self, case: &CliCase) -> Result<(), String> {
        match case.expect.as_deref() {
            None => {}
            Some("read the key file again and go on") => {
                self.check_reload();
                return Ok(());
            }
            Some(unknown) => return Err(format!("an expectation that is not known: {unknown}")),
        }
        // What the connection and the store hold must stay open until the service has ended.
        let _open = self.occupy(&case.name)?;
        let signal = match case.signal.as_deref() {
            Some("SIGTERM") => Signal::TERM,
            Some("SIGINT") => Signal::INT,
            other => return Err(format!("a signal that this test does not know: {other:?}")),
        };
        self.service.process.signal(signal);
        if case.name.contains("twice") {
            self.service.process.signal(signal);
        }
        let status = self.service.process.try_wait_exit(EXIT_WITHIN)?;
        if status.code() == case.exit {
            Ok(())
        } else {
            let stderr = self.service.process.stderr();
            Err(format!("ended with {status}, recorded is {:?}; stderr: {stderr}", case.exit))
        }
    }

    /// Brings the service into the state that the case is named after.
    fn occupy(&self, name: &str) -> Result<Occupation, String> {
        let mut connection = Connection::open(self.service.address(), ANSWER_WITHIN)
            .map_err(|failure| format!("{failure:?}"))?;
        let mut sender = connection.sender().map_err(|failure| format!("{failure:?}"))?;
        let state = name.split_once(' ').and_then(|(_, rest)| rest.split_once(' '));
        let mut asked = None;
        match state.map(|(_, state)| state) {
            Some("while idle") => {}
            Some("with an idle kept-alive connection") => {
                sender.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
                let answer = connection.read_answer(&Request::new("GET", "/health"));
                answer.map_err(|failure| format!("health: {failure:?}"))?;
            }
            Some("with a request whose headers never end") => {
                sender.write(b"POST /v0/token/integration HTTP/1.1\r\nHost: loc");
                // Connections are accepted in their order: after this one, that one is, too.
                Request::get("/health")
                    .send(self.service.address(), ANSWER_WITHIN)
                    .map_err(|failure| format!("health: {failure:?}"))?;
            }
            Some(
                "with a request whose body never ends"
                | "twice with a request whose body never ends",
            ) => {
                post_head(&mut connection, 1000)?;
                sender.write(b"{\"api_key\":");
            }
            Some("with a request that waits for an unavailable store") => {
                let key = golden::stores().api_key("acme generated").to_owned();
                let body = json!({ "api_key": key }).to_string();
                post_head(&mut connection, body.len())?;
                sender.write(body.as_bytes());
                asked = Some(self.store.wait_for_a_caller());
            }
            _ => return Err("a state that this test does not know".to_owned()),
        }
        Ok(Occupation { _connection: connection, _asked: asked })
    }

    /// The key file holds another key, and SIGHUP makes it known without an interruption.
    fn check_reload(self) {
        let key_file = self.folder.path().join("keys/good.jwk");
        std::fs::write(key_file, golden::text("keys/rsa3072.jwk")).unwrap();
        self.service.process.signal(Signal::HUP);
        eventually("the new key is in the key set", ANSWER_WITHIN, || {
            let request = Request::get("/.well-known/jwks.json");
            let set = request.send(self.service.address(), ANSWER_WITHIN).expect("it serves on");
            let set: Value = serde_json::from_slice(&set.body).expect("a key set");
            set["keys"].as_array()?.iter().find(|key| key["kid"] == "t").map(drop)
        });
    }
}

/// What is open on our side while the service ends.
struct Occupation {
    _connection: Connection,
    _asked: Option<std::net::TcpStream>,
}

/// Sends the head of an exchange and waits until its handler asks for the body.
fn post_head(connection: &mut Connection, length: usize) -> Result<(), String> {
    let head = format!(
        "POST /v0/token/integration HTTP/1.1\r\nHost: localhost\r\n\
         Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut sender = connection.sender().map_err(|failure| format!("{failure:?}"))?;
    sender.write(head.as_bytes());
    match connection.read_interim() {
        Ok(100) => Ok(()),
        other => Err(format!("the handler does not ask for the body: {other:?}")),
    }
}
