//! Tables of a page: columns under their headers, numbers to the right, and what is part of a row further in.

use std::fmt::Write;

use super::axis::duration;
use super::html::escape;
use crate::replay::latency::Spread;

/// Where nothing was measured.
pub(super) const NOTHING: &str = "-";

/// Rows of a label and cells.
pub(super) struct Table {
    columns: &'static [&'static str],
    class: &'static str,
    rows: String,
}

impl Table {
    /// Of numbers, which stand at the right. The first column is that of the labels; without columns there is no header, and a
    /// row has one cell.
    pub(super) fn of_numbers(columns: &'static [&'static str]) -> Self {
        Self { columns, class: "numbers", rows: String::new() }
    }

    /// Of words, which stand at the left.
    pub(super) fn of_words(columns: &'static [&'static str]) -> Self {
        Self { columns, class: "words", rows: String::new() }
    }

    /// A row that belongs to no other.
    pub(super) fn row<const CELLS: usize>(&mut self, label: &str, cells: [String; CELLS]) {
        self.row_in(0, label, cells);
    }

    /// A part of the row above, at `depth` 1, or a part of such a part.
    pub(super) fn row_in<const CELLS: usize>(&mut self, depth: u8, label: &str, cells: [String; CELLS]) {
        let class = if depth > 0 { format!(" class=\"in{depth}\"") } else { String::new() };
        // Writing to a String cannot fail.
        let _ = write!(self.rows, "<tr><th scope=\"row\"{class}>{}</th>", escape(label));
        for cell in cells {
            let _ = write!(self.rows, "<td>{}</td>", escape(&cell));
        }
        self.rows += "</tr>\n";
    }

    /// A row of one number, unless that is 0.
    pub(super) fn row_if_any(&mut self, depth: u8, label: &str, count: u64) {
        if count > 0 {
            self.row_in(depth, label, [count.to_string()]);
        }
    }

    /// The table; nothing without rows.
    pub(super) fn render(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let header = |name: &&str| format!("<th scope=\"col\">{}</th>", escape(name));
        let head = match self.columns {
            [] => String::new(),
            columns => format!("<thead><tr>{}</tr></thead>", columns.iter().map(header).collect::<String>()),
        };
        format!(
            "<div class=\"scroll\"><table class=\"{}\">{head}<tbody>\n{}</tbody></table></div>\n",
            self.class, self.rows
        )
    }
}

/// Tables and sentences under one title.
pub(super) struct Card {
    title: String,
    body: String,
}

impl Card {
    /// An empty one.
    pub(super) fn new(title: &str) -> Self {
        Self { title: escape(title), body: String::new() }
    }

    /// One of a single table.
    pub(super) fn of(title: &str, table: &Table) -> Self {
        Self::new(title).with(table)
    }

    /// The same with one table more.
    pub(super) fn with(mut self, table: &Table) -> Self {
        self.body += &table.render();
        self
    }

    /// The same with a sentence below, if there is anything above.
    pub(super) fn note(mut self, sentence: &str) -> Self {
        if !self.body.is_empty() {
            let _ = writeln!(self.body, "<p>{}</p>", escape(sentence));
        }
        self
    }

    /// The card; nothing if there is nothing in it.
    pub(super) fn render(&self) -> String {
        match self.body.as_str() {
            "" => String::new(),
            body => format!("<section><h3>{}</h3>\n{body}</section>\n", self.title),
        }
    }
}

/// Times in the unit that fits each.
pub(super) fn times<const TIMES: usize>(times_ns: [f64; TIMES]) -> [String; TIMES] {
    times_ns.map(duration)
}

/// The columns count, p50, p99 and max.
pub(super) fn count_and_times(spread: &Spread) -> [String; 4] {
    let measured = [spread.p50_ns, spread.p99_ns, spread.max_ns].map(|ns| ns as f64);
    let [p50, p99, max] =
        if spread.count > 0 { times(measured) } else { measured.map(|_| NOTHING.to_owned()) };
    [spread.count.to_string(), p50, p99, max]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_further_in_and_words_are_escaped() {
        let mut table = Table::of_numbers(&["", "<b>"]);
        assert_eq!(
            (table.render(), Card::of("T", &table).note("n").render()),
            (String::new(), String::new())
        );
        table.row("whole", ["1".to_owned()]);
        table.row_in(1, "<part>", ["&".to_owned()]);
        table.row_if_any(2, "none", 0);
        let html = Card::of("<T>", &table).note("a > b").render();
        assert!(html.contains("<h3>&lt;T&gt;</h3>") && html.contains("<p>a &gt; b</p>"), "{html}");
        assert!(html.contains("<th scope=\"col\">&lt;b&gt;</th>"), "{html}");
        assert!(html.contains("<th scope=\"row\" class=\"in1\">&lt;part&gt;</th><td>&amp;</td>"), "{html}");
        assert!(!html.contains("none"));
    }

    #[test]
    fn what_was_not_measured_is_no_0() {
        assert_eq!(count_and_times(&Spread::default()), ["0", "-", "-", "-"]);
        let spread =
            Spread { count: 2, p50_ns: 1500, p99_ns: 2_000_000, max_ns: 2_000_001, ..Spread::default() };
        assert_eq!(count_and_times(&spread), ["2", "1.5 us", "2 ms", "2 ms"]);
    }
}
