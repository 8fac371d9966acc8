//! The comparison as a table.

use anstyle::{AnsiColor, Style};

use super::report::CompareReport;
use crate::cli::text::{bytes, microseconds, plural, printable};
use crate::compare::{Change, Check, CheckResult, Judgement, Metric, Row, Scale, Spread, Unit, Verdict};

/// Whether a table has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colours,
}

/// The names of the columns behind those of the two sides.
const COLUMNS: [&str; 3] = ["change", "interval", "noise"];

/// The table, with a newline at its end.
pub(super) fn render(report: &CompareReport<'_>, paint: Paint) -> String {
    let mut text = head(report);
    if report.rows.is_empty() {
        return text;
    }
    let [first, second] = report.columns();
    let header = ["metric", first, second].into_iter().chain(COLUMNS).chain([""]).map(str::to_owned);
    let mut lines = vec![(header.collect::<Vec<_>>(), Style::new().bold())];
    let (zero, shown): (Vec<&Row>, Vec<&Row>) = report.rows.iter().partition(|row| is_zero(row));
    lines.extend(shown.into_iter().map(|row| (cells(report, row), style(row))));
    push_lines(&mut text, &lines, paint);
    text.push('\n');
    if !zero.is_empty() {
        let names: Vec<&str> = zero.iter().map(|row| report.catalogue[row.place].name.as_str()).collect();
        text.push_str(&format!("Zero in all runs: {}.\n", names.join(", ")));
    }
    text.push_str(&conclusion(report));
    if let Some(judgement) = &report.judgement {
        push_judgement(&mut text, judgement, paint);
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
        text.push_str(&format!(
            "Interrupted: of {wanted} runs of each there are as many as are said above\n"
        ));
    }
    text.push('\n');
    text
}

fn cells(report: &CompareReport<'_>, row: &Row) -> Vec<String> {
    let metric = &report.catalogue[row.place];
    let median = |spread: Option<Spread>| {
        spread.map_or_else(|| "-".to_owned(), |spread| value(metric.unit, spread.median))
    };
    let mut cells = vec![metric.name.clone(), median(row.a), median(row.b)];
    cells.extend(match row.change {
        Change::Exact { difference } => [
            if difference == 0.0 { "0".to_owned() } else { signed(metric.unit, difference) },
            "exact".to_owned(),
            String::new(),
            if difference == 0.0 { "equal" } else { direction(difference) }.to_owned(),
        ],
        Change::Estimated { scale, change, low, high, floor, is_real } => [
            told(scale, metric, change),
            format!("{} to {}", told(scale, metric, low), told(scale, metric, high)),
            told(scale, metric, floor).trim_start_matches('+').to_owned(),
            if is_real { direction(change) } else { "noise" }.to_owned(),
        ],
        Change::TooFewRuns => ["", "too few runs", "", ""].map(str::to_owned),
        Change::NotInBoth => ["", "not in both", "", ""].map(str::to_owned),
    });
    cells
}

fn direction(change: f64) -> &'static str {
    if change > 0.0 { "HIGHER" } else { "LOWER" }
}

fn style(row: &Row) -> Style {
    match row.is_changed() {
        true => Style::new().fg_color(Some(AnsiColor::Yellow.into())).bold(),
        false => Style::new(),
    }
}

/// A value of a metric.
fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Microseconds => microseconds(value),
        Unit::Seconds => format!("{value:.2} s"),
        Unit::PerSecond => format!("{value:.1} /s"),
        Unit::Share => format!("{:.2} %", value * 100.0),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.1}"),
        Unit::Bytes => bytes(value as u64),
    }
}

/// A difference in a metric's unit; one of shares is in percentage points.
fn signed(unit: Unit, difference: f64) -> String {
    let sign = if difference < 0.0 { '-' } else { '+' };
    let amount = difference.abs();
    match unit {
        Unit::Share => format!("{sign}{:.2} points", amount * 100.0),
        _ => format!("{sign}{}", value(unit, amount)),
    }
}

fn told(scale: Scale, metric: &Metric, change: f64) -> String {
    match scale {
        Scale::Percent => format!("{change:+.1} %"),
        Scale::Unit => signed(metric.unit, change),
    }
}

