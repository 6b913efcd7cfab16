//! The two Datastore emulators of the Google Cloud CLI, each shared by all tests of the process.
//!
//! Nobody empties them: every test works in a project of its own (`unique_project`). They end with
//! the test process, however that ends.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use token_exchange::api_key::OrganizationApiKey;
use token_exchange::environment::System;
use token_exchange::key_store::datastore::{DatastoreConfig, DatastoreStore, Place};

use super::eventually::poll;
use super::http_client::{Answer, Request};
use super::skip;
use crate::support::ask::Ask as _;

/// Java needs 2 s on an idle machine.
const START_WITHIN: Duration = Duration::from_mins(1);
/// Another process can take the port before Java binds it, but not for ever.
const START_ATTEMPTS: usize = 5;
const CALL_WITHIN: Duration = Duration::from_secs(30);

/// Kills Java as soon as the pipe to the test process breaks; Java itself takes the shell's place,
/// so that the test process sees it end.
const DIE_WITH_PARENT: &str = r#"
    parent=$$
    exec 3<&0 </dev/null
    (cat <&3; kill -KILL "$parent") >/dev/null 2>&1 &
    exec 3<&-
    exec "$@"
"#;

/// Firestore in Datastore mode, which is what production databases are; or a skipped test.
pub fn firestore() -> Option<&'static Emulator> {
    static SHARED: OnceLock<Result<Emulator, String>> = OnceLock::new();
    shared(&SHARED, &FIRESTORE)
}

/// The older emulator, of Datastore as it was; or a skipped test.
///
/// It ignores property masks, has no update times and no read times, and mixes named databases.
pub fn datastore() -> Option<&'static Emulator> {
    static SHARED: OnceLock<Result<Emulator, String>> = OnceLock::new();
    shared(&SHARED, &DATASTORE)
}

/// A project id that no other test of this process has.
pub fn unique_project() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A running emulator.
#[derive(Debug)]
pub struct Emulator {
    host: String,
    // Holds the pipe whose end ends Java.
    _java: Child,
}

impl Emulator {
    /// `127.0.0.1:port`, as `DATASTORE_EMULATOR_HOST` wants it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Writes entities in the REST form of Datastore v1, over what is there, into a project.
    ///
    /// Whatever project their keys (and keys in their properties) name is replaced.
    pub fn load<'a>(&self, project: &str, entities: impl IntoIterator<Item = &'a Value>) {
        let mutations: Vec<Value> = entities
            .into_iter()
            .map(|entity| {
                let mut entity = entity.clone();
                set_project(&mut entity, project);
                json!({ "upsert": entity })
            })
            .collect();
        self.commit(project, &json!({ "mode": "NON_TRANSACTIONAL", "mutations": mutations }));
    }

    /// The same, into a project that nobody else uses; its id.
    pub fn load_into_new_project<'a>(
        &self,
        entities: impl IntoIterator<Item = &'a Value>,
    ) -> String {
        let project = unique_project();
        self.load(&project, entities);
        project
    }

    /// One `commit` call, as it stands.
    pub fn commit(&self, project: &str, body: &Value) -> Value {
        self.call(project, "commit", body)
    }

    /// All entities of a kind in a namespace, in key order.
    pub fn entities(&self, project: &str, namespace: &str, kind: &str) -> Vec<Value> {
        let answer = self.call(
            project,
            "runQuery",
            &json!({
                "partitionId": { "projectId": project, "namespaceId": namespace },
                "query": { "kind": [{ "name": kind }] },
            }),
        );
        let results = answer["batch"]["entityResults"].as_array().cloned().unwrap_or_default();
        results.into_iter().map(|mut result| result["entity"].take()).collect()
    }

    /// Calls a method of the REST interface.
    ///
    /// # Panics
    /// When the emulator refuses the call: the test is wrong, then.
    pub fn call(&self, project: &str, method: &str, body: &Value) -> Value {
        let request = Request::post(&format!("/v1/projects/{project}:{method}"), body.to_string());
        let answer = request.send(&self.host, CALL_WITHIN).expect("the emulator answers");
        assert_eq!(answer.status, 200, "{method} in {project}: {}", answer.text());
        serde_json::from_slice(&answer.body).expect("the emulator answers in JSON")
    }
}

fn set_project(value: &mut Value, project: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "projectId" {
                    *member = project.into();
                } else {
                    set_project(member, project);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| set_project(value, project)),
        _ => {}
    }
}

struct Kind {
    what: &'static str,
    /// Under the root of the Google Cloud SDK.
    jar: &'static str,
    class: &'static str,
    arguments: &'static [&'static str],
}

const FIRESTORE: Kind = Kind {
    what: "the Firestore emulator (package google-cloud-cli-firestore-emulator, and Java 17)",
    jar: "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar",
    class: "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
    arguments: &["--database-mode=datastore-mode"],
};

