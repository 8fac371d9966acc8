//! Columns under each other, with headings between, and sentences that end where the terminal does.

use anstyle::Style;

/// Whether a text has colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Colours,
}

/// A line of a table.
pub(super) enum Line {
    /// Above the lines that share it; as wide as it likes.
    Heading(String),
    /// A cell for each column.
    Cells(Vec<String>, Style),
}

/// Lines with their columns under each other: the first to the left, numbers to the right, the last as it comes.
pub(super) fn push_lines(text: &mut String, lines: &[Line], paint: Paint) {
    let rows = || {
        lines.iter().filter_map(|line| match line {
            Line::Cells(cells, _) => Some(cells),
            Line::Heading(_) => None,
        })
    };
    let columns = rows().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        rows().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width_of).collect();
    for line in lines {
        match line {
            Line::Heading(heading) => text.push_str(heading),
            Line::Cells(cells, style) => {
                push_painted(text, aligned(cells, &widths).trim_end(), *style, paint)
            }
        }
        text.push('\n');
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        line.push_str(&match column {
            0 => format!("{cell:<width$}"),
            _ if column + 1 == widths.len() => format!("  {cell}"),
            _ => format!("  {cell:>width$}"),
        });
    }
    line
}

pub(super) fn push_painted(text: &mut String, line: &str, style: Style, paint: Paint) {
    match paint {
        Paint::Plain => text.push_str(line),
        Paint::Colours => text.push_str(&format!("{style}{line}{style:#}")),
    }
}

/// A sentence as a paragraph of lines that are `width` wide at most, where its words are no longer.
pub(super) fn push_wrapped(text: &mut String, sentence: &str, width: usize) {
    let mut at = 0;
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if at > 0 {
            let fits = at + 1 + length <= width;
            text.push(if fits { ' ' } else { '\n' });
            at = if fits { at + 1 } else { 0 };
        }
        text.push_str(word);
        at += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other_and_colours_are_for_terminals() {
        let row = |cells: [&str; 3], style| Line::Cells(cells.map(str::to_owned).to_vec(), style);
        let lines = [
            row(["metric", "A", ""], Style::new().bold()),
            Line::Heading("a heading".to_owned()),
            row(["  .x", "10.0 us", "noise"], Style::new()),
        ];
        let mut plain = String::new();
        push_lines(&mut plain, &lines, Paint::Plain);
        assert_eq!(plain, "metric        A\na heading\n  .x    10.0 us  noise\n");
        let mut painted = String::new();
        push_lines(&mut painted, &lines, Paint::Colours);
        assert!(painted.starts_with("\u{1b}[1mmetric"), "{painted:?}");
    }

    #[test]
    fn sentences_end_where_the_terminal_does() {
        let wrapped = |sentence: &str, width| {
            let mut text = String::new();
            push_wrapped(&mut text, sentence, width);
            text
        };
        assert_eq!(wrapped("one two three", 13), "one two three\n");
        assert_eq!(wrapped("one two three", 12), "one two\nthree\n");
        assert_eq!(wrapped("longer than that", 3), "longer\nthan\nthat\n");
    }
}
