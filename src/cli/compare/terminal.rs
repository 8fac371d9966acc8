//! The comparison as a table.

use anstyle::{AnsiColor, Style};

use super::numbers::{change, interval, significant, value};
use super::report::CompareReport;
use super::table::{Line, Paint, push_lines, push_painted, push_wrapped};
use crate::cli::text::{plural, printable};
use crate::compare::{
    Change, Check, CheckResult, Direction, Judgement, Metric, Row, Scale, Spread, Unit, Verdict,
};

/// The names of the columns behind those of the two sides.
const COLUMNS: [&str; 4] = ["change", "interval", "noise", ""];

/// The table, in lines of `width` where they can be broken, with a newline at its end.
pub(super) fn render(report: &CompareReport<'_>, paint: Paint, width: usize) -> String {
    let mut text = head(report);
    if report.rows.is_empty() {
        return text;
    }
    let (zero, shown): (Vec<&Row>, Vec<&Row>) =
        report.rows.iter().filter(|row| !row.is_repeat).partition(|row| is_zero(row));
    push_lines(&mut text, &lines(report, &shown), paint);
    text.push('\n');
    if !zero.is_empty() {
        let names: Vec<&str> = zero.iter().map(|row| report.catalogue[row.place].name.as_str()).collect();
        push_wrapped(&mut text, &format!("Zero in all runs: {}.", names.join(", ")), width);
    }
    if report.rows.iter().any(|row| row.is_repeat) {
        let sentence =
            "No prefetch went to L2: prefetch.p50, .p99 and .max are those of submit_prefetch_task.";
        push_wrapped(&mut text, sentence, width);
    }
    conclusion(report).iter().for_each(|sentence| push_wrapped(&mut text, sentence, width));
    if let Some(judgement) = &report.judgement {
        push_judgement(&mut text, report, judgement, paint, width);
    }
    text
}

/// Whether there is nothing to tell: every run has zero.
fn is_zero(row: &Row) -> bool {
    let is_zero =
        |spread: &Option<Spread>| spread.is_none_or(|spread| spread.min == 0.0 && spread.max == 0.0);
    is_zero(&row.a) && is_zero(&row.b)
}

/// What was compared.
fn head(report: &CompareReport<'_>) -> String {
    let mut text = format!("Trace  {}\n", printable(&report.trace));
    if let (true, Some((runs, host))) = (report.is_against_baseline, report.baseline) {
        text.push_str(&format!("Baseline  {} on {}\n", plural(runs as u64, "run"), printable(host)));
    }
    text.push_str(&format!("A  {}  {}\n", plural(report.a.len() as u64, "run"), printable(report.flags_a)));
    if let Some(flags) = report.flags_b {
        let flags = if report.is_aa { "the same again" } else { flags };
        text.push_str(&format!("B  {}  {}\n", plural(report.b.len() as u64, "run"), printable(flags)));
    }
    if report.is_interrupted {
        let wanted = report.runs_wanted;
        text.push_str(&format!("Interrupted: {wanted} runs of each were wanted\n"));
    }
    text.push('\n');
    text
}

/// A line for each row; rows whose names begin alike stand below what they share.
fn lines(report: &CompareReport<'_>, rows: &[&Row]) -> Vec<Line> {
    let name = |row: &Row| report.catalogue[row.place].name.as_str();
    let [first, second] = report.columns();
    // The last one stands to the left: an empty one keeps the numbers to the right.
    let columns = if report.least_runs().is_some() { &[""][..] } else { &COLUMNS[..] };
    let header = ["metric", first, second].into_iter().chain(columns.iter().copied()).map(str::to_owned);
    let mut lines = vec![Line::Cells(header.collect(), Style::new().bold())];
    for rows in rows.chunk_by(|one, next| group(name(one)) == group(name(next))) {
        let heading = group(name(rows[0])).filter(|_| rows.len() > 1);
        lines.extend(heading.map(|heading| Line::Heading(heading.to_owned())));
        for row in rows {
            let label = match heading {
                Some(heading) => format!("  {}", &name(row)[heading.len()..]),
                None => name(row).to_owned(),
            };
            let mut cells = cells(report, row, label);
            cells.truncate(3 + columns.len());
            lines.push(Line::Cells(cells, style(report, row)));
        }
    }
    lines
}

/// What stands before the last point of a name.
fn group(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(group, _)| group)
}

fn cells(report: &CompareReport<'_>, row: &Row, label: String) -> Vec<String> {
    let metric = &report.catalogue[row.place];
    let unit = metric.unit;
    let mean =
        |spread: Option<Spread>| spread.map_or_else(|| "-".to_owned(), |spread| value(unit, spread.mean));
    let mut cells = vec![label, mean(row.a), mean(row.b)];
    cells.extend(match row.change {
        Change::Exact { difference } => [
            change(Scale::Unit, unit, difference),
            "exact".to_owned(),
            String::new(),
            word(metric, row).to_owned(),
        ],
        Change::Estimated { scale, change: by, low, high, floor, .. } => [
            change(scale, unit, by),
            interval(scale, unit, low, high),
            change(scale, unit, floor).trim_start_matches('+').to_owned(),
            word(metric, row).to_owned(),
        ],
        Change::TooFewRuns { .. } => [const { String::new() }; 4],
        Change::NotInBoth => ["", "not in all runs", "", ""].map(str::to_owned),
    });
    cells
}

