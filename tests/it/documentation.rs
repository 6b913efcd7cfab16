//! What the documents say is what the program does: flags, messages, limits, tests. The table of
//! metrics is held by `telemetry::table`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use token_exchange::doctor::Code;
use token_exchange::exchange::Reason;
use token_exchange::explain::{self, ADVICE, Advice};
use token_exchange::key_store::UnavailableKind;
use token_exchange::telemetry::audit;

use crate::support::service::Launch;

const README: &str = include_str!("../../README.md");
const RECORDS: &str = include_str!("../../docs/records.md");
const ARCHITECTURE: &str = include_str!("../../docs/architecture.md");

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn every_flag_of_every_command_is_in_the_readme() {
    for command in [
        "serve",
        "dev",
        "create-integration",
        "integration list",
        "integration show",
        "integration create",
        "integration-key list",
        "integration-key show",
        "integration-key create",
        "integration-key generate",
        "integration-key import",
        "integration-key roll",
        "integration-key revoke",
        "integration-key expire",
        "organization list",
        "organization show",
        "organization create",
        "organization-key list",
        "organization-key create",
        "organization-key roll",
        "organization-key revoke",
        "organization-key expire",
        "doctor",
        "export",
        "apply",
        "explain",
        "explain-token",
        "compare",
    ] {
        let flags = flags_of(&help(command));
        assert!(!flags.is_empty(), "{command}: {flags:?}");
        for flag in flags {
            let is_told = README.contains(&format!("`-{flag}`"));
            assert!(is_told, "-{flag} of {command} is not in the README");
        }
    }
}

#[test]
fn the_configuration_table_has_the_flags_of_serve_their_variables_and_their_defaults() {
    let help = help("serve");
    let rows: Vec<[&str; 3]> = rows(section(README, "## Configuration"))
        .filter(|row| row[0].starts_with("`-"))
        .map(|row| [0, 1, 2].map(|cell| row[cell].trim_matches('`')))
        .collect();
    let told: BTreeSet<String> =
        rows.iter().map(|[flag, ..]| flag.trim_start_matches('-').to_owned()).collect();
    assert_eq!(told, flags_of(&help));
    for [flag, variable, default] in rows {
        let name = flag.trim_start_matches('-');
        assert_eq!(variable, name.to_uppercase().replace(['-', '.'], "_"), "{flag}");
        // A default is told once a flag, before the next flag.
        let (_, after) = help.split_once(&format!("--{name} ")).unwrap();
        let about = after.split(" --").next().unwrap();
        assert!(about.contains(&format!("[default: {default}]")), "{flag}: {about}");
    }
}

#[test]
fn refusals_to_start_are_in_the_readme_word_for_word() {
    let folder = tempfile::tempdir().unwrap();
    let golden = fs::read_to_string("tests/golden/signing-key.jwk").unwrap();
    let key: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let changed = |change: fn(&mut serde_json::Map<String, serde_json::Value>)| {
        let mut key = key.clone();
        change(key.as_object_mut().unwrap());
        key.to_string()
    };
    let key_files = [
        "not JSON".to_owned(),
        changed(|key| key.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&&**name))),
        changed(|key| drop(key.remove("kid"))),
        changed(|key| drop(key.insert("kty".to_owned(), "oct".into()))),
        changed(|key| drop(key.insert("alg".to_owned(), "ES256".into()))),
    ];
    let refused = |arguments: &[&str], environment: &[(&str, &str)]| {
        let launch = Launch::token_exchange().current_dir(folder.path());
        let launch = arguments.iter().fold(launch, |launch, argument| launch.arg(argument));
        let launch =
            environment.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let finished = launch.run(WITHIN);
        assert_eq!(finished.status.code(), Some(1), "{arguments:?} {}", finished.stderr);
        finished.stderr.lines().last().unwrap_or_default().to_owned()
    };

    let mut lines = vec![
        refused(&["-port=9990"], &[]),
        refused(&["-port=70000"], &[]),
        refused(&["-key-store=sqlite:keys.db", "-project-id=x"], &[]),
        refused(&["-cache-fresh=1m"], &[]),
        refused(&["-cache-max-age=15m"], &[]),
        refused(&["-cache-capacity=2000000"], &[]),
        refused(&["-audit=required", "-log-level=warn"], &[]),
        refused(&[], &[("RUST_LOG", "debgu")]),
        refused(&[], &[("PORT", "")]),
        refused(&[], &[("K_SERVICE", "auth"), ("DATASTORE_EMULATOR_HOST", "localhost:1")]),
    ];
    let at_the_default_path = |line: String| line.replace("key.jwk", "/secrets/jwk-priv.json");
    lines.push(at_the_default_path(refused(&["-private-key-path=key.jwk"], &[])));
    for content in key_files {
        fs::write(folder.path().join("key.jwk"), content).unwrap();
        lines.push(at_the_default_path(refused(&["-private-key-path=key.jwk"], &[])));
    }
    fs::write(folder.path().join("key.jwk"), golden).unwrap();
    let no_credentials = [("GOOGLE_APPLICATION_CREDENTIALS", "/nothing.json")];
    lines.push(refused(&["-private-key-path=key.jwk"], &no_credentials));
    let with_key = |flag| ["-private-key-path=key.jwk", flag];
    lines.extend([
        refused(&with_key("-datastore-endpoint=http://example.org"), &[]),
        refused(
            &with_key("-datastore-endpoint=https://example.org"),
            &[("DATASTORE_EMULATOR_HOST", "localhost:1")],
        ),
        refused(&with_key("-datastore-ca-file=/nothing.pem"), &[]),
        refused(&with_key("-port=0"), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")]),
    ]);

    for line in lines {
        assert!(README.contains(&format!("`{line}`")), "not in the README: {line}");
    }
}

