//! Metrics as OTLP's messages (opentelemetry-proto 1.x, `metrics.proto`): what was counted since the start, each time.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric as Message, NumberDataPoint,
    ScopeMetrics, Sum, metric, number_data_point,
};

use crate::storage::metrics::instruments::{Distribution, Metric, Points};
use crate::storage::metrics::series::Labels;

/// From when to when something was counted, in nanoseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) start_wall_ns: u64,
    pub(super) now_wall_ns: u64,
}

/// The metrics of each meter. One that has counted nothing is left out, as LMCache's exporter does.
pub(super) fn scope_metrics(metrics: Vec<Metric>, period: Period) -> Vec<ScopeMetrics> {
    let mut by_meter = BTreeMap::<&str, Vec<Message>>::new();
    for metric in metrics {
        if let Some(data) = data(metric.points, period) {
            by_meter.entry(metric.instrument.meter).or_default().push(Message {
                name: metric.instrument.otel_name(),
                description: metric.instrument.help.to_owned(),
                unit: metric.instrument.unit.to_owned(),
                data: Some(data),
                ..Message::default()
            });
        }
    }
    let with_scope = by_meter.into_iter().map(|(name, metrics)| {
        let scope = InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() };
        ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }
    });
    with_scope.collect()
}

fn data(points: Points, period: Period) -> Option<metric::Data> {
    let temporality = AggregationTemporality::Cumulative as i32;
    let data = match points {
        Points::Counts(counts) if !counts.is_empty() => {
            let point = |(labels, count): (Labels, u64)| {
                number(&labels, number_data_point::Value::AsInt(count as i64), period)
            };
            metric::Data::Sum(Sum {
                data_points: counts.into_iter().map(point).collect(),
                aggregation_temporality: temporality,
                is_monotonic: true,
            })
        }
        Points::Gauges(values) if !values.is_empty() => {
            let point = |(labels, value): (Labels, f64)| {
                number(&labels, number_data_point::Value::AsDouble(value), period)
            };
            metric::Data::Gauge(Gauge { data_points: values.into_iter().map(point).collect() })
        }
        Points::Histograms { bounds, points } if !points.is_empty() => {
            let point = |(labels, seen): (Labels, Distribution)| distribution(&labels, seen, bounds, period);
            metric::Data::Histogram(Histogram {
                data_points: points.into_iter().map(point).collect(),
                aggregation_temporality: temporality,
            })
        }
        _ => return None,
    };
    Some(data)
}

fn number(labels: &Labels, value: number_data_point::Value, period: Period) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: period.start_wall_ns,
        time_unix_nano: period.now_wall_ns,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn distribution(labels: &Labels, seen: Distribution, bounds: &[f64], period: Period) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: period.start_wall_ns,
        time_unix_nano: period.now_wall_ns,
        count: seen.count,
        sum: Some(seen.sum),
        bucket_counts: seen.buckets.into_vec(),
        explicit_bounds: bounds.to_vec(),
        ..HistogramDataPoint::default()
    }
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| text(name, value)).collect()
}

/// An attribute that is a text.
pub(super) fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, any_value::Value::StringValue(value.to_owned()))
}

/// An attribute that is a number.
pub(super) fn integer(name: &str, value: u64) -> KeyValue {
    attribute(name, any_value::Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn attribute(name: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