/// What a row comes to.
fn word(metric: &Metric, row: &Row) -> &'static str {
    match (row.direction(), metric.better) {
        (None, _) if matches!(row.change, Change::Exact { .. }) => "equal",
        (None, _) => "noise",
        (Some(direction), Some(better)) => {
            if direction == better {
                "BETTER"
            } else {
                "WORSE"
            }
        }
        (Some(Direction::Higher), None) => "HIGHER",
        (Some(Direction::Lower), None) => "LOWER",
    }
}

fn style(report: &CompareReport<'_>, row: &Row) -> Style {
    let color = match (row.direction(), report.catalogue[row.place].better) {
        (None, _) => return Style::new(),
        (Some(direction), Some(better)) if direction == better => AnsiColor::Green,
        (Some(_), Some(_)) => AnsiColor::Red,
        (Some(_), None) => AnsiColor::Yellow,
    };
    Style::new().fg_color(Some(color.into())).bold()
}

/// What it all comes to, and how sure that is.
fn conclusion(report: &CompareReport<'_>) -> Vec<String> {
    // To the fourth digit, so that 0.999 does not become 99.9 and some rounding.
    let confidence = (report.confidence * 1e6).round() / 1e4;
    let [first, second] = report.columns();
    if let Some(least) = report.least_runs() {
        return vec![format!(
            "Too few runs for a verdict: {confidence} % confidence takes {least} runs of each."
        )];
    }
    let all = plural(report.told().count() as u64, "metric");
    let counts = report.counts();
    let mut parts = vec![];
    for (count, word) in [(counts.better, "better"), (counts.worse, "worse"), (counts.other, "neither")] {
        parts.extend((count > 0).then(|| format!("{count} {word}")));
    }
    let sentence = match parts.is_empty() {
        true => format!("None of {all} differs above the noise."),
        false => format!(
            "{second} differs from {first} in {} of {all}, above the noise: {}.",
            counts.all(),
            parts.join(", ")
        ),
    };
    vec![sentence, format!("Intervals hold for all metrics together, with {confidence} % confidence.")]
}

fn push_judgement(
    text: &mut String,
    report: &CompareReport<'_>,
    judgement: &Judgement,
    paint: Paint,
    width: usize,
) {
    text.push('\n');
    let bold = |color: AnsiColor| Style::new().fg_color(Some(color.into())).bold();
    let line = |check: &Check| {
        let (word, style) = match check.result {
            CheckResult::Kept => ("kept", Style::new()),
            CheckResult::Broken => ("BROKEN", bold(AnsiColor::Red)),
            CheckResult::TooNoisy => ("too noisy to tell", bold(AnsiColor::Yellow)),
        };
        let (limit, change) = told(report.catalogue, check);
        Line::Cells(vec![check.metric.clone(), limit, change, word.to_owned()], style)
    };
    let lines: Vec<Line> = judgement.checks.iter().map(line).collect();
    push_lines(text, &lines, paint);
    for refusal in &judgement.refusals {
        push_wrapped(text, &refusal.reason, width);
    }
    let (word, color) = match judgement.verdict {
        Verdict::Passed => ("Gate: passed", AnsiColor::Green),
        Verdict::Failed => ("Gate: FAILED", AnsiColor::Red),
        Verdict::Refused => ("Gate: no verdict", AnsiColor::Red),
    };
    push_painted(text, word, bold(color), paint);
    text.push('\n');
}

/// A limit and the change that was held against it, in the unit of the gate.
pub(super) fn told(catalogue: &[Metric], check: &Check) -> (String, String) {
    let unit = catalogue.iter().find(|metric| metric.name == check.metric).map(|metric| metric.unit);
    let name = match unit {
        _ if check.limit.ends_with("percent") => " %",
        Some(Unit::Microseconds) => " us",
        Some(Unit::Seconds) => " s",
        Some(Unit::PerSecond) => " /s",
        Some(Unit::Bytes) => " bytes",
        Some(Unit::Share | Unit::Count) | None => "",
    };
    let change = match (check.change, unit) {
        (Some(change), _) => format!("{}{}{name}", if change > 0.0 { "+" } else { "" }, significant(change)),
        // Percent of nothing.
        (None, Some(unit)) => format!("from {} to {}", value(unit, check.first), value(unit, check.second)),
        (None, None) => String::new(),
    };
    (format!("{} {}{name}", check.limit, check.value), change)
}
