//! Lines of labels and values, and those that both kinds of file have.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::analyze::RecordedConfig;
use crate::cli::text;
use crate::storage::config::DEFAULT_L1_TAG;

/// The column of the values, counted from the label; fits LMCache's longest label.
pub(super) const LABEL_WIDTH: usize = 28;

/// How many L1s are listed.
const MOST_L1S: usize = 16;

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

    /// What the trace was recorded from: a line for each L1.
    pub(super) fn config_lines(&mut self, sm_config_json: &str) {
        let Some(config) = RecordedConfig::parse(sm_config_json) else { return };
        for l1 in config.l1s.iter().take(MOST_L1S) {
            let part = |name: &str, part: Option<f64>| {
                part.map_or_else(String::new, |part| format!(", {name} {part}"))
            };
            let tag =
                if l1.tag == DEFAULT_L1_TAG { String::new() } else { format!("{}: ", text::short(&l1.tag)) };
            let (size, policy) = (text::bytes(l1.size_bytes), text::short(&l1.eviction_policy));
            let eviction =
                part("trigger_watermark", l1.trigger_watermark) + &part("eviction_ratio", l1.eviction_ratio);
            self.line(
                2,
                "recorded_l1",
                format_args!("{tag}{} bytes ({size}), {policy}{eviction}", l1.size_bytes),
            );
        }
        if config.l1s.len() > MOST_L1S {
            self.line(2, "recorded_l1", format_args!("and {} more", config.l1s.len() - MOST_L1S));
        }
        self.line(2, "recorded_l2_adapters", config.l2_adapters);
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
