//! Metrics in the text format of Prometheus (OpenMetrics 1.0).

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, LabelSetEncoder, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::instruments::{Distribution, Metric, Points};
use super::series::{Labels, OVERFLOW_LABEL};
use crate::error::{Error, ErrorKind, Result};

/// The type of the text in HTTP.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is written: metrics, and whose they are.
#[derive(Debug)]
struct Written {
    metrics: Vec<Metric>,
    instance_id: Option<String>,
}

/// The text of `metrics`. `instance_id` goes into OpenMetrics' `target_info`, where OpenTelemetry's exporter has the
/// attribute `service.instance.id`.
///
/// # Errors
/// If the encoder fails.
pub(super) fn text(metrics: Vec<Metric>, instance_id: Option<&str>) -> Result<String> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Written { metrics, instance_id: instance_id.map(str::to_owned) }));
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|_| Error::new(ErrorKind::Policy, "the metrics could not be written as text"))?;
    Ok(text)
}

impl Collector for Written {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        if let Some(id) = &self.instance_id {
            encoder
                .encode_descriptor("target", "Target metadata.", None, MetricType::Info)?
                .encode_info(&[("service_instance_id", id.as_str())])?;
        }
        self.metrics.iter().try_for_each(|metric| encode_metric(metric, &mut encoder))
    }
}

/// An instrument that has counted nothing is left out, as LMCache's exporter does.
fn encode_metric(metric: &Metric, encoder: &mut DescriptorEncoder) -> fmt::Result {
    let (kind, is_empty) = match &metric.points {
        Points::Counts(points) => (MetricType::Counter, points.is_empty()),
        Points::Gauges(points) => (MetricType::Gauge, points.is_empty()),
        Points::Histograms { points, .. } => (MetricType::Histogram, points.is_empty()),
    };
    if is_empty {
        return Ok(());
    }
    let (name, help) = (metric.instrument.prometheus_name(), format!("{}.", metric.instrument.help));
    let mut family = encoder.encode_descriptor(&name, &help, None, kind)?;
    match &metric.points {
        Points::Counts(points) => points.iter().try_for_each(|(labels, count)| {
            series(&mut family, labels, |series| series.encode_counter::<NoLabelSet, u64, f64>(count, None))
        }),
        Points::Gauges(points) => points
            .iter()
            .try_for_each(|(labels, value)| series(&mut family, labels, |series| series.encode_gauge(value))),
        Points::Histograms { bounds, points } => points.iter().try_for_each(|(labels, seen)| {
            let buckets = buckets(bounds, seen);
            series(&mut family, labels, |series| {
                series.encode_histogram::<NoLabelSet>(seen.sum, seen.count, &buckets, None)
            })
        }),
    }
}

/// The place of a series among those of its family; without labels it has no braces.
fn series(
    family: &mut MetricEncoder<'_>,
    labels: &Labels,
    encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    match labels.iter().next() {
        None => encode(family),
        Some(_) => encode(&mut family.encode_family(labels)?),
    }
}

fn buckets(bounds: &[f64], seen: &Distribution) -> Vec<(f64, u64)> {
    let bounds = bounds.iter().copied().chain([f64::INFINITY]);
    bounds.zip(seen.buckets.iter().copied()).collect()
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> fmt::Result {
        let labels: Vec<_> = self.iter().map(|(name, value)| (prometheus_label(name), value)).collect();
        EncodeLabelSet::encode(&labels, encoder)
    }
}

/// Prometheus has no dots in the names of labels.
fn prometheus_label(name: &'static str) -> &'static str {
    if name == OVERFLOW_LABEL { "otel_metric_overflow" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::metrics::instruments::Instrument;

    #[test]
    fn labels_of_any_kind_are_written() {
        let points = vec![
            (Labels::new(&[("cache_salt", "a\"b\\c\nd")]), 1),
            (Labels::new(&[(OVERFLOW_LABEL, "true")]), 2),
            (Labels::new(&[]), 3),
        ];
        let instrument = Instrument::new("lmcache.l1", "l1_read", "chunks", "Total chunks read from L1");
        let metric = Metric { instrument, points: Points::Counts(points) };
        let empty = Metric { points: Points::Counts(Vec::new()), ..metric.clone() };
        let expected = "# HELP target Target metadata.\n\
             # TYPE target info\n\
             target_info{service_instance_id=\"me\"} 1\n\
             # HELP lmcache_mp_l1_read_chunks Total chunks read from L1.\n\
             # TYPE lmcache_mp_l1_read_chunks counter\n\
             lmcache_mp_l1_read_chunks_total{cache_salt=\"a\\\"b\\\\c\\nd\"} 1\n\
             lmcache_mp_l1_read_chunks_total{otel_metric_overflow=\"true\"} 2\n\
             lmcache_mp_l1_read_chunks_total 3\n\
             # EOF\n";
        assert_eq!(text(vec![empty, metric], Some("me")).unwrap(), expected);
    }
}
