//! The comparison as one JSON object.

use serde_json::{Map, Value, json};

use super::report::CompareReport;
use crate::compare::{Change, Direction, Metric, Row, RunMetrics, Scale, Spread, least_runs};

/// The object, indented by two, with a newline at the end.
pub(super) fn render(report: &CompareReport<'_>) -> String {
    let counts = report.counts();
    let rows = report.rows.iter().map(|row| (report.catalogue[row.place].name.clone(), metric(report, row)));
    let object = json!({
        "trace": report.trace,
        "confidence": report.confidence,
        "runs_wanted": report.runs_wanted,
        "interrupted": report.is_interrupted,
        "columns": report.columns(),
        "least_runs": least_runs(report.confidence),
        "changed_metrics": counts.all(),
        "better_metrics": counts.better,
        "worse_metrics": counts.worse,
        "metrics": rows.collect::<Map<_, _>>(),
        "gate": report.judgement,
        "baseline": report.baseline.map(|(runs, host)| json!({"runs": runs, "host": host})),
        "a": side(report.catalogue, report.flags_a, &report.a),
        "b": report.flags_b.map(|flags| side(report.catalogue, flags, &report.b)),
    });
    let mut text = serde_json::to_string_pretty(&object).expect("values made here have string keys only");
    text.push('\n');
    text
}

fn metric(report: &CompareReport<'_>, row: &Row) -> Value {
    let metric = &report.catalogue[row.place];
    let mut object = json!({
        "unit": metric.unit.name(),
        "better": metric.better.map(Direction::name),
        "mean": row.mean.name(),
        "first": row.a.map(spread),
        "second": row.b.map(spread),
        "changed": row.is_changed(),
        "repeats_submit_prefetch_task": row.is_repeat,
    });
    let more = match row.change {
        Change::Exact { difference } => json!({"kind": "exact", "change": difference}),
        Change::Estimated { scale, change, low, high, floor, .. } => json!({
            "kind": "estimated",
            "in": if scale == Scale::Percent { "percent" } else { "unit" },
            "change": change,
            "low": low,
            "high": high,
            "noise": floor,
        }),
        Change::TooFewRuns { .. } => json!({"kind": "too_few_runs"}),
        Change::NotInBoth => json!({"kind": "not_in_both"}),
    };
    if let (Value::Object(object), Value::Object(more)) = (&mut object, more) {
        object.extend(more);
    }
    object
}

fn spread(spread: Spread) -> Value {
    json!({"mean": spread.mean, "median": spread.median, "min": spread.min, "max": spread.max})
}

/// A configuration, and the metrics of each of its runs.
fn side(catalogue: &[Metric], flags: &str, runs: &[RunMetrics]) -> Value {
    let run = |run: &RunMetrics| -> Value {
        let values = catalogue.iter().zip(run);
        values
            .filter_map(|(metric, value)| Some((metric.name.clone(), json!((*value)?))))
            .collect::<Map<_, _>>()
            .into()
    };
    json!({"flags": flags, "runs": runs.iter().map(run).collect::<Vec<_>>()})
}
