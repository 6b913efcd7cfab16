//! What the page says of the process is what the system says of it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::metrics_page::Page;
use crate::support::operator::Operator;
use crate::support::service::Launch;

#[test]
fn files_memory_and_start_are_those_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let launch = Launch::token_exchange_after("ulimit -n 512").recorded_signing_key();
    let service = operator.serve(launch);
    let page = Page::read(&service.metrics_page());
    let figure = |name: &str| page.series[name];

    assert!((figure("process_max_fds") - 512.0).abs() < 0.5);
    let proc = format!("/proc/{}", service.process.id());
    let files = fs::read_dir(format!("{proc}/fd")).unwrap().count();
    // The connection that asked for the page was one of them, and may be gone.
    let files = i32::try_from(files).unwrap();
    assert!((figure("process_open_fds") - f64::from(files)).abs() <= 2.0, "{files}");

    let status = fs::read_to_string(format!("{proc}/status")).unwrap();
    for (name, member) in
        [("process_resident_memory_bytes", "VmRSS:"), ("process_virtual_memory_bytes", "VmSize:")]
    {
        let line = status.lines().find_map(|line| line.strip_prefix(member)).unwrap();
        let kibibytes: f64 = line.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        let told = figure(name) / 1024.0;
        assert!((told / kibibytes - 1.0).abs() < 0.2, "{name}: {told} KiB, {kibibytes} KiB");
    }

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - figure("process_start_time_seconds");
    assert!((0.0..60.0).contains(&age), "{age}");
    let spent = figure("process_cpu_seconds_total");
    assert!(spent > 0.0 && spent.fract() != 0.0 && spent < 60.0, "{spent}");
}

#[test]
fn the_build_is_told_by_its_version_and_commit() {
    let folder = tempfile::tempdir().unwrap();
    let operator = Operator::on_sqlite(&folder.path().join("keys.db"));
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let page = Page::read(&service.metrics_page());
    let labels = page.labels_of("tokenexchange_build_info");
    let version =
        Launch::token_exchange().arg("--version").run(crate::support::service::START_WITHIN);
    let told = |label: &str| labels[label].first().copied().unwrap().to_owned();
    assert!(version.stdout.contains(&format!(" {}", told("version"))), "{}", version.stdout);
    let commit = told("commit");
    let is_known = version.stdout.contains('(');
    assert_eq!(version.stdout.contains(&commit), is_known, "{commit}: {}", version.stdout);
}
