//! What the command says of monitoring: where metrics are, and what did not reach a collector.

use serde_json::{Value, json};

use crate::cli::exit::{print_note, print_warning};
use crate::replay::telemetry::endpoint::EndpointReport;
use crate::replay::telemetry::otlp::OtlpReport;
use crate::replay::telemetry::{Telemetry, TelemetryReport};

/// Says where metrics are. Who asked for quiet is told, too, if nobody else can know the port.
pub(super) fn announce(telemetry: &Telemetry, is_quiet: bool, is_any_port: bool) {
    if let Some(address) = telemetry.address().filter(|_| is_any_port || !is_quiet) {
        print_note(&format!("metrics are at http://{address}/metrics while the replay runs"));
    }
}

/// Says what a collector does not have.
pub(super) fn warn(report: &TelemetryReport) {
    let Some(otlp) = &report.otlp else { return };
    let (endpoint, reason) = (&otlp.endpoint, otlp.last_error.as_deref().unwrap_or("no reason is known"));
    if otlp.metric_exports > 0 && !otlp.has_last_metrics {
        let (failed, all) = (otlp.failed_metric_exports, otlp.metric_exports);
        print_warning(&format!(
            "the collector at {endpoint} does not have the last metrics; {failed} of {all} exports failed: {reason}"
        ));
    }
    if otlp.lost_spans > 0 {
        let (lost, all) = (otlp.lost_spans, otlp.lost_spans + otlp.spans);
        let reason = otlp.last_error.as_deref().unwrap_or("the queue was full; see --event-bus-queue-size");
        print_warning(&format!("{lost} of {all} spans did not reach the collector at {endpoint}: {reason}"));
    }
}

/// The report as JSON; null if nobody was to be told.
pub(super) fn to_json(report: &TelemetryReport) -> Value {
    if report.is_empty() {
        return Value::Null;
    }
    let prometheus = report.prometheus.map(|EndpointReport { address, scrapes, refused }| {
        json!({ "address": address.to_string(), "scrapes": scrapes, "refused": refused })
    });
    json!({ "prometheus": prometheus, "otlp": report.otlp.as_ref().map(otlp_to_json) })
}

fn otlp_to_json(otlp: &OtlpReport) -> Value {
    json!({
        "endpoint": otlp.endpoint,
        "metric_exports": otlp.metric_exports,
        "failed_metric_exports": otlp.failed_metric_exports,
        "has_last_metrics": otlp.has_last_metrics,
        "spans": otlp.spans,
        "lost_spans": otlp.lost_spans,
        "last_error": otlp.last_error,
    })
}

/// The rows of the table: label and value.
pub(super) fn rows(report: &TelemetryReport) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    if let Some(prometheus) = &report.prometheus {
        rows.push(("Metrics served at", prometheus.address.to_string()));
        rows.push(("Scrapes", prometheus.scrapes.to_string()));
        rows.push(("Scrapes refused", prometheus.refused.to_string()));
    }
    if let Some(otlp) = &report.otlp {
        rows.push(("Metric exports", otlp.metric_exports.to_string()));
        rows.push(("Metric exports failed", otlp.failed_metric_exports.to_string()));
        rows.push(("Spans exported", otlp.spans.to_string()));
        rows.push(("Spans lost", otlp.lost_spans.to_string()));
    }
    rows
}