/// One sentence.
fn conclusion(report: &CompareReport<'_>) -> String {
    let (changed, all) = (report.changed(), plural(report.rows.len() as u64, "metric"));
    let [first, second] = report.columns();
    // To the fourth digit, so that 0.999 does not become 99.9 and some rounding.
    let confidence = (report.confidence * 1e6).round() / 1e4;
    let intervals = format!("Intervals hold for all metrics together, with {confidence} % confidence.\n");
    let sentence = match changed {
        0 => format!("None of {all} differs above the noise.\n"),
        _ => format!("{second} differs from {first} in {changed} of {all}, above the noise.\n"),
    };
    sentence + &intervals
}

fn push_judgement(text: &mut String, judgement: &Judgement, paint: Paint) {
    text.push('\n');
    let bold = |color: AnsiColor| Style::new().fg_color(Some(color.into())).bold();
    let check = |check: &Check| {
        let Check { metric, limit, value, change, result, .. } = check;
        let (word, style) = match result {
            CheckResult::Kept => ("kept", Style::new()),
            CheckResult::Broken => ("BROKEN", bold(AnsiColor::Red)),
            CheckResult::TooNoisy => ("too noisy to tell", bold(AnsiColor::Yellow)),
        };
        let unit = if limit.ends_with("percent") { " %" } else { "" };
        (
            vec![
                metric.clone(),
                format!("{limit} {value}{unit}"),
                format!("{change:+.3}{unit}"),
                word.to_owned(),
            ],
            style,
        )
    };
    let lines: Vec<_> = judgement.checks.iter().map(check).collect();
    push_lines(text, &lines, paint);
    for refusal in &judgement.refusals {
        text.push_str(&format!("{refusal}\n"));
    }
    let (word, color) = match judgement.verdict {
        Verdict::Passed => ("Gate: passed", AnsiColor::Green),
        Verdict::Failed => ("Gate: FAILED", AnsiColor::Red),
        Verdict::Refused => ("Gate: no verdict", AnsiColor::Red),
    };
    push_painted(text, word, bold(color), paint);
    text.push('\n');
}

/// Lines with their columns under each other: the first to the left, numbers to the right, the last as it comes.
fn push_lines(text: &mut String, lines: &[(Vec<String>, Style)], paint: Paint) {
    let columns = lines.iter().map(|(cells, _)| cells.len()).max().unwrap_or(0);
    let width_of = |column: usize| {
        let cells = lines.iter().filter_map(|(cells, _)| cells.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    for (cells, style) in lines {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            line.push_str(&match column {
                0 => format!("{cell:<width$}"),
                _ if column + 1 == columns => format!("  {cell}"),
                _ => format!("  {cell:>width$}"),
            });
        }
        push_painted(text, line.trim_end(), *style, paint);
        text.push('\n');
    }
}

fn push_painted(text: &mut String, line: &str, style: Style, paint: Paint) {
    match paint {
        Paint::Plain => text.push_str(line),
        Paint::Colours => text.push_str(&format!("{style}{line}{style:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_differences_read_well() {
        assert_eq!(value(Unit::Share, 0.5), "50.00 %");
        assert_eq!([value(Unit::Count, 3.0), value(Unit::Count, 2.5)], ["3", "2.5"]);
        assert_eq!(signed(Unit::Share, -0.005), "-0.50 points");
        assert_eq!([signed(Unit::Bytes, 2048.0), signed(Unit::Count, -2.0)], ["+2.0 KiB", "-2"]);
    }

    #[test]
    fn columns_stand_under_each_other_and_colours_are_for_terminals() {
        let row = |cells: [&str; 3], style| (cells.map(str::to_owned).to_vec(), style);
        let lines =
            [row(["metric", "A", ""], Style::new().bold()), row(["x", "10.0 us", "noise"], Style::new())];
        let mut plain = String::new();
        push_lines(&mut plain, &lines, Paint::Plain);
        assert_eq!(plain, "metric        A\nx       10.0 us  noise\n");
        let mut painted = String::new();
        push_lines(&mut painted, &lines, Paint::Colours);
        assert!(painted.starts_with("\u{1b}[1mmetric"), "{painted:?}");
    }
}
