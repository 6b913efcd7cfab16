//! Three instances on one file, rotated five times, while other people's verifiers go on with their
//! own caches: no token is refused.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::programs::{self, Conversation};
use crate::signing_keys::file::{dated, key_for, set};
use crate::support::eventually::poll;
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};
use crate::support::skip::announce;

const ROTATIONS: usize = 5;
/// From the change of the file to the start of the new key. It has to be longer than the instances'
/// reload interval of 1 s and the verifiers' cache together; the rest is for a slow machine.
const LEAD: u64 = 6;
/// How long jose keeps a key set, in milliseconds.
const JOSE_CACHE: &str = "1500";
/// Longer than the test: jose never fetches because of an unknown `kid`.
const JOSE_COOLDOWN: &str = "600000";

#[test]
fn a_live_rotation_fails_no_verification_of_go_oidc_and_jose() {
    let (Some(go), Some(node)) = (programs::go_watcher(), programs::node_watcher()) else { return };
    let stage = Stage::set();
    let urls: Vec<String> = stage.instances.iter().map(Service::jwks_url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let mut verifiers =
        [go.start(&urls), node.start(&[&[JOSE_CACHE, JOSE_COOLDOWN], &urls[..]].concat())];

    let mut keys = vec![dated(stage.first.clone(), 1, 1)];
    let mut kids = Vec::new();
    let mut tokens = 0;
    for number in 1..=ROTATIONS {
        let start = now() + LEAD;
        // Made long ago, so that `nbf` decides.
        keys.push(dated(key_for("RS256", &format!("key-{number}")), 1, start));
        stage.write(&keys);
        // Until two seconds after the start: no instance signs with the old key by then.
        let done = poll(Duration::from_secs(LEAD + 30), || {
            tokens += stage.exchange_and_verify(&mut verifiers, &mut kids);
            (now() >= start + 2).then_some(())
        });
        assert!(done.is_some(), "the clock does not go on");
    }
    assert_eq!(kids, ["key-0", "key-1", "key-2", "key-3", "key-4", "key-5"]);
    let [go, jose] = verifiers.map(Conversation::finish);
    for (name, figures) in [("go-oidc", go), ("jose", jose)] {
        let failures = figures["failures"].as_array().unwrap();
        assert!(failures.is_empty(), "{name}: {} failures, first {}", failures.len(), failures[0]);
        assert_eq!(figures["verified"], tokens * stage.instances.len(), "{name}");
        announce(&format!(
            "live rotation, {ROTATIONS} times, 3 instances: {name} verified {} times, 0 failures",
            figures["verified"]
        ));
    }
}

struct Stage {
    folder: tempfile::TempDir,
    instances: Vec<Service>,
    api_key: String,
    first: Value,
}

impl Stage {
    fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
        operator.integration_with_key("acme");
        let api_key = operator.organization_with_key("mlab");
        let first = key_for("RS256", "key-0");
        let file = folder.path().join("keys.json");
        // As operators have it today: one bare key.
        fs::write(&file, first.to_string()).unwrap();
        let serve = || {
            let launch = Launch::token_exchange()
                .arg(&format!("-private-key-path={}", file.display()))
                .arg("-key-reload-interval=1s");
            operator.serve(launch)
        };
        let instances = (0..3).map(|_| serve()).collect();
        Self { folder, instances, api_key, first }
    }

    fn write(&self, keys: &[Value]) {
        let beside = self.folder.path().join("beside");
        fs::write(&beside, set(keys)).unwrap();
        fs::rename(beside, self.folder.path().join("keys.json")).unwrap();
    }

    /// One token of each instance, to each verifier. Notes the keys in the order in which they come.
    fn exchange_and_verify(&self, verifiers: &mut [Conversation], kids: &mut Vec<String>) -> usize {
        for instance in &self.instances {
            let token = instance.token("autojoin", &self.api_key);
            let header = jsonwebtoken::decode_header(&token).unwrap();
            let kid = header.kid.unwrap();
            if !kids.contains(&kid) {
                kids.push(kid);
            }
            for verifier in &mut *verifiers {
                verifier.say(&token);
            }
        }
        self.instances.len()
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}
