//! `dev`: one command, and what it prints works when pasted.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::eventually::eventually;
use crate::support::service::{Launch, Process};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn every_line_that_dev_prints_works_when_pasted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut process, page) = dev(folder.path(), &["-port=0", "-prometheusx.listen-address=:0"]);

    let answers: Vec<Value> = commands(&page).iter().map(|line| paste(line)).collect();

    assert_eq!(answers.len(), 3, "{page}");
    assert!(answers[0]["token"].is_string(), "{answers:?}");
    assert!(answers[1]["token"].is_string(), "{answers:?}");
    assert_eq!(answers[2]["keys"].as_array().map(Vec::len), Some(1), "{answers:?}");
    process.signal(Signal::INT);
    assert!(process.wait_exit(WITHIN).success(), "{}", process.stderr());
}

#[test]
fn dev_uses_again_what_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["-port=0", "-prometheusx.listen-address=:0"];
    let (mut first, first_page) = dev(folder.path(), &flags);
    first.signal(Signal::TERM);
    first.wait_exit(WITHIN);

    let (_second, second_page) = dev(folder.path(), &flags);

    let keys = |page: &str| {
        page.lines().filter(|line| line.contains("api_key")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(keys(&first_page).len(), 2);
    assert_eq!(keys(&first_page), keys(&second_page));
    paste(&commands(&second_page)[0]);
}

#[test]
fn two_that_begin_in_one_folder_at_once_share_what_one_of_them_makes() {
    let folder = tempfile::tempdir().unwrap();
    let begin = || {
        let launch = Launch::token_exchange().arg("dev").arg("-port=0");
        launch.arg("-prometheusx.listen-address=:0").current_dir(folder.path()).spawn()
    };
    let both = [begin(), begin()];
    let keys = both.each_ref().map(|process| {
        let page = page_of(process);
        paste(&commands(&page)[0]);
        page.lines().filter(|line| line.contains("api_key")).map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_store_that_was_removed_gets_demo_keys_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["-port=0", "-prometheusx.listen-address=:0"];
    let (mut first, _) = dev(folder.path(), &flags);
    first.signal(Signal::TERM);
    first.wait_exit(WITHIN);
    std::fs::remove_file(folder.path().join(".token-exchange/keys.db")).unwrap();

    let (_second, page) = dev(folder.path(), &flags);

    for line in &commands(&page)[..2] {
        assert!(paste(line)["token"].is_string(), "{line}");
    }
}

#[test]
fn nobody_is_told_that_the_usual_port_is_taken_who_asked_for_another() {
    let folder = tempfile::tempdir().unwrap();
    let (_process, page) = dev(folder.path(), &["-port=0", "-prometheusx.listen-address=:0"]);
    assert!(!page.contains("is taken"), "{page}");
}

#[test]
fn a_taken_port_is_replaced_by_a_free_one_and_dev_says_so() {
    // Whoever holds the usual port, it is taken from now on.
    let _holder = TcpListener::bind("[::]:8080").or_else(|_| TcpListener::bind("0.0.0.0:8080"));
    let folder = tempfile::tempdir().unwrap();
    let (_process, page) = dev(folder.path(), &[]);
    assert!(page.contains("(port 8080 is taken)"), "{page}");
    paste(&commands(&page)[0]);
}

#[test]
fn only_its_owner_can_read_what_dev_makes() {
    let folder = tempfile::tempdir().unwrap();
    let _process = dev(folder.path(), &["-port=0", "-prometheusx.listen-address=:0"]);
    for name in ["signing-key.jwk", "keys.db", "demo-keys.json"] {
        let file = folder.path().join(".token-exchange").join(name);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn dev_does_not_run_on_cloud_run() {
    let folder = tempfile::tempdir().unwrap();
    let launch = Launch::token_exchange().arg("dev").env("K_SERVICE", "auth");
    let refused = launch.current_dir(folder.path()).run(WITHIN);
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("K_SERVICE"), "{}", refused.stderr);
    assert!(!folder.path().join(".token-exchange").exists());
}

#[test]
fn dev_makes_demo_keys_in_no_store_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    for launch in [
        Launch::token_exchange().arg("dev").arg("-key-store=datastore"),
        Launch::token_exchange().arg("dev").env("KEY_STORE", "sqlite:other.db"),
    ] {
        let refused = launch.current_dir(folder.path()).run(WITHIN);
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains("a store of its own"), "{}", refused.stderr);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

fn dev(folder: &Path, flags: &[&str]) -> (Process, String) {
    let launch = flags.iter().fold(Launch::token_exchange().arg("dev"), |l, flag| l.arg(flag));
    let process = launch.current_dir(folder).spawn();
    let page = page_of(&process);
    (process, page)
}

fn page_of(process: &Process) -> String {
    eventually("dev prints its page", WITHIN, || {
        let page = process.stdout();
        page.contains("Stop with Ctrl-C").then_some(page)
    })
}

/// The command lines on the page: each begins at the margin and may go on behind a backslash.
fn commands(page: &str) -> Vec<String> {
    page.replace("\\\n", " ")
        .lines()
        .filter(|l| l.starts_with("curl "))
        .map(str::to_owned)
        .collect()
}

fn paste(line: &str) -> Value {
    let output = Command::new("sh").args(["-c", line]).output().expect("there is a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
}