#[test]
fn every_variable_that_is_read_of_opentelemetrys_is_in_the_readme_and_no_other() {
    let source = fs::read_to_string("src/config/traces.rs").unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap();
    let is_one = |name: &&str| name.starts_with("OTEL_");
    let read: BTreeSet<&str> = between(code, "\"", "\"").filter(is_one).collect();
    let told: BTreeSet<&str> =
        between(section(README, "## Configuration"), "`", "`").filter(is_one).collect();
    assert!(read.len() > 10, "the variables have moved: {read:?}");
    assert_eq!(read, told);
}

#[test]
fn every_reason_to_refuse_a_request_is_in_the_table_of_errors() {
    let table = section(ARCHITECTURE, "## Errors");
    let mut reasons = 0;
    for file in [
        "exchange.rs",
        "claims.rs",
        "signer.rs",
        "exchange/door.rs",
        "key_store.rs",
        "http/request_body.rs",
        "telemetry/audit.rs",
    ] {
        let text = fs::read_to_string(Path::new("src").join(file)).unwrap();
        // Words with values in them are told in other words.
        for reason in between(&text, "#[error(\"", "\")]").filter(|words| !words.contains('{')) {
            reasons += 1;
            assert!(table.contains(reason), "{file}: {reason:?} is not in the table");
        }
    }
    assert!(reasons > 10, "the reasons have moved");
}

/// What `explain` says, and in the same order.
#[test]
fn the_readme_gives_the_advice_of_explain_word_for_word() {
    let (_, table) = README.split_once("\n| Reason | What happened | What to do |\n").unwrap();
    let told: Vec<_> = table.lines().skip(1).take_while(|line| line.starts_with('|')).collect();
    let row = |advice: &Advice| {
        let cause = advice.cause.map(|cause| format!(", `{cause}`")).unwrap_or_default();
        format!("| `{}`{cause} | {} | {} |", advice.reason, advice.happened, advice.remedy)
    };
    assert_eq!(told, ADVICE.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn explain_knows_every_reason_and_the_causes_of_not_knowing() {
    assert_eq!(explain::SCHEMA, audit::SCHEMA, "of the record that is read, and written");
    for reason in Reason::ALL {
        assert!(Advice::on(reason.as_str(), None).is_some(), "{}", reason.as_str());
    }
    for cause in [
        UnavailableKind::Unreachable,
        UnavailableKind::TooSlow,
        UnavailableKind::Refused,
        UnavailableKind::Credentials,
    ] {
        let cause = cause.to_string();
        let told = Advice::on("unavailable", Some(&cause)).unwrap();
        assert_eq!(told.cause, Some(&*cause));
    }
}

/// Programs go by them: whoever renames one has to do it here, too, and sees what that breaks.
#[test]
fn the_table_of_findings_has_every_code_of_the_doctor_and_no_other() {
    let table = section(RECORDS, "## What the doctor finds");
    let written: Vec<_> =
        rows(table).skip(1).map(|cells| cells[0].trim_matches('`').to_owned()).collect();
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(written, codes);
}

#[test]
fn every_limit_of_the_source_is_in_the_table_with_its_value() {
    let table = section(ARCHITECTURE, "## Lifetimes and limits");
    let limits: Vec<Limit> = files_under(Path::new("src"))
        .iter()
        .filter(|file| !file.ends_with("tests.rs"))
        .flat_map(limits_of)
        .collect();
    assert!(limits.len() > 40, "the limits have moved: {limits:?}");
    for Limit { file, name, value } in &limits {
        let place = format!("`{file}` `{name}`");
        let row = table.lines().find(|row| row.contains(&place));
        let row = row.unwrap_or_else(|| panic!("{place} is not in the table"));
        assert!(row.starts_with(&format!("| {value} ")), "{place} is {value}: {row}");
    }
}

#[test]
fn every_place_that_the_table_of_limits_names_exists() {
    for row in rows(section(ARCHITECTURE, "## Lifetimes and limits")).filter(|row| row.len() == 4) {
        let mut words = between(row[2], "`", "`");
        let Some(file) = words.next() else { continue };
        let text = fs::read_to_string(Path::new("src").join(file)).unwrap_or_default();
        let name = words.next().unwrap_or_default();
        let name = name.rsplit("::").next().unwrap_or_default();
        assert!(!text.is_empty() && text.contains(name), "there is no {}", row[2]);
    }
}

#[test]
fn every_test_that_guards_an_invariant_exists() {
    let mut tests = 0;
    for span in between(section(ARCHITECTURE, "## Invariants"), "`", "`") {
        let Some((subject, name)) = span.split_once("::") else { continue };
        if !subject.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_') {
            continue;
        }
        tests += 1;
        let head = Path::new("tests/it").join(subject).with_extension("rs");
        let rooms = files_under(&head.with_extension(""));
        let is_there = std::iter::once(&head).chain(&rooms).any(|file| {
            let text = fs::read_to_string(file).unwrap_or_default();
            text.contains(&format!("fn {name}("))
        });
        assert!(is_there, "there is no test {span}");
    }
    assert!(tests > 15, "the invariants have moved");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/migration.md",
        "docs/audit.md",
        "docs/operations.md",
        "docs/records.md",
    ] {
        let text = fs::read_to_string(document).unwrap();
        for link in between(&text, "](", ")").filter(|link| !link.contains("://")) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = Path::new(document).parent().unwrap().join(file);
            let target = if file.is_empty() { PathBuf::from(document) } else { target };
            let linked = fs::read_to_string(&target);
            let linked = linked.unwrap_or_else(|_| panic!("{document}: {link} leads nowhere"));
            let is_heading = |line: &str| {
                line.starts_with('#') && anchor(line.trim_start_matches('#').trim()) == heading
            };
            let is_there = heading.is_empty() || linked.lines().any(is_heading);
            assert!(is_there, "{document}: there is no heading {link}");
        }
    }
}

