//! `compare`: two services that answer alike, and some that do not.

mod go_service;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use token_exchange::comparison::cases;

use self::go_service::GoService;
use crate::signing_keys::file::{key_for, set};
use crate::support::golden;
use crate::support::operator::Operator;
use crate::support::service::{Finished, Launch, Service};
use crate::support::stand_in::RefusingStore;

const WITHIN: Duration = Duration::from_mins(1);

fn compare(reference: &str, candidate: &str, more: &[&str]) -> Finished {
    let launch = Launch::token_exchange().arg("compare").arg(reference).arg(candidate);
    more.iter().fold(launch, |launch, arg| launch.arg(arg)).run(WITHIN)
}

fn url(service: &Service) -> String {
    format!("http://{}", service.address())
}

/// A store with a key, and a service on it.
struct Scene {
    folder: TempDir,
    operator: Operator,
    api_key: String,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        let api_key = operator.integration_with_key("acme");
        Self { folder, operator, api_key }
    }

    fn serve(&self) -> Service {
        self.operator.serve(Launch::token_exchange().recorded_signing_key())
    }

    fn serve_signing_with(&self, key: &Value) -> Service {
        let file = self.folder.path().join("key.jwk");
        std::fs::write(&file, set(std::slice::from_ref(key))).unwrap();
        let flag = format!("-private-key-path={}", file.display());
        self.operator.serve(Launch::token_exchange().arg(&flag))
    }

    fn file_with(&self, key: &str) -> PathBuf {
        let file = self.folder.path().join("api-key");
        std::fs::write(&file, format!("{key}\n")).unwrap();
        file
    }

    fn compare_with_key(&self, one: &Service, other: &Service, key: &str) -> Finished {
        let file = self.file_with(key);
        let flag = format!("-key-file={}", file.display());
        let finished = compare(&url(one), &url(other), &[&flag]);
        for said in [&finished.stdout, &finished.stderr] {
            assert!(!said.contains(key) && !said.contains("eyJ"), "{said}");
        }
        finished
    }
}

#[test]
fn a_service_answers_as_its_twin_does() {
    let scene = Scene::new();
    let (one, other) = (scene.serve(), scene.serve());
    let organization = scene.operator.organization_with_key("mlab");
    for key in [&scene.api_key, &organization] {
        let finished = scene.compare_with_key(&one, &other, key);
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stdout);
        assert!(finished.stdout.ends_with("0 that nobody declared, 0 on purpose.\n"));
    }
}

#[test]
fn from_the_recorded_go_service_nothing_differs_but_what_is_declared() {
    let scene = Scene::new();
    let ours = scene.serve();
    let go = GoService::start(ours.address(), |_, answer| answer);
    let finished = compare(&go.url(), &url(&ours), &["-output=json"]);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!((finished.status.code(), &report["undeclared"]), (Some(0), &0.into()), "{report:#}");
    let declared = report["differences"].as_array().unwrap();
    for (case, part) in [
        ("HEAD on the key set", "status"),
        ("a wrong key in a body of 20000 bytes", "status"),
        ("GET on an unknown path", "cache-control"),
    ] {
        let is_there = declared.iter().any(|one| one["case"] == case && one["part"] == part);
        assert!(is_there, "{case}: {part}: {report:#}");
    }
    assert!(declared.iter().all(|difference| difference["declared"].is_string()), "{report:#}");
    let (requests, differences) = (&report["requests"], declared.len());
    let told = format!(
        "Requests compared: {requests}. Differences: 0 that nobody declared, {differences} on purpose."
    );
    assert!(include_str!("../../docs/migration.md").contains(&told), "{told}");
    assert!(include_str!("../../README.md").contains(&format!("sends {requests} of the recorded")));
}

#[test]
fn the_exception_is_made_for_the_candidate_alone() {
    let scene = Scene::new();
    let ours = scene.serve();
    let go = GoService::start(ours.address(), |_, answer| answer);
    let finished = compare(&url(&ours), &go.url(), &[]);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stdout);
}

#[test]
fn a_status_a_header_and_a_body_that_differ_are_found() {
    let scene = Scene::new();
    let ours = scene.serve();
    let go = GoService::start(ours.address(), |name, mut answer| {
        match name {
            "GET on health" => answer.body = b"OK".to_vec(),
            "body: empty" => answer.status = 401,
            "GET on the key set" => answer.headers.retain(|(name, _)| name != "Cache-Control"),
            _ => {}
        }
        answer
    });
    let finished = compare(&go.url(), &url(&ours), &["-output=json"]);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stdout);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let undeclared: Vec<_> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|difference| difference["declared"].is_null())
        .map(|difference| {
            (difference["case"].as_str().unwrap(), difference["part"].as_str().unwrap())
        })
        .collect();
    assert_eq!(undeclared, [("GET on health", "body"), ("body: empty", "status")], "{report:#}");
    // The other way round a missing header is no longer an additional one.
    let finished = compare(&url(&ours), &go.url(), &["-output=json"]);
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    let missing = report["differences"].as_array().unwrap().iter().find(|difference| {
        difference["case"] == "GET on the key set" && difference["part"] == "cache-control"
    });
    assert!(missing.unwrap()["declared"].is_null(), "{report:#}");
}

