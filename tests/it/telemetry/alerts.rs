//! The alerts: they name what exists, fire when they should and not else, and say what to do.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use token_exchange::exchange::{Decision, Reason};

use super::promql::Names;
use super::promtool::Promtool;
use super::table::table;

const RULES: &str = "deploy/prometheus/alerts.yaml";
const CONFIG: &str = "deploy/prometheus/prometheus.yml";
const RUNBOOK: &str = "https://github.com/m-lab/token-exchange/blob/main/docs/operations.md#";

#[test]
fn promtool_takes_the_rules_and_the_configuration() {
    let Some(promtool) = Promtool::find() else { return };
    for arguments in [["check", "rules", RULES], ["check", "config", CONFIG]] {
        let verdict = promtool.run(&arguments, "");
        assert!(verdict.is_good, "{arguments:?}: {}", verdict.words);
    }
}

#[test]
fn every_alert_has_cases_in_which_it_fires_and_in_which_it_does_not_and_they_hold() {
    let Some(promtool) = Promtool::find() else { return };
    for name in alerts() {
        let file = format!("tests/alerts/{name}.yaml");
        let cases = yaml(&file);
        let cases = cases["tests"].as_array().unwrap().iter();
        let mut fires = BTreeSet::new();
        for case in cases.flat_map(|case| case["alert_rule_test"].as_array().unwrap()) {
            assert_eq!(case["alertname"], name.as_str(), "{file}");
            fires.insert(!case["exp_alerts"].as_array().unwrap().is_empty());
        }
        assert_eq!(fires, BTreeSet::from([false, true]), "{file}");
        let verdict = promtool.run(&["test", "rules", &file], "");
        assert!(verdict.is_good, "{}", verdict.words);
    }
}

#[test]
fn no_case_is_of_an_alert_that_there_is_not() {
    let files = fs::read_dir("tests/alerts").unwrap().map(|file| file.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|file| file.into_string().unwrap()).collect();
    let expected = alerts().into_iter().map(|name| format!("{name}.yaml")).collect();
    assert_eq!(files, expected);
}

#[test]
fn the_rules_name_only_metrics_labels_and_values_of_the_table() {
    let (table, recorded) = (table(), recorded());
    for rule in rules() {
        let expression = rule["expr"].as_str().unwrap();
        let objections = Names::of(expression).object(&table, &recorded);
        assert_eq!(objections, [""; 0], "{expression}");
    }
}

/// What counts as an error, and what as a refused key, is said in several places.
#[test]
fn the_reasons_that_the_rules_and_the_dashboard_name_are_those_of_their_decisions() {
    let words = |is_meant: &dyn Fn(Reason) -> bool| {
        let reasons = Reason::ALL.into_iter().filter(|reason| is_meant(*reason));
        reasons.map(Reason::as_str).collect::<BTreeSet<_>>()
    };
    let is_error = |reason: Reason| {
        matches!(reason.decision(), Decision::Unavailable | Decision::Shed | Decision::Failed)
    };
    let errors = words(&is_error);
    let of_callers = words(&|reason| reason.decision() == Decision::Refused);
    let of_keys: BTreeSet<_> = of_callers
        .iter()
        .copied()
        .filter(|word| !word.starts_with("bad") && !word.starts_with("body"))
        // Anybody can make those, and nobody is to be woken by a scan.
        .filter(|word| *word != "malformed")
        .collect();
    let dashboard = fs::read_to_string("deploy/grafana/dashboard.json").unwrap();
    let dashboard = dashboard.replace("\\\"", "\"");
    for (text, wanted) in [
        (fs::read_to_string(RULES).unwrap(), [&errors, &of_keys]),
        (dashboard, [&errors, &of_callers]),
    ] {
        let named = text.split("reason=~\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        let named: BTreeSet<BTreeSet<&str>> =
            named.map(|reasons| reasons.split('|').collect()).collect();
        assert_eq!(named, wanted.into_iter().cloned().collect());
    }
}

#[test]
fn every_alert_says_how_urgent_it_is_and_has_its_entry_in_the_runbook() {
    let operations = fs::read_to_string("docs/operations.md").unwrap();
    let (_, runbook) = operations.split_once("\n## Runbook\n").expect("there is a runbook");
    let runbook = runbook.split("\n## ").next().unwrap();
    for rule in rules().iter().filter(|rule| rule["alert"].is_string()) {
        let name = rule["alert"].as_str().unwrap();
        let severity = rule["labels"]["severity"].as_str().unwrap();
        assert!(["page", "ticket"].contains(&severity), "{name}");
        assert!(rule["annotations"]["summary"].is_string(), "{name}");
        let link = format!("{RUNBOOK}{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link.as_str());
        let entry = runbook.split("\n### ").find(|entry| entry.lines().next() == Some(name));
        let entry = entry.unwrap_or_else(|| panic!("{name} is not in the runbook"));
        assert!(entry.contains(&format!("({severity})")), "{name}: {entry}");
        for part in ["**Callers:**", "**Look at:**", "**Do:**", "**Wake:**"] {
            assert!(entry.contains(part), "{name}: {part} is missing");
        }
    }
    let entries = runbook.split("\n### ").skip(1).map(|entry| entry.lines().next().unwrap());
    let entries: BTreeSet<String> = entries.map(str::to_owned).collect();
    assert_eq!(entries, alerts().into_iter().collect());
}

/// The Prometheus of a developer has the alerts, too.
#[test]
fn the_prometheus_of_compose_loads_the_rules() {
    let prometheus = &yaml("compose.yaml")["services"]["prometheus"];
    assert_eq!(prometheus["volumes"][0], "./deploy/prometheus:/etc/prometheus:ro");
    let command = prometheus["command"].as_array().unwrap();
    assert!(command.contains(&"--config.file=/etc/prometheus/prometheus.yml".into()));
    assert_eq!(yaml(CONFIG)["rule_files"], serde_json::json!(["alerts.yaml"]));
}

fn rules() -> Vec<Value> {
    let groups = yaml(RULES);
    let groups = groups["groups"].as_array().unwrap().iter();
    groups.flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

fn alerts() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["alert"].as_str()?.to_owned())).collect()
}

fn recorded() -> Vec<String> {
    rules().iter().filter_map(|rule| Some(rule["record"].as_str()?.to_owned())).collect()
}

fn yaml(file: &str) -> Value {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_saphyr::from_str(&text).unwrap()
}