/// What `--help` says of a command, in one line.
fn help(command: &str) -> String {
    let launch = command.split(' ').fold(Launch::token_exchange(), Launch::arg);
    let finished = launch.arg("--help").run(WITHIN);
    finished.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn flags_of(help: &str) -> BTreeSet<String> {
    let (_, options) = help.split_once("Options:").expect("the help has a list of options");
    let flags = options.split(' ').filter_map(|word| word.strip_prefix("--"));
    flags.filter(|flag| !matches!(*flag, "help" | "version")).map(str::to_owned).collect()
}

/// A part of a document: from its heading to the next of the same level.
fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let (_, rest) = document
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("there is no part {heading}"));
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The cells of the rows of all tables.
fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    lines.map(|line| line.split('|').map(str::trim).collect())
}

fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, begun) = rest.split_once(before)?;
        let (found, left) = begun.split_once(after)?;
        rest = left;
        Some(found)
    })
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[derive(Debug)]
struct Limit {
    /// Relative to `src`.
    file: String,
    name: String,
    /// As the table writes it.
    value: String,
}

/// The constants of a file, and the fields of its constants, that are a time, a size or a number.
fn limits_of(file: &PathBuf) -> Vec<Limit> {
    let text = fs::read_to_string(file).unwrap();
    let file = file.strip_prefix("src").unwrap().display().to_string();
    let of_line = |line: &str| {
        let line = line.trim();
        let (name, value) = match line.split_once("const ") {
            Some((_, constant)) => {
                let (name, rest) = constant.split_once(": ")?;
                let (kind, value) = rest.strip_suffix(';')?.split_once(" = ")?;
                ["Duration", "usize", "u64", "i64", "i32"]
                    .contains(&kind)
                    .then_some((name, value))?
            }
            None if file.starts_with("http/server") => line.strip_suffix(',')?.split_once(": ")?,
            None => return None,
        };
        Some(Limit { file: file.clone(), name: name.to_owned(), value: as_written(value)? })
    };
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines().filter_map(of_line).collect()
}

/// `Duration::from_secs(5)` as `5 s`, `16 * 1024` as `16 KiB`, `2048` and `2_048` as `2,048`.
fn as_written(value: &str) -> Option<String> {
    let argument = |function| value.strip_prefix(function)?.strip_suffix(')');
    let (number, unit) = if let Some(seconds) = argument("Duration::from_secs(") {
        (seconds, " s")
    } else if let Some(minutes) = argument("Duration::from_mins(") {
        (minutes, " min")
    } else if let Some(millis) = argument("Duration::from_millis(") {
        (millis, " ms")
    } else if let Some(kibibytes) = value.strip_suffix(" * 1024") {
        (kibibytes, " KiB")
    } else {
        (value, "")
    };
    let number: u64 = number.replace('_', "").parse().ok()?;
    Some(with_commas(number) + unit)
}

fn with_commas(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", with_commas(number / 1000), number % 1000),
    }
}

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { files_under(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
