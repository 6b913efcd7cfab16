//! The page of metrics, read as text: what is on it, and what has moved on it.

use std::collections::{BTreeMap, BTreeSet};

/// A page at some moment.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The type of each family, by its name.
    pub families: BTreeMap<String, String>,
    /// The value of each series, by its name and labels as they stand on the page.
    pub series: BTreeMap<String, f64>,
}

impl Page {
    pub fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(family) = line.strip_prefix("# TYPE ") {
                let (name, kind) = family.split_once(' ').expect("a name and a type");
                page.families.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a series and its value");
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                let is_new = page.series.insert(series.to_owned(), value).is_none();
                assert!(is_new, "twice on the page: {series}");
            }
        }
        page
    }

    /// The values of each label of a family; the bounds of buckets are none.
    pub fn labels_of(&self, family: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut labels = BTreeMap::<&str, BTreeSet<&str>>::new();
        for series in self.series.keys().filter(|series| family_of(name_of(series)) == family) {
            for (label, value) in labels_in(series).filter(|(label, _)| *label != "le") {
                labels.entry(label).or_default().insert(value);
            }
        }
        labels
    }
}

/// The name of a series.
pub fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

/// The family that a name belongs to: a histogram has three names.
pub fn family_of(name: &str) -> &str {
    let of_a_histogram = |suffix| {
        let family: &str = str::strip_suffix(name, suffix)?;
        family.ends_with("_seconds").then_some(family)
    };
    ["_bucket", "_sum", "_count"].into_iter().find_map(of_a_histogram).unwrap_or(name)
}

/// The labels of a series and their values.
pub fn labels_in(series: &str) -> impl Iterator<Item = (&str, &str)> {
    let labels = series.split_once('{').map_or("", |(_, labels)| labels.trim_end_matches('}'));
    // No value of ours holds a comma or a quote.
    labels.split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name, value.trim_matches('"')))
    })
}
