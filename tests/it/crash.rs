//! Operators that are killed in the middle of their work: what was acknowledged stays, and nothing
//! is left half done.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::SecretString;
use token_exchange::api_key::IntegrationApiKey;
use token_exchange::key_store::Answer;
use token_exchange::key_store::sqlite::SqliteStore;

use crate::support::ask::Ask as _;

const WRITES: usize = 1000;
/// How many writes are acknowledged before the next kill.
const BETWEEN_KILLS: usize = 8;
const WITHIN: Duration = Duration::from_mins(1);

/// Makes one write after another, each by a process of its own.
const OPERATOR: &str = r#"
    number=$1
    while [ "$number" -lt "$2" ]; do
        "$0" create-integration "-integration-id=writer-$number" 2>&1 || exit 1
        number=$((number + 1))
    done
"#;

#[test]
fn no_acknowledged_write_is_lost_and_no_key_is_half_written_when_operators_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    drop(SqliteStore::open(&path).unwrap());

    let mut acknowledged = Vec::new();
    let (mut next, mut kills) = (0, 0_u64);
    while next < WRITES {
        let mut operator = Killable::start(&path, next);
        // Where in a write it dies is another moment every time.
        let moment = Duration::from_micros(kills * 700 % 20_000);
        let ended = operator.listen(&mut acknowledged, BETWEEN_KILLS, moment);
        operator.kill();
        operator.drain(&mut acknowledged);
        kills += u64::from(!ended);
        // A write that was not acknowledged may have been made; nobody tries it again.
        next = acknowledged.last().map_or(next, |(number, _)| number + 1) + usize::from(!ended);
    }
    assert!(kills > 50, "only {kills} were killed");

    let file = Connection::open(&path).unwrap();
    let sound: String = file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut whole = file
        .prepare(
            "SELECT id, (SELECT count(*) FROM integration_keys WHERE integration_id = id)
         FROM integrations",
        )
        .unwrap();
    let stored: BTreeSet<String> = whole
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(|row: rusqlite::Result<(String, i64)>| {
            let (id, keys) = row.unwrap();
            assert_eq!(keys, 1, "{id} is half written");
            id
        })
        .collect();
    // Of each that was killed, one write may have been made without a word.
    let unheard = stored.len() - acknowledged.len();
    assert!(unheard as u64 <= kills, "{unheard} of {kills}");

    let store = SqliteStore::open(&path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (number, api_key) in acknowledged {
        let key = IntegrationApiKey::parse(&SecretString::from(api_key)).unwrap();
        let answer = runtime.block_on(store.look_up(key.integration_id(), key.key_id()));
        match answer.unwrap() {
            Answer::Found(found) => assert_eq!(found.secret_hash, Some(key.secret_hash())),
            other => panic!("writer-{number} is lost: {other:?}"),
        }
    }
}

/// A shell and the process that it runs, which die together.
struct Killable {
    shell: Child,
    lines: Receiver<String>,
}

impl Killable {
    fn start(path: &Path, next: usize) -> Self {
        let mut shell = Command::new("sh")
            .args(["-c", OPERATOR, env!("CARGO_BIN_EXE_token-exchange")])
            .args([next.to_string(), WRITES.to_string()])
            .env_clear()
            .env("KEY_STORE", format!("sqlite:{}", path.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let output = BufReader::new(shell.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { shell, lines }
    }

    /// Hears of some writes, and goes on listening for a moment. Whether the work came to its end.
    fn listen(
        &self,
        acknowledged: &mut Vec<(usize, String)>,
        writes: usize,
        moment: Duration,
    ) -> bool {
        let enough = acknowledged.len() + writes;
        let mut until = Instant::now() + WITHIN;
        let mut is_last_moment = false;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => hear(&line, acknowledged),
                Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) => {
                    assert!(is_last_moment, "{writes} writes were not heard of within {WITHIN:?}");
                    return false;
                }
            }
            if acknowledged.len() >= enough && !is_last_moment {
                is_last_moment = true;
                until = Instant::now() + moment;
            }
        }
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = kill_process_group(Pid::from_child(&self.shell), Signal::KILL);
        self.shell.wait().unwrap();
    }

    /// What was said before the end.
    fn drain(&self, acknowledged: &mut Vec<(usize, String)>) {
        for line in &self.lines {
            hear(&line, acknowledged);
        }
    }
}

/// Takes note of a key that was printed: it was promised, then.
fn hear(line: &str, acknowledged: &mut Vec<(usize, String)>) {
    if let Some(key) = line.strip_prefix("API Key:").map(str::trim) {
        let number = key.strip_prefix("mlabk.cii_writer-").and_then(|key| key.split('.').next());
        acknowledged.push((number.unwrap().parse().unwrap(), key.to_owned()));
    }
    assert!(!line.starts_with("error"), "{line}");
}
