//! The service with keys, and how fast it is at this moment.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::machine::told;
use super::pinned::{ON_SERVICE_CORE, drive, request, service_after};
use crate::support::load::{Arrivals, Numbers, Plan, Report};
use crate::support::operator::Operator;
use crate::support::service::{Launch, Service};

pub const INTEGRATION: &str = "load";
/// Each with a number of its own, of eight digits.
pub const NUMBERED_KEY: &str = "mlabk.cii_load.ki_########.secret";
pub const CONNECTIONS: usize = 64;
/// For new connections, before a window counts.
const WARM_UP: Duration = Duration::from_millis(50);

/// How often something was done a second, and how much of a core it had for that.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Rate {
    pub a_second: f64,
    pub busy: f64,
}

impl Rate {
    /// For each second that it was on a core.
    pub fn a_core_second(self) -> f64 {
        self.a_second / self.busy
    }
}

pub fn rounds() -> u64 {
    told("ROUNDS", 15)
}

pub fn window() -> Duration {
    Duration::from_millis(told("WINDOW_MILLIS", 500))
}

/// Flags of a service that remembers all keys for as long as it is measured.
pub const REMEMBERING: [&str; 4] =
    ["-cache-capacity=1000000", "-cache-fresh=1h", "-cache-max-age=1h", "-cache-stale-if-error=1h"];

/// A file of keys, with those of [`NUMBERED_KEY`] whose numbers are below the one that is told.
pub struct Keys {
    pub operator: Operator,
    folder: TempDir,
    pub number: u64,
}

impl Keys {
    pub fn on_sqlite(number: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.db");
        let operator = Operator::on_sqlite(&path);
        operator.integration_with_key(INTEGRATION);
        let hash = hex::encode(Sha256::digest("secret"));
        Connection::open(path)
            .unwrap()
            .execute(
                "WITH RECURSIVE keys (number) AS
                     (SELECT 0 UNION ALL SELECT number + 1 FROM keys WHERE number + 1 < ?1)
                 INSERT INTO integration_keys
                     SELECT ?2, printf('ki_%08d', number), ?3, 'active', 1, '', 0 FROM keys",
                params![number.cast_signed(), INTEGRATION, hash],
            )
            .unwrap();
        Self { operator, folder, number }
    }

    /// Starts a service on these keys, on its core. On the other one the generator stays awake.
    pub fn serve(&self, algorithm: &str, flags: &[&str]) -> Scene {
        Scene { awake: is_awake(), ..self.serve_after(ON_SERVICE_CORE, algorithm, flags) }
    }

    /// The same, after a command of the shell. The generator may have to share its core.
    pub fn serve_after(&self, command: &str, algorithm: &str, flags: &[&str]) -> Scene {
        let launch = service_after(command);
        let launch = signing(launch, algorithm, self.folder.path());
        let launch = flags.iter().fold(launch, |launch, flag| launch.arg(flag));
        Scene { service: self.operator.serve(launch), keys: self.number, from: 0, awake: false }
    }
}

/// A service with a signing key for an algorithm.
pub fn signing(launch: Launch, algorithm: &str, folder: &Path) -> Launch {
    let file = match algorithm {
        "ES256" => "keys/ec.jwk",
        "EdDSA" => "keys/eddsa.jwk",
        _ => "signing-key.jwk",
    };
    let file = format!("{}/tests/golden/{file}", env!("CARGO_MANIFEST_DIR"));
    let jwk = std::fs::read_to_string(file).unwrap().replace("RS256", algorithm);
    let path = folder.join(format!("{algorithm}.jwk"));
    std::fs::write(&path, jwk).unwrap();
    launch.arg(&format!("-private-key-path={}", path.display()))
}

/// A service that is asked for tokens of one key after the other.
pub struct Scene {
    pub service: Service,
    pub keys: u64,
    /// How far the keys have been gone through.
    pub from: u64,
    /// Whether the generator keeps its core busy.
    pub awake: bool,
}

impl Scene {
    pub fn plan(&self, arrivals: Arrivals, measure: Duration) -> Plan {
        let (address, id) = (self.service.address(), self.service.process.id());
        Plan {
            numbers: Numbers::Scattered { below: self.keys, from: self.from },
            arrivals,
            awake: self.awake,
            ..closed_loop(address, &request(NUMBERED_KEY), measure, Some(id))
        }
    }

    /// How many tokens it gives to [`CONNECTIONS`] who ask as fast as they are answered.
    pub fn rate(&mut self, window: Duration) -> Rate {
        let report = drive(&self.plan(Arrivals::ClosedLoop, window));
        self.from += most_are_tokens(&report) as u64;
        rate(&report)
    }

    /// Asks for each key once, so that it is remembered, and so that all is at hand that is needed.
    pub fn warm_up(&mut self) {
        let asked = self.from;
        while self.from - asked < self.keys.max(1000) {
            self.rate(Duration::from_secs(1));
        }
    }
}

/// Whether the generator keeps its core busy where nobody else needs it: unless `ASLEEP` is set.
pub fn is_awake() -> bool {
    std::env::var_os("ASLEEP").is_none()
}

/// Answers a second of whoever is at an address.
pub fn rate_of(
    address: &str,
    request: &str,
    process: Option<u32>,
    awake: bool,
    window: Duration,
) -> Rate {
    let plan = closed_loop(address, request, window, process);
    let report = drive(&Plan { awake, ..plan });
    most_are_tokens(&report);
    rate(&report)
}

fn rate(report: &Report) -> Rate {
    Rate { a_second: report.of(200).a_second, busy: report.busy }
}

fn closed_loop(address: &str, request: &str, measure: Duration, process: Option<u32>) -> Plan {
    Plan {
        address: address.to_owned(),
        requests: vec![request.to_owned()],
        numbers: Numbers::Counting,
        arrivals: Arrivals::ClosedLoop,
        connections: CONNECTIONS,
        warm_up: WARM_UP,
        measure,
        probes: Vec::new(),
        process,
        awake: false,
    }
}

/// What is measured is no refusal. Those who came when a neighbour held the core may have been shed:
/// that costs a twentieth of a token each.
pub fn most_are_tokens(report: &Report) -> usize {
    let tokens = report.of(200).count;
    let all: usize = report.by_status.values().map(|stats| stats.count).sum();
    assert!(tokens * 5 >= all * 4, "{:?}", report.by_status);
    tokens
}