const DATASTORE: Kind = Kind {
    what: "the Datastore emulator (package google-cloud-cli-datastore-emulator, and Java 17)",
    jar: "platform/cloud-datastore-emulator/CloudDatastore.jar",
    class: "com.google.cloud.datastore.emulator.CloudDatastore",
    arguments: &["--testing"],
};

fn shared(
    emulator: &'static OnceLock<Result<Emulator, String>>,
    kind: &Kind,
) -> Option<&'static Emulator> {
    let started = emulator.get_or_init(|| start(kind));
    skip::require(kind.what, started.as_ref().map_err(Clone::clone))
}

fn start(kind: &Kind) -> Result<Emulator, String> {
    let jar = sdk_root()?.join(kind.jar);
    if !jar.is_file() {
        return Err(format!("there is no {}", jar.display()));
    }
    let mut said = String::new();
    for _ in 0..START_ATTEMPTS {
        match start_once(kind, &jar)? {
            Ok(emulator) => return Ok(emulator),
            Err(output) => said = output,
        }
    }
    Err(format!("it does not start: {said}"))
}

/// The inner error is what the emulator said before it ended, or did not become ready.
fn start_once(kind: &Kind, jar: &Path) -> Result<Result<Emulator, String>, String> {
    let port = free_port().map_err(|error| format!("there is no free port: {error}"))?;
    let mut log = tempfile::tempfile().map_err(|error| format!("no file for its log: {error}"))?;
    let mut java = spawn(kind, jar, port, &log).map_err(|error| format!("no shell: {error}"))?;
    let host = format!("127.0.0.1:{port}");
    let ready = poll(START_WITHIN, || match java.try_wait() {
        Ok(None) => is_ready(&host).then_some(true),
        _ended => Some(false),
    });
    if ready == Some(true) && is_warm(&host) {
        return Ok(Ok(Emulator { host, _java: java }));
    }
    drop(java.stdin.take());
    let _ = java.wait();
    let mut output = String::new();
    let _ = log.rewind().and_then(|()| log.read_to_string(&mut output));
    Ok(Err(output.trim().to_owned()))
}

fn spawn(kind: &Kind, jar: &Path, port: u16, log: &File) -> std::io::Result<Child> {
    Command::new("sh")
        .args(["-c", DIE_WITH_PARENT, "sh", "java", "-Xmx512m", "-cp"])
        .arg(jar)
        .args([kind.class, "start", "--host=127.0.0.1", &format!("--port={port}")])
        .args(kind.arguments)
        // The emulators leave files where they are started.
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?)
        .spawn()
}

fn is_ready(host: &str) -> bool {
    let answer = Request::get("/").send(host, Duration::from_secs(2));
    matches!(answer, Ok(Answer { status: 200, body, .. }) if body.trim_ascii() == b"Ok")
}

/// Java takes seconds for its first calls, longer than the service waits for an answer: asks until
/// the answers come as fast as they will come in the tests.
fn is_warm(host: &str) -> bool {
    let config = DatastoreConfig {
        project_id: unique_project(),
        platform_namespace: "platform-credentials".to_owned(),
        integration_namespace: "client-integration".to_owned(),
        place: Place::Emulator { host: host.to_owned() },
    };
    // On a thread of its own: the test that waits for this may be inside a runtime.
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().expect("there is a runtime");
        let _inside = runtime.enter();
        let store =
            DatastoreStore::connect(config, Arc::new(System)).expect("the configuration is right");
        let mut fast_in_a_row = 0;
        poll(START_WITHIN, || {
            let begun = Instant::now();
            let key = OrganizationApiKey::parse("warm-up".to_owned().into()).expect("a key");
            let answered = runtime.block_on(store.find(&key)).is_ok();
            let is_fast = answered && begun.elapsed() < Duration::from_millis(100);
            fast_in_a_row = if is_fast { fast_in_a_row + 1 } else { 0 };
            (fast_in_a_row == 5).then_some(())
        })
    });
    matches!(asking.join(), Ok(Some(())))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where the Google Cloud SDK is: as told (`CLOUDSDK_ROOT_DIR`), where the `gcloud` on the path
/// leads, or as it says itself (which takes a second).
fn sdk_root() -> Result<PathBuf, String> {
    if let Some(root) = std::env::var_os("CLOUDSDK_ROOT_DIR") {
        return Ok(root.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let gcloud = std::env::split_paths(&path)
        .map(|folder| folder.join("gcloud"))
        .find_map(|candidate| candidate.canonicalize().ok())
        .ok_or("there is no gcloud on the path")?;
    if let Some(root) = gcloud.ancestors().nth(2).filter(|root| root.join("platform").is_dir()) {
        return Ok(root.to_owned());
    }
    let said = Command::new(&gcloud)
        .args(["info", "--format=value(installation.sdk_root)"])
        .output()
        .map_err(|error| format!("gcloud does not run: {error}"))?;
    Ok(String::from_utf8_lossy(&said.stdout).trim().into())
}
