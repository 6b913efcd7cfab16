//! Families of metrics made of figures that others keep, as a collector hands them over.

use std::collections::HashMap;

use prometheus::core::Desc;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};

use crate::histogram::Durations;

/// The name of a family, and its help.
pub(super) type Named = (&'static str, &'static str);

pub(super) fn describe((name, help): Named, labels: &[&str]) -> prometheus::Result<Desc> {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new())
}

pub(super) fn counter(family: Named, value: u64) -> MetricFamily {
    fractional_counter(family, as_float(value))
}

pub(super) fn fractional_counter(family: Named, value: f64) -> MetricFamily {
    of(family, MetricType::COUNTER, vec![counted(value)])
}

/// A series for each value of a label.
pub(super) fn counters<'a>(
    family: Named,
    label: &str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) -> MetricFamily {
    let series =
        values.into_iter().map(|(is, value)| labelled(counted(as_float(value)), label, is));
    of(family, MetricType::COUNTER, series.collect())
}

pub(super) fn gauge(family: Named, value: u64) -> MetricFamily {
    fractional_gauge(family, as_float(value))
}

pub(super) fn fractional_gauge(family: Named, value: f64) -> MetricFamily {
    of(family, MetricType::GAUGE, vec![measured(value)])
}

/// A series for each value of a label.
pub(super) fn gauges<'a>(
    family: Named,
    label: &str,
    values: impl IntoIterator<Item = (&'a str, u64)>,
) -> MetricFamily {
    let series =
        values.into_iter().map(|(is, value)| labelled(measured(as_float(value)), label, is));
    of(family, MetricType::GAUGE, series.collect())
}

/// A series for each value of a label.
pub(super) fn histograms<'a>(
    family: Named,
    label: &str,
    values: impl IntoIterator<Item = (&'a str, Durations)>,
) -> MetricFamily {
    let series = values.into_iter().map(|(is, durations)| labelled(spread(durations), label, is));
    of(family, MetricType::HISTOGRAM, series.collect())
}

fn spread(durations: Durations) -> Metric {
    let buckets = durations.buckets.into_iter().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(durations.count);
    histogram.set_sample_sum(durations.sum.as_secs_f64());
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    metric
}

fn counted(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn measured(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metric
}

fn labelled(mut metric: Metric, name: &str, value: &str) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    metric.set_label(vec![label]);
    metric
}

fn of((name, help): Named, kind: MetricType, series: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(series);
    family
}

/// Exact up to 2^53, which no figure here reaches.
#[allow(clippy::cast_precision_loss, reason = "no such number comes here")]
fn as_float(value: u64) -> f64 {
    value as f64
}
