//! The table that comes of it, for people and for machines.

use serde::Serialize;

/// The middle of some measurements, and their range.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_unstable_by(f64::total_cmp);
        let (low, high) = (values[0], values[values.len() - 1]);
        let (middle, half) = (values.len() / 2, values.len().is_multiple_of(2));
        let median =
            if half { f64::midpoint(values[middle - 1], values[middle]) } else { values[middle] };
        Self { median, low, high }
    }
}

#[derive(Serialize)]
struct Row {
    section: &'static str,
    measure: String,
    #[serde(flatten)]
    spread: Spread,
    of: usize,
    goal: Option<&'static str>,
}

/// Printed as it grows.
#[derive(Default)]
pub struct Table {
    pub section: &'static str,
    rows: Vec<Row>,
}

impl Table {
    pub fn begin() -> Self {
        println!(
            "{:<8} {:<58} {:>9} {:>9} {:>9} {:>3}  goal",
            "section", "measure", "median", "lowest", "highest", "of"
        );
        Self::default()
    }

    /// What has no goal is there to understand the rest by.
    pub fn row(&mut self, measure: &str, goal: impl Into<Option<&'static str>>, values: &[f64]) {
        let (spread, goal) = (Spread::of(values.iter().copied()), goal.into());
        let figures = [spread.median, spread.low, spread.high].map(shown);
        let (section, of) = (self.section, values.len());
        let [median, low, high] = figures;
        println!(
            "{section:<8} {measure:<58} {median:>9} {low:>9} {high:>9} {of:>3}  {}",
            goal.unwrap_or("")
        );
        self.rows.push(Row { section, measure: measure.to_owned(), spread, of, goal });
    }

    pub fn as_json(&self) -> String {
        let machine = super::machine::describe();
        let table = serde_json::json!({ "machine": machine, "rows": self.rows });
        serde_json::to_string_pretty(&table).unwrap()
    }
}

/// In three digits or more.
fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ => 4,
    };
    format!("{value:.decimals$}")
}
