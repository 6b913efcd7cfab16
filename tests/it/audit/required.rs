//! `-audit required`: no answer without its record, whatever becomes of standard error.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::house::{WITHIN, body};
use crate::support::eventually::eventually;
use crate::support::http_client::{Answer, Request};
use crate::support::log::records;
use crate::support::service::Launch;

/// A second, and what a machine takes that builds something else meanwhile.
const BOUND: Duration = Duration::from_secs(8);

/// Far more records than a pipe holds.
const PIPEFULS: usize = 500;

#[test]
fn an_answer_comes_only_when_its_record_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let dev = Dev::start(Stdio::from(File::create(&log).unwrap()));
    for (number, (key, status)) in
        [(dev.api_key.clone(), 200), ("wrong".to_owned(), 401), ("also wrong".to_owned(), 401)]
            .into_iter()
            .enumerate()
    {
        let id = format!("request-{number}");
        assert_eq!(dev.exchange(&key, &id).status, status);
        // No waiting: it is there.
        let written = records(&std::fs::read_to_string(&log).unwrap());
        assert_eq!(written.len(), number + 1);
        assert_eq!(written[number]["audit"]["request_id"], id.as_str());
        assert_eq!(written[number]["httpRequest"]["status"], status);
    }
}

#[test]
fn while_nobody_holds_the_other_end_of_the_log_nobody_gets_a_token() {
    let mut dev = Dev::start(Stdio::piped());
    drop(dev.child.stderr.take());
    dev.gives_no_token();
    assert!(dev.metric("tokenexchange_log_lines_dropped_total{kind=\"audit\"}") >= 2);
}

#[test]
#[cfg(target_os = "linux")]
fn while_the_disk_of_the_log_is_full_nobody_gets_a_token() {
    let dev = Dev::start(Stdio::from(File::options().write(true).open("/dev/full").unwrap()));
    dev.gives_no_token();
}

#[test]
fn while_nobody_reads_the_log_answers_come_in_time_and_hold_no_token() {
    let mut dev = Dev::start(Stdio::piped());
    let granted = (0..PIPEFULS).take_while(|number| {
        let begun = Instant::now();
        let status = dev.exchange(&dev.api_key, &format!("request-{number}")).status;
        assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
        status == 200
    });
    let granted = granted.count();
    assert!(granted < PIPEFULS, "a pipe holds more than it can");
    let late = format!("request-{granted}");
    dev.gives_no_token();

    let log = BufReader::new(dev.child.stderr.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = log.lines().map_while(Result::ok);
        let records = lines.flat_map(|line| records(&line));
        records.take_while(|record| record["audit"]["request_id"] != "last").collect::<Vec<_>>()
    });
    eventually("reading goes on", WITHIN, || {
        (dev.exchange(&dev.api_key, "again").status == 200).then_some(())
    });
    assert_eq!(dev.exchange(&dev.api_key, "last").status, 200);
    let read = reader.join().unwrap();
    let last_of = |id: &str| -> &Value {
        let mut of = read.iter().filter(|record| record["audit"]["request_id"] == id);
        &of.next_back().unwrap_or_else(|| panic!("there is no record of {id}"))["audit"]["reason"]
    };
    for number in 0..granted {
        assert_eq!(last_of(&format!("request-{number}")), "granted");
    }
    for id in [&late, "no-token-1", "no-token-2"] {
        assert_eq!(last_of(id), "audit", "it was answered with 503");
    }
}

#[test]
fn a_filter_that_hides_records_contradicts_it() {
    for (name, value) in [("LOG_LEVEL", "warn"), ("RUST_LOG", "token_exchange::audit=off")] {
        let finished = Launch::token_exchange()
            .env(name, value)
            .env("AUDIT", "required")
            .run(Duration::from_secs(30));
        assert_eq!(finished.status.code(), Some(1), "{name}={value}");
        assert!(
            finished.stderr.contains("-audit=required contradicts -log-level or RUST_LOG"),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn a_log_that_leads_nowhere_contradicts_it() {
    for script in ["exec \"$0\" \"$@\" 2>/dev/null", "exec \"$0\" \"$@\" 2>&-"] {
        let folder = tempfile::tempdir().unwrap();
        let finished = Launch::new("/bin/sh")
            .current_dir(folder.path())
            .arg("-c")
            .arg(script)
            .arg(env!("CARGO_BIN_EXE_token-exchange"))
            .arg("dev")
            .arg("-port=0")
            .arg("-prometheusx.listen-address=127.0.0.1:0")
            .arg("-audit=required")
            .run(WITHIN);
        assert_eq!(finished.status.code(), Some(1), "{script}");
        assert_eq!(finished.stdout, "", "{script}");
    }
}

/// `dev` with required records: it says on standard output where it is.
struct Dev {
    child: Child,
    address: String,
    metrics_address: String,
    api_key: String,
    _folder: TempDir,
}

impl Dev {
    fn start(log: Stdio) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_token-exchange"))
            .env_clear()
            .current_dir(folder.path())
            .args(["dev", "-port=0", "-prometheusx.listen-address=127.0.0.1:0"])
            .args(["-audit=required", "-log-format=json"])
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut page = String::new();
        while !page.contains("Stop with Ctrl-C") {
            assert_ne!(said.read_line(&mut page).unwrap(), 0, "it ended: {page}");
        }
        let after = |word: &str| page.split_once(word).unwrap().1.to_owned();
        let port = |text: String| -> String {
            let (_, rest) = text.split_once("localhost:").unwrap();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            format!("127.0.0.1:{digits}")
        };
        let api_key = after(r#""api_key":""#).split('"').next().unwrap().to_owned();
        Self {
            child,
            address: port(after("Service")),
            metrics_address: port(after("Metrics")),
            api_key,
            _folder: folder,
        }
    }

    fn exchange(&self, api_key: &str, request_id: &str) -> Answer {
        let request = Request::post("/v0/token/integration", body(api_key));
        let request = request.header("X-Request-Id", request_id);
        request.send(&self.address, WITHIN).expect("every request gets an answer")
    }

    fn gives_no_token(&self) {
        let unrecorded = r#"tokenexchange_rejections_total{family="integration",reason="audit"}"#;
        let before = self.metric(unrecorded);
        for (key, id) in [(self.api_key.as_str(), "no-token-1"), ("wrong", "no-token-2")] {
            let begun = Instant::now();
            let answer = self.exchange(key, id);
            assert!(begun.elapsed() < BOUND, "{:?}", begun.elapsed());
            assert_eq!(answer.status, 503);
            assert_eq!(answer.text(), "Service unavailable, please try again\n");
            assert_eq!(answer.header("Retry-After"), Some("1"));
            assert_eq!(answer.header("X-Request-Id"), Some(id));
        }
        assert_eq!(self.metric(unrecorded), before + 2);
    }

    fn metric(&self, series: &str) -> u64 {
        let page = Request::get("/metrics").send(&self.metrics_address, WITHIN).unwrap().text();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series}:\n{page}")).parse().unwrap()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
