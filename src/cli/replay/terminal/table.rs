//! Lines of a table, and numbers in its columns.

use std::fmt;

use crate::replay::latency::Spread;

/// Characters of a line.
pub(super) const WIDTH: usize = 64;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli::replay) enum Line {
    /// A section begins.
    Heading(String),
    /// A label and its value.
    Row(String, String),
    /// A sentence, perhaps in several lines.
    Text(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // In the middle of a rule, as Python's `str.center` places it.
            Self::Heading(title) => write!(f, "{:-^WIDTH$}", format!(" {title} ")),
            Self::Row(label, value) => {
                let gap = WIDTH.saturating_sub(label.len() + 1 + value.len()).max(1);
                write!(f, "{label}:{}{value}", " ".repeat(gap))
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

pub(super) struct Table(pub(super) Vec<Line>);

impl Table {
    pub(super) fn heading(&mut self, title: &str) {
        self.0.push(Line::Heading(title.to_owned()));
    }

    pub(super) fn row(&mut self, label: &str, value: impl ToString) {
        self.0.push(Line::Row(label.to_owned(), value.to_string()));
    }

    pub(super) fn row_if_any(&mut self, label: &str, count: u64) {
        if count > 0 {
            self.row(label, count);
        }
    }

    pub(super) fn rest(&mut self, count: u64) {
        if count > 0 {
            self.line(&format!("... and {count} more"));
        }
    }

    pub(super) fn line(&mut self, text: &str) {
        self.0.push(Line::Text(text.to_owned()));
    }
}

pub(super) fn two_decimals(value: f64) -> String {
    format!("{value:.2}")
}

pub(super) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "none requested".to_owned(),
        _ => format!("{:.2} %", part as f64 * 100.0 / whole as f64),
    }
}

/// Times in microseconds, in columns that stand below each other. Those of 100 ms and more have no decimals.
pub(super) fn columns_us<const COLUMNS: usize>(times_ns: [f64; COLUMNS]) -> String {
    let column =
        |ns: f64| if ns < 99_999_950.0 { format!("{:>7.1}", ns / 1e3) } else { format!("{:>7.0}", ns / 1e3) };
    times_ns.map(column).join(" ")
}

/// How often, and the columns p50, p99 and max.
pub(super) fn count_and_times(spread: &Spread) -> String {
    let times = columns_us([spread.p50_ns, spread.p99_ns, spread.max_ns].map(|ns| ns as f64));
    format!("{:>8} {times}", spread.count)
}
