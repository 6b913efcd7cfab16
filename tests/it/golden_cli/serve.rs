//! The service: which command lines and key files it starts with, and what it then makes of the key.

use std::fmt;
use std::net::TcpListener;
use std::sync::Mutex;

use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, json};

use super::{
    ANSWER_WITHIN, RUN_WITHIN, Subject, cases, check_explained, is_without_a_store, key_files,
    report,
};
use crate::support::emulator;
use crate::support::equal::equal;
use crate::support::golden::{self, CliCase};
use crate::support::http_client::{Answer, Request};
use crate::support::service::{Launch, Service};
use crate::support::skip::announce;
use crate::support::stand_in::RefusingStore;
use crate::support::token::Token;

/// The recorded command lines that name no project mean this one.
const DEFAULT_PROJECT: &str = "mlab-sandbox";
const CLIENTS: usize = 4;

#[test]
fn the_service_starts_or_refuses_as_recorded() {
    let Some(emulator) = emulator::firestore() else { return };
    let stores = golden::stores();
    emulator.load(DEFAULT_PROJECT, stores.standard.iter().map(|row| &row.entity));
    let cases = cases(Subject::Serve);
    let queue = Mutex::new(cases.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().unwrap().next() else { return };
                    let api_key = stores.api_key("acme generated");
                    if let Err(why) = Start::new(case, emulator.host(), api_key).check() {
                        failures.lock().unwrap().push(format!("{}: {why}", case.name));
                    }
                }
            });
        }
    });
    announce(&format!("replayed {} command lines of the service", cases.len()));
    report(&failures.into_inner().unwrap(), cases.len());
}

struct Start<'a> {
    case: &'a CliCase,
    store_host: &'a str,
    api_key: &'a str,
    /// Where `keys/` is; also a home without credentials.
    folder: tempfile::TempDir,
    /// Another server, for the cases that meet one.
    taken_port: TcpListener,
    refusing: RefusingStore,
}

