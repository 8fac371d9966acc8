//! The numbers of a page: the most important ones, the latencies, and everything that the terminal's table says.

use std::fmt::Write;

use super::axis::duration;
use super::figures::percent;
use super::html::escape;
use crate::cli::replay::report::ReplayReport;
use crate::cli::replay::terminal::{Line, lines};
use crate::cli::text::bytes;
use crate::replay::Timeline;

/// Values from this length on may be broken into several lines.
const LONG_VALUE: usize = 32;

/// What one wants to know first.
pub(super) fn tiles(report: &ReplayReport, timeline: &Timeline) -> String {
    let (run, totals) = (&report.run, &report.totals);
    let hit_rate = match totals.requested_chunks {
        0 => "none asked".to_owned(),
        requested => percent(totals.served_chunks as f64 / requested as f64),
    };
    let usages = || timeline.buckets().iter().filter_map(|bucket| bucket.usage);
    let l1 = usages().map(|usage| usage.l1_used_bytes).max();
    let mut tiles = vec![
        ("Records replayed", run.records_replayed.to_string()),
        ("Failed", run.records_failed.to_string()),
        ("Skipped", run.records_skipped.to_string()),
        ("Duration", duration(run.duration_ns as f64)),
        ("Chunk hit rate", hit_rate),
        ("Lag p99", duration(run.lag.p99_ns as f64)),
        ("Lag max", duration(run.lag.max_ns as f64)),
        ("L1 at its fullest", l1.map_or("unknown".to_owned(), bytes)),
    ];
    if let Some(l2) = usages().filter_map(|usage| usage.l2_used_bytes).max() {
        tiles.push(("L2 at its fullest", bytes(l2)));
    }
    tiles.push(("Keys evicted", totals.evicted_keys.to_string()));
    let tile = |(name, value): &(&str, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(value))
    };
    format!("<dl class=\"tiles\">\n{}</dl>\n", tiles.iter().map(tile).collect::<String>())
}

/// What is to be known before the plots are believed.
pub(super) fn notes(report: &ReplayReport) -> String {
    let mut notes = Vec::new();
    if report.run.interrupted {
        notes.push("The replay was interrupted: this is what happened until then.".to_owned());
    }
    if report.run.unobserved_records > 0 {
        notes.push(format!(
            "{} records came faster than they could be looked at: they are in the tables and not in the plots.",
            report.run.unobserved_records
        ));
    }
    if report.is_same_config() == Some(false) {
        notes.push("The trace was recorded under another configuration; see Config Differences.".to_owned());
    }
    if notes.is_empty() {
        return String::new();
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
    format!("<ul class=\"notes\">{items}</ul>\n")
}

/// One row per operation.
pub(super) fn latencies(report: &ReplayReport) -> String {
    let mut table = String::from(
        "<div class=\"scroll\"><table class=\"latencies\"><thead><tr><th>call</th><th>count</th><th>failed</th>\
         <th>mean</th><th>p50</th><th>p90</th><th>p99</th><th>max</th></tr></thead><tbody>\n",
    );
    for row in &report.run.ops {
        // A histogram's percentiles are marked: they are good to three digits only.
        let mark = if row.is_exact { "" } else { "~" };
        let _ = write!(table, "<tr><th scope=\"row\">{}</th>", escape(row.op.short_name()));
        let _ =
            write!(table, "<td>{}</td><td>{}</td><td>{}</td>", row.count, row.errors, duration(row.mean_ns));
        for ns in [row.p50_ns, row.p90_ns, row.p99_ns] {
            let _ = write!(table, "<td>{mark}{}</td>", duration(ns as f64));
        }
        let _ = writeln!(table, "<td>{}</td></tr>", duration(row.max_ns as f64));
    }
    table + "</tbody></table></div>\n"
}

/// The terminal's table, section by section.
pub(super) fn sections(report: &ReplayReport) -> String {
    let mut html = String::from("<div class=\"report\">\n");
    let mut open = Open::Nothing;
    for line in lines(report) {
        let wanted = match &line {
            Line::Heading(_) => Open::Nothing,
            Line::Row(..) => Open::Table,
            Line::Text(_) => Open::Section,
        };
        html += open.change_to(wanted);
        open = wanted;
        let _ = match line {
            Line::Heading(title) => {
                open = Open::Section;
                writeln!(html, "<section><h3>{}</h3>", escape(&title))
            }
            Line::Row(label, value) => {
                let class = if value.len() > LONG_VALUE { " class=\"long\"" } else { "" };
                let (label, value) = (escape(label.trim()), escape(value.trim()));
                writeln!(html, "<tr><th scope=\"row\">{label}</th><td{class}>{value}</td></tr>")
            }
            Line::Text(text) => writeln!(html, "<p>{}</p>", escape(&text.replace('\n', " "))),
        };
    }
    html += open.change_to(Open::Nothing);
    html + "</div>\n"
}

/// Which tags are open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Section,
    /// A table in a section.
    Table,
}

impl Open {
    /// The tags that stand between one line and the next. Outside a section there are no lines.
    fn change_to(self, wanted: Self) -> &'static str {
        match (self, wanted) {
            (Self::Table, Self::Nothing) => "</tbody></table></section>\n",
            (Self::Table, Self::Section) => "</tbody></table>\n",
            (Self::Section, Self::Nothing) => "</section>\n",
            (Self::Section, Self::Table) => "<table><tbody>\n",
            (Self::Nothing, Self::Section) => "<section>\n",
            (Self::Nothing, Self::Table) => "<section><table><tbody>\n",
            (Self::Nothing, Self::Nothing) | (Self::Section, Self::Section) | (Self::Table, Self::Table) => {
                ""
            }
        }
    }
}