#[test]
fn a_go_service_that_leaves_out_the_use_of_a_key_differs_on_purpose() {
    let scene = Scene::new();
    let ours = scene.serve();
    let go = GoService::start(ours.address(), |_, mut answer| {
        let body = String::from_utf8(answer.body).unwrap();
        answer.body = body.replace("\"use\":\"sig\",", "").into_bytes();
        answer
    });
    let finished = compare(&go.url(), &url(&ours), &[]);
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stdout);
    assert!(finished.stdout.contains("published with"), "{}", finished.stdout);
}

#[test]
fn tokens_that_do_not_verify_by_both_key_sets_are_found() {
    let scene = Scene::new();
    let one = scene.serve();
    let other = scene.serve_signing_with(&key_for("RS256", "golden-rsa-2048"));
    let finished = scene.compare_with_key(&one, &other, &scene.api_key);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stdout);
    let told = finished.stdout.split_whitespace().collect::<String>();
    assert!(told.contains("doesnotfit"), "{}", finished.stdout);
}

#[test]
fn tokens_that_say_something_else_are_found() {
    let (scene, copy) = (Scene::new(), Scene::new());
    let key_id = scene.api_key.split('.').nth(2).unwrap();
    // The same key in another store, with another tier.
    let key: Vec<&str> = scene.api_key.split('.').collect();
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(key[3]));
    let line = format!("mlabkh.{}.{key_id}.{hash}", key[1]);
    let imported = copy.operator.run(&["integration-key", "import", &line, "-tier=7"]);
    assert!(imported.status.success(), "{}", imported.stderr);
    let finished = scene.compare_with_key(&scene.serve(), &copy.serve(), &scene.api_key);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stdout);
    assert!(finished.stdout.contains("claim tier"), "{}", finished.stdout);
}

#[test]
fn a_key_that_only_one_service_takes_is_found() {
    let (scene, empty) = (Scene::new(), Scene::new());
    let finished = scene.compare_with_key(&scene.serve(), &empty.serve(), &scene.api_key);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stdout);
    let told = finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("200 401"), "{told}");
}

#[test]
fn a_service_that_is_not_there_is_an_error_and_what_is_no_service_wrong() {
    let nobody = format!("http://{}", RefusingStore::start().host());
    let refused = compare(&nobody, &nobody, &[]);
    assert_eq!((refused.status.code(), &*refused.stdout), (Some(1), ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("cannot ask"), "{}", refused.stderr);
    for word in ["example.org", "https://example.org/v0", "https://u:p@example.org", "https://"] {
        let refused = compare(word, "https://example.org", &[]);
        assert_eq!(refused.status.code(), Some(1), "{word}: {}", refused.stderr);
        assert!(refused.stderr.contains("and its host, without a path"), "{}", refused.stderr);
    }
}

#[test]
fn the_requests_are_recorded_ones_and_hold_no_key_of_the_recording() {
    let recorded: Vec<Value> = serde_json::from_str(&golden::text("http.json")).unwrap();
    let sent: Vec<Value> =
        serde_json::from_str(include_str!("../../src/comparison/cases.json")).unwrap();
    let stores = golden::stores();
    let keys: Vec<_> = stores.standard.iter().filter_map(|row| row.api_key.as_ref()).collect();
    for case in &sent {
        assert!(recorded.contains(case), "{case}");
        let body = case["request"]["body_utf8"].as_str().unwrap_or_default();
        let presented = serde_json::from_str::<Value>(body).unwrap_or_default();
        for key in &keys {
            assert_ne!(presented.get("api_key"), Some(&Value::from(key.as_str())), "{case}");
            assert!(key.len() < 16 || !body.contains(key.as_str()), "{case}");
        }
    }
    assert!(sent.len() > 100);
}

#[test]
fn the_requests_reach_a_service_as_they_were_recorded() {
    for case in cases().unwrap() {
        let url = reqwest::Url::parse(&format!("http://example.org{}", case.target())).unwrap();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        assert_eq!(format!("{}{query}", url.path()), case.target(), "{}", case.name());
    }
}
