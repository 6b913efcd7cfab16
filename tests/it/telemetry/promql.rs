//! What an expression of Prometheus names, held to the table of metrics. Whether it is one at all
//! `promtool` says.

use std::collections::BTreeMap;

use super::table::{Told, Values};
use crate::support::metrics_page::family_of;

/// Words of the language itself, as far as they are used; any other has to be a metric.
const LANGUAGE: [&str; 28] = [
    "abs",
    "absent",
    "and",
    "avg",
    "avg_over_time",
    "by",
    "changes",
    "count",
    "histogram_quantile",
    "increase",
    "label_replace",
    "max",
    "min",
    "on",
    "or",
    "rate",
    "sum",
    "time",
    "unless",
    "vector",
    "offset",
    "bool",
    "ignoring",
    "group_left",
    "sort_desc",
    "clamp_min",
    "topk",
    "without",
];
const GROUPING: [&str; 4] = ["by", "on", "ignoring", "without"];
/// Labels that whoever scrapes adds.
const ADDED: [&str; 3] = ["job", "instance", "faas_instance"];
/// Metrics of Prometheus itself.
const OF_PROMETHEUS: [&str; 2] = ["ALERTS", "up"];

/// A metric, and what is asked of its labels: name, operator, value.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<[String; 3]>,
}

/// What an expression names.
#[derive(Debug, Default)]
pub struct Names {
    pub selectors: Vec<Selector>,
    /// By which it groups.
    pub labels: Vec<String>,
    /// Its texts: the labels that `label_replace` makes are among them.
    pub texts: Vec<String>,
}

impl Names {
    pub fn of(expression: &str) -> Self {
        let mut names = Self::default();
        let mut rest = expression;
        while let Some(first) = rest.chars().next() {
            if first == '"' {
                let (text, after) = rest[1..].split_once('"').expect("a text ends");
                names.texts.push(text.to_owned());
                rest = after;
            } else if first.is_ascii_digit() || first == '$' {
                // A number, a duration, or a variable of the dashboard.
                rest = rest[1..].trim_start_matches(is_of_word);
            } else if is_of_word(first) {
                let word = &rest[..rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())];
                rest = rest[word.len()..].trim_start();
                if GROUPING.contains(&word) {
                    let (labels, after) = enclosed(rest, '(', ')').expect("labels follow");
                    names.labels.extend(labels.split(',').map(|label| label.trim().to_owned()));
                    rest = after;
                } else if !LANGUAGE.contains(&word) {
                    let (matchers, after) = enclosed(rest, '{', '}').unwrap_or(("", rest));
                    let metric = word.to_owned();
                    names.selectors.push(Selector { metric, matchers: matchers_in(matchers) });
                    rest = after;
                }
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
        names
    }

    /// What is wrong with them, if anything. `recorded` are the names of recording rules.
    pub fn object(&self, table: &BTreeMap<String, Told>, recorded: &[String]) -> Vec<String> {
        let mut known: Vec<&str> = ADDED.to_vec();
        known.extend(self.texts.iter().map(String::as_str));
        let mut objections = Vec::new();
        for Selector { metric, matchers } in &self.selectors {
            if OF_PROMETHEUS.contains(&metric.as_str()) || recorded.contains(metric) {
                continue;
            }
            let family = family_of(metric);
            let Some(Told { kind, labels }) = table.get(family) else {
                objections.push(format!("there is no metric {metric}"));
                continue;
            };
            if (kind == "histogram") == (family == metric) {
                objections.push(format!("{metric} is no series of a {kind}"));
            }
            known.extend(labels.keys().map(String::as_str));
            if metric.ends_with("_bucket") {
                known.push("le");
            }
            for [label, operator, value] in matchers {
                match labels.get(label) {
                    None if ADDED.contains(&label.as_str()) => {}
                    None => objections.push(format!("{metric} has no label {label}")),
                    Some(values) => {
                        let is_pattern = operator.contains('~');
                        let wanted = value.split('|').filter(|_| is_pattern);
                        let wanted = wanted.chain(Some(value.as_str()).filter(|_| !is_pattern));
                        let strange = wanted.filter(|value| !allows(values, value));
                        objections
                            .extend(strange.map(|value| format!("{metric}: no {label} {value}")));
                    }
                }
            }
        }
        let unknown = self.labels.iter().filter(|label| !known.contains(&label.as_str()));
        objections.extend(unknown.map(|label| format!("nothing has a label {label}")));
        objections
    }
}

fn allows(values: &Values, value: &str) -> bool {
    match values {
        Values::These(values) => values.contains(value),
        Values::Open => true,
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

/// What stands between two signs at the beginning, and what follows.
fn enclosed(text: &str, opening: char, closing: char) -> Option<(&str, &str)> {
    text.strip_prefix(opening)?.split_once(closing)
}

fn matchers_in(text: &str) -> Vec<[String; 3]> {
    let matchers = text.split(',').map(str::trim).filter(|matcher| !matcher.is_empty());
    let parts = matchers.map(|matcher| {
        let label: String = matcher.chars().take_while(|letter| is_of_word(*letter)).collect();
        let (operator, value) = matcher[label.len()..].split_once('"').expect("a value in quotes");
        let value = value.trim_end_matches('"').to_owned();
        [label, operator.trim().to_owned(), value]
    });
    parts.collect()
}

#[test]
fn what_an_expression_names_is_seen() {
    let names = Names::of(
        r#"sum by (job, reason) (rate(a_total{job="$job", reason=~"x|y"}[$__rate_interval])) / 2.5e3
           unless on (job) label_replace(b:rate5m > 0, "c", "d", "", "") offset 5m"#,
    );
    let matcher = |parts: [&str; 3]| parts.map(str::to_owned);
    let a = vec![matcher(["job", "=", "$job"]), matcher(["reason", "=~", "x|y"])];
    assert_eq!(names.selectors[0], Selector { metric: "a_total".to_owned(), matchers: a });
    assert_eq!(names.selectors[1].metric, "b:rate5m");
    assert_eq!(names.selectors.len(), 2);
    assert_eq!(names.labels, ["job", "reason", "job"]);
    assert_eq!(names.texts, ["c", "d", "", ""]);
}
