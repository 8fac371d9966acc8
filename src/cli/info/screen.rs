//! Lines of labels and values, and those that both kinds of file have.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::cli::text;

/// The column of the values, counted from the label; fits LMCache's longest label.
pub(super) const LABEL_WIDTH: usize = 28;

/// A report in the making.
pub(super) struct Screen(String);

impl Screen {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{text}");
    }

    pub(super) fn line(&mut self, indent: usize, label: &str, value: impl Display) {
        let label = format!("{}:", text::printable(label));
        self.push(format_args!("{:indent$}{label:<LABEL_WIDTH$}{value}", ""));
    }

    /// The facts of the level.
    pub(super) fn meta_lines<'m>(
        &mut self,
        meta: impl IntoIterator<Item = (&'m str, &'m serde_json::Value)>,
    ) {
        for (name, value) in meta {
            match value {
                serde_json::Value::String(value) => self.line(2, name, text::printable(value)),
                other => self.line(2, name, text::printable(&as_python_prints(other))),
            }
        }
    }

    /// How many records, and of which operations.
    pub(super) fn op_lines(&mut self, total_records: u64, ops: &BTreeMap<String, u64>) {
        self.line(2, "total_records", total_records);
        self.push(format_args!("  ops:{}", if ops.is_empty() { " (none)" } else { "" }));
        for (qualname, count) in ops {
            self.push(format_args!("    {}: {count}", text::printable(qualname)));
        }
    }
}

/// A value that is no string, as LMCache's report has it.
fn as_python_prints(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "None".to_owned(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    }
}
