//! The table of metrics in README.md is the page: every family, every label and every value of one,
//! and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use super::whole;
use crate::support::metrics_page::Page;

const README: &str = include_str!("../../../README.md");

/// The families that existed before, whose series appear with their first request.
const KEPT: [&str; 4] = [
    "tokenexchange_autojoin_request_duration_seconds",
    "tokenexchange_autojoin_requests_total",
    "tokenexchange_integration_request_duration_seconds",
    "tokenexchange_integration_requests_total",
];

/// What the table says of a family.
#[derive(Debug)]
pub struct Told {
    pub kind: String,
    pub labels: BTreeMap<String, Values>,
}

/// What the table says of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// All that it can have.
    These(BTreeSet<String>),
    /// It depends on the build, the key set or the key: `…`.
    Open,
}

/// The table. The values of labels stand in rows of their own, below the families that have them.
pub fn table() -> BTreeMap<String, Told> {
    let (_, section) = README.split_once("\n## Metrics\n").expect("there is a part about metrics");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let mut told = BTreeMap::<String, Told>::new();
    let mut block = Vec::<String>::new();
    let mut is_ended = false;
    for row in rows {
        let (name, cells) = row.split_once("` |").expect("a name");
        let [kind, labels, _meaning] = cells
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
            .try_into()
            .expect("four cells");
        if let Some((label, value)) = name.split_once('=') {
            is_ended = true;
            let value = value.trim_matches('"');
            let of =
                block.iter().filter(|family| told[*family].labels.contains_key(label)).cloned();
            let of: Vec<String> = of.collect();
            assert!(!of.is_empty(), "{row}: no family above it has this label");
            for family in of {
                let values = told.get_mut(&family).and_then(|told| told.labels.get_mut(label));
                values.expect("it has the label").add(value);
            }
            continue;
        }
        if std::mem::take(&mut is_ended) {
            block.clear();
        }
        block.push(name.to_owned());
        let labels = labels.split(", ").filter(|label| !label.is_empty());
        let nothing = || Values::These(BTreeSet::new());
        let labels = labels.map(|label| (label.trim_matches('`').to_owned(), nothing())).collect();
        let is_new = told.insert(name.to_owned(), Told { kind, labels }).is_none();
        assert!(is_new, "twice in the table: {name}");
    }
    told
}

impl Values {
    fn add(&mut self, value: &str) {
        match self {
            Self::These(values) if value != "…" => drop(values.insert(value.to_owned())),
            _ => *self = Self::Open,
        }
    }
}

#[tokio::test]
async fn it_has_every_family_of_the_page_with_its_type_and_no_other() {
    let served = Page::read(&whole::page().await).families;
    let told = table().into_iter().map(|(name, told)| (name, told.kind)).collect();
    assert_eq!(served, told);
}

#[tokio::test]
async fn it_has_every_label_and_every_value_of_it_and_each_is_there_from_the_start() {
    let page = Page::read(&whole::page().await);
    for (family, Told { labels, .. }) in table() {
        let served = page.labels_of(&family);
        assert_eq!(
            served.keys().copied().collect::<Vec<_>>(),
            labels.keys().map(String::as_str).collect::<Vec<_>>(),
            "{family}"
        );
        for (label, values) in labels {
            let served = &served[label.as_str()];
            match values {
                Values::Open => {}
                // Only what has been requested is there.
                Values::These(told) if KEPT.contains(&family.as_str()) => {
                    assert!(served.iter().all(|value| told.contains(*value)), "{family}, {label}");
                }
                Values::These(told) => {
                    let told: BTreeSet<&str> = told.iter().map(String::as_str).collect();
                    assert_eq!(*served, told, "{family}, {label}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_counter_is_at_0_before_the_first_request() {
    let page = Page::read(&whole::page().await);
    let has_moved = |name: &str| {
        KEPT.iter().any(|kept| name.starts_with(kept))
            // One question was asked to have a skew of the clocks.
            || name.starts_with("tokenexchange_datastore_")
            || name.starts_with("process_")
    };
    for (series, value) in page.series.iter().filter(|(series, _)| !has_moved(series)) {
        let is_counter = ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .any(|suffix| crate::support::metrics_page::name_of(series).ends_with(suffix));
        assert!(!is_counter || *value == 0.0, "{series} {value}");
    }
}