impl<'a> Start<'a> {
    fn new(case: &'a CliCase, store_host: &'a str, api_key: &'a str) -> Self {
        let taken_port = TcpListener::bind("[::]:0").or_else(|_| TcpListener::bind("0.0.0.0:0"));
        Self {
            case,
            store_host,
            api_key,
            folder: tempfile::tempdir().unwrap(),
            taken_port: taken_port.unwrap(),
            refusing: RefusingStore::start(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let recorded = |service: &Service| self.check_key(service, self.case.jwks_members.as_ref());
        match self.case.expect.as_deref() {
            None => match self.case.exit {
                None => self.check_serves(recorded),
                Some(exit) => check_explained(&self.launch().try_run(RUN_WITHIN)?, exit),
            },
            Some("refuse at start, exit 1, with the reason") => {
                check_explained(&self.launch().try_run(RUN_WITHIN)?, 1)
            }
            Some("serve, or refuse at start with the reason") => self
                .check_serves(recorded)
                .or_else(|_| check_explained(&self.launch().try_run(RUN_WITHIN)?, 1)),
            Some("publish \"use\":\"sig\"") => self.check_serves(|service| {
                let published: Value = parse(&get(service, "/.well-known/jwks.json")?)?;
                equal("use", &published["keys"][0]["use"], &"sig".into())?;
                // The place of `use` is the same for all keys.
                let members = json!([["use", "kty", "kid", "alg", "n", "e"]]);
                self.check_key(service, Some(&members))
            }),
            Some("serve: a private JWK Set is how keys rotate") => self.check_serves(|service| {
                let answer = self.exchange(service)?;
                let published: Value = parse(&get(service, "/.well-known/jwks.json")?)?;
                equal("status of the exchange", &answer.status, &200)?;
                Token::from_body(&answer.text())?.verify(&published["keys"][0])
            }),
            Some(
                "start; exchanges answer 503 until credentials are to be had. Refuse, exit 1, only when GOOGLE_APPLICATION_CREDENTIALS names a file that cannot be used",
            ) => {
                self.check_serves(|service| {
                    equal("status of the exchange", &self.exchange(service)?.status, &503)
                })?;
                let named = |file: &str| {
                    let path = self.folder.path().join(file);
                    let launch = self.launch();
                    launch.env("GOOGLE_APPLICATION_CREDENTIALS", path.to_str().unwrap())
                };
                check_explained(&named("no-such-file.json").try_run(RUN_WITHIN)?, 1)?;
                std::fs::write(self.folder.path().join("broken.json"), "{").unwrap();
                check_explained(&named("broken.json").try_run(RUN_WITHIN)?, 1)
            }
            Some(unknown) => panic!("an expectation that this test does not know: {unknown}"),
        }
    }

    fn launch(&self) -> Launch {
        let mut launch = Launch::token_exchange()
            .current_dir(self.folder.path())
            // The listening line is how the test learns the ports.
            .env("LOG_FORMAT", "json");
        if is_without_a_store(self.case) {
            // Nor does the machine that runs the test lend any credentials.
            launch = launch
                .env("HOME", self.folder.path().to_str().unwrap())
                .env("GCE_METADATA_HOST", &self.refusing.host());
        } else {
            launch = launch.env("DATASTORE_EMULATOR_HOST", self.store_host);
        }
        for (name, value) in &self.case.env {
            key_files::make(self.folder.path(), value);
            launch = launch.env(name, &self.with_ports(value));
        }
        self.case.argv[1..].iter().fold(launch, |launch, word| {
            key_files::make(self.folder.path(), word);
            launch.arg(&self.with_ports(word))
        })
    }

    /// The ports of the recording, named or in figures, become free ones; 18198 was in use.
    fn with_ports(&self, word: &str) -> String {
        let taken = self.taken_port.local_addr().unwrap().port().to_string();
        let mut word =
            word.replace("${port}", "0").replace("${metrics_port}", "0").replace("18198", &taken);
        for port in 18190..18200 {
            word = word.replace(&port.to_string(), "0");
        }
        word
    }

    fn check_serves(&self, check: impl Fn(&Service) -> Result<(), String>) -> Result<(), String> {
        let service = self
            .launch()
            .spawn()
            .listening()
            .map_err(|stderr| format!("it does not listen: {stderr}"))?;
        equal("health", &get(&service, "/health")?, &"ok".to_owned())?;
        check(&service)?;
        equal("stdout", &service.process.stdout(), &self.case.stdout)
    }

    /// What the recording says of the exchange and of the key set, where it says something.
    fn check_key(&self, service: &Service, members: Option<&Value>) -> Result<(), String> {
        let Some(status) = self.case.exchange_status else { return Ok(()) };
        let answer = self.exchange(service)?;
        equal("status of the exchange", &answer.status, &status)?;
        let body = answer.text();
        let token = Token::from_body(&body)?;
        let header_raw = self.case.token_header_raw.as_ref().ok_or("no recorded header")?;
        equal("JOSE header", &token.header_raw, header_raw)?;

        equal("status of the key set", &200, &self.case.jwks_status.unwrap_or(200))?;
        let set = get(service, "/.well-known/jwks.json")?;
        let names: PublishedSet = parse(&set)?;
        let names = json!(names.keys.iter().map(|key| &key.0).collect::<Vec<_>>());
        equal("members of the key set", &Some(&names), &members)?;
        token.verify(&parse::<Value>(&set)?["keys"][0])
    }

    fn exchange(&self, service: &Service) -> Result<Answer, String> {
        Request::post("/v0/token/integration", json!({ "api_key": self.api_key }).to_string())
            .send(service.address(), ANSWER_WITHIN)
            .map_err(|failure| format!("no answer to an exchange: {failure:?}"))
    }
}

fn get(service: &Service, path: &str) -> Result<String, String> {
    let answer = Request::get(path)
        .send(service.address(), ANSWER_WITHIN)
        .map_err(|failure| format!("no answer to {path}: {failure:?}"))?;
    equal(path, &answer.status, &200)?;
    Ok(answer.text())
}

/// A key set, of which only the names of the members matter, in order.
#[derive(Deserialize)]
struct PublishedSet {
    keys: Vec<MemberNames>,
}

struct MemberNames(Vec<String>);

impl<'de> Deserialize<'de> for MemberNames {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = MemberNames;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MemberNames, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(MemberNames(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("{error} in {text:?}"))
}
