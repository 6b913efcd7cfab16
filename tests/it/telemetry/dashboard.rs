//! The dashboard: Grafana can import it, and it shows what there is.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::promql::Names;
use super::promtool::Promtool;
use super::table::table;

fn dashboard() -> Value {
    serde_json::from_str(&fs::read_to_string("deploy/grafana/dashboard.json").unwrap()).unwrap()
}

/// Each expression, and the labels that its legend or text shows.
fn queries() -> Vec<(String, Vec<String>)> {
    let dashboard = dashboard();
    let of = |query: &Value, legend: &str| {
        let shown = query[legend].as_str().unwrap_or_default().split("{{").skip(1);
        let shown = shown.map(|rest| rest.split("}}").next().unwrap().to_owned());
        (query["expr"].as_str().unwrap().to_owned(), shown.collect())
    };
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let annotations = dashboard["annotations"]["list"].as_array().unwrap().iter();
    targets
        .map(|target| of(target, "legendFormat"))
        .chain(annotations.map(|annotation| of(annotation, "nothing")))
        .collect()
}

#[test]
fn it_names_only_metrics_labels_and_values_of_the_table() {
    let table = table();
    for (expression, shown) in queries() {
        let mut names = Names::of(&expression);
        // What a legend shows has to be there, as what is grouped by.
        names.labels.extend(shown);
        let objections = names.object(&table, &[]);
        assert_eq!(objections, [""; 0], "{expression}");
    }
}

#[test]
fn it_shows_every_metric() {
    /// Addresses are no memory, and say nothing that an operator could act on.
    const NOT_SHOWN: [&str; 1] = ["process_virtual_memory_bytes"];
    let named: BTreeSet<String> = queries()
        .iter()
        .flat_map(|(expression, _)| Names::of(expression).selectors)
        .map(|selector| crate::support::metrics_page::family_of(&selector.metric).to_owned())
        .collect();
    let missing: Vec<String> = table()
        .into_keys()
        .filter(|family| !named.contains(family) && !NOT_SHOWN.contains(&family.as_str()))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn promtool_takes_every_expression() {
    let Some(promtool) = Promtool::find() else { return };
    let rules = queries().into_iter().enumerate().map(|(number, (expression, _))| {
        let expression = expression.replace("$__rate_interval", "1m");
        json!({ "record": format!("panel:{number}"), "expr": expression })
    });
    let groups = json!({ "groups": [{ "name": "panels", "rules": rules.collect::<Vec<_>>() }] });
    let file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    fs::write(&file, groups.to_string()).unwrap();
    let verdict = promtool.run(&["check", "rules", file.path().to_str().unwrap()], "");
    assert!(verdict.is_good, "{}", verdict.words);
}

/// What Grafana asks of a dashboard that is imported (its schema, version 39): panels that have a
/// number and a place of their own, and a data source that is chosen there.
#[test]
fn it_can_be_imported() {
    let dashboard = dashboard();
    assert_eq!(dashboard["schemaVersion"], 39);
    assert!(dashboard["id"].is_null() && dashboard["uid"] == "token-exchange");
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|of| panel["gridPos"][of].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        let is_free = (x..x + w).all(|x| (y..y + h).all(|y| places.insert((x, y))));
        assert!(is_free, "{panel}");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
        }
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let names: Vec<_> =
        variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["datasource", "job"]);
    let rows = panels.iter().filter(|panel| panel["type"] == "row");
    let rows: Vec<_> = rows.map(|row| row["title"].as_str().unwrap()).collect();
    let expected = [
        "Is it answering?",
        "Why not?",
        "Keys and rotation",
        "Store",
        "Cache",
        "Signing",
        "Clock",
        "Process",
    ];
    assert_eq!(rows, expected);
}
