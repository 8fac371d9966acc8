//! The summary on one screen: LMCache's lines first, in its order, then what it does not say.

use std::fmt::Display;
use std::path::Path;

use crate::analyze::{CallBytes, EventsSummary, TraceSummary};
use crate::cli::text;
use crate::format::lct::Level;

use super::screen::{LABEL_WIDTH, Screen};

/// How many models, salts and ranks are listed by name.
const MAX_LISTED: usize = 8;

/// Renders the summary.
pub(super) fn render(file: &Path, summary: &TraceSummary) -> String {
    let mut screen = Screen::new();
    screen.lmcache_lines(file, summary);
    screen.file_lines(summary);
    screen.key_lines(summary);
    screen.time_lines(summary);
    screen.into_text()
}

impl Screen {
    fn lmcache_lines(&mut self, file: &Path, summary: &TraceSummary) {
        let header = &summary.header;
        self.push(format_args!("Trace file: {}", text::printable(&file.display().to_string())));
        self.line(2, "level", text::printable(header.level.name()));
        self.line(2, "format_version", header.format_version);
        self.line(2, "trace_schema_version", header.trace_schema_version);
        self.line(2, "duration", format_args!("{:.3}s", summary.duration_s));
        let digest = if header.sm_config_digest.is_empty() { "(none)" } else { &header.sm_config_digest };
        self.line(2, "sm_config_digest", text::printable(digest));
        self.meta_lines(header.level_meta.iter().map(|(name, value)| (name.as_str(), value)));
        self.op_lines(summary.total_records, &summary.ops);
        if header.level == Level::Events {
            self.events_lines(&summary.events);
        }
    }

    fn events_lines(&mut self, events: &EventsSummary) {
        self.push(format_args!("  events:"));
        self.line(4, "instances", events.instances.len());
        for (instance, incarnations) in &events.instances {
            let restarts = incarnations.len().saturating_sub(1);
            let list: Vec<_> = incarnations.iter().map(i64::to_string).collect();
            let (instance, list) = (text::printable(instance), list.join(", "));
            self.push(format_args!("      {instance}: incarnations=[{list}] restarts={restarts}"));
        }
        self.push(format_args!("    batches (type/tier/backend/shared):"));
        for (kind, count) in &events.batches {
            let backend = if kind.backend.is_empty() { "-" } else { &kind.backend };
            let scope = if kind.shared { "shared" } else { "local" };
            let name = format!("{}/{}/{backend}/{scope}", kind.event_type, kind.tier);
            self.push(format_args!("      {}: {count}", text::printable(&name)));
        }
        if events.other_batches > 0 {
            self.push(format_args!("      (other kinds): {}", events.other_batches));
        }
        self.push(format_args!("    entries:"));
        for (event_type, count) in &events.entries {
            self.push(format_args!("      {}: {count}", text::printable(event_type)));
        }
        self.line(4, "store_bytes", events.store_bytes);
        self.line(4, "entries_with_tokens", events.entries_with_tokens);
        if !events.lifecycle.is_empty() {
            let marks: Vec<_> =
                events.lifecycle.iter().map(|(phase, count)| format!("{phase}={count}")).collect();
            self.line(4, "lifecycle", text::printable(&marks.join(", ")));
        }
        if events.incomplete {
            self.line(4, "note", "more names, or longer ones, than are kept: the lists above are incomplete");
        }
    }

    fn file_lines(&mut self, summary: &TraceSummary) {
        self.line(2, "kind", "lmcache (msgpack .lct)");
        self.line(
            2,
            "size",
            format_args!("{} bytes ({})", summary.size_bytes, text::bytes(summary.size_bytes)),
        );
        match summary.ending.is_truncated() {
            true => self.line(2, "complete", format_args!("NO: {}", summary.ending)),
            false => self.line(2, "complete", "yes, it ends with a whole frame"),
        }
        self.config_lines(&summary.header.sm_config_json);
        self.line(2, "skipped_records", summary.skipped_frames);
        self.line(2, "dropped_by_recorder", "unknown: LMCache does not record its losses");
        if summary.records_with_undecodable_keys > 0 {
            self.line(2, "records_with_bad_keys", summary.records_with_undecodable_keys);
        }
        if summary.events.undecodable > 0 {
            self.line(2, "records_with_bad_events", summary.events.undecodable);
        }
        if summary.events.undecodable_entries > 0 {
            self.line(2, "bad_store_events", summary.events.undecodable_entries);
        }
    }

    fn key_lines(&mut self, summary: &TraceSummary) {
        self.line(2, "keys", summary.keys);
        let distinct = summary.distinct_keys;
        match distinct.relative_error > 0.0 {
            true => self.line(
                2,
                "distinct_keys",
                format_args!(
                    "about {} (estimated, standard error {:.1} %)",
                    distinct.count,
                    100.0 * distinct.relative_error
                ),
            ),
            false => self.line(2, "distinct_keys", distinct.count),
        }
        self.byte_lines(&summary.call_bytes);
        let scopes = &summary.scopes;
        self.line(2, "models", listed(scopes.models.iter().map(|model| text::short(model))));
        self.line(2, "salts", salts(summary));
        self.line(2, "kv_ranks", listed(scopes.kv_ranks.iter().map(|rank| format!("0x{rank:08x}"))));
        self.line(2, "object_groups", listed(scopes.object_group_ids.iter()));
        if scopes.incomplete {
            self.line(2, "note", "more models, salts or ranks than are kept: the lists above are incomplete");
        }
    }

    fn byte_lines(&mut self, bytes: &CallBytes) {
        for (label, count, unsized_calls) in [
            ("bytes_reserve_write", bytes.reserve_write, bytes.unsized_reserve_writes),
            ("bytes_submit_prefetch", bytes.submit_prefetch_task, bytes.unsized_submit_prefetches),
            ("bytes_store_events", bytes.store_events, 0),
        ] {
            let known = format!("{count} ({})", text::bytes(count));
            let unknown =
                format!("unknown in {unsized_calls} of the calls, which do not say how large objects are");
            match (count > 0, unsized_calls > 0) {
                (true, true) => self.line(2, label, format_args!("{known}, {unknown}")),
                (true, false) => self.line(2, label, known),
                (false, true) => self.line(2, label, unknown),
                (false, false) => {}
            }
        }
    }

    fn time_lines(&mut self, summary: &TraceSummary) {
        let timeline = &summary.timeline;
        let peak = timeline.per_second().fold(0.0, f64::max);
        let span_s = timeline.width_s() * timeline.counts().len() as f64;
        if span_s > 0.0 {
            let mean =
                timeline.counts().iter().sum::<u64>() as f64 / summary.duration_s.max(timeline.width_s());
            let bars: Vec<f64> = timeline.per_second().collect();
            self.line(2, "calls_per_second", format_args!("|{}|", text::sparkline(bars.into_iter())));
            let bin = text::microseconds(timeline.width_s() * 1e6);
            self.push(format_args!(
                "{:1$}mean {mean:.1}, peak {peak:.1} in a bin of {bin}",
                "",
                2 + LABEL_WIDTH
            ));
        }
        if timeline.unusable() > 0 {
            self.line(2, "records_without_time", timeline.unusable());
        }
        let gaps = &summary.inter_arrival;
        if gaps.gaps > 0 {
            let [p50, p90, p99, max] =
                [gaps.p50_us, gaps.p90_us, gaps.p99_us, gaps.max_us].map(text::microseconds);
            self.line(2, "inter_arrival", format_args!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}"));
        }
        if gaps.backward > 0 {
            self.line(2, "records_out_of_order", gaps.backward);
        }
    }
}

fn salts(summary: &TraceSummary) -> String {
    let scopes = &summary.scopes;
    if summary.keys > 0 && scopes.keys_without_salt >= summary.keys {
        return "not recorded: tenants cannot be told apart".to_owned();
    }
    match scopes.salts.is_empty() {
        true => "none".to_owned(),
        false => listed(scopes.salts.iter().map(|salt| text::short(salt))),
    }
}

/// A list with at most [`MAX_LISTED`] names in it.
fn listed<T: Display>(items: impl ExactSizeIterator<Item = T>) -> String {
    let count = items.len();
    let mut names: Vec<_> = items.take(MAX_LISTED).map(|item| item.to_string()).collect();
    if count > MAX_LISTED {
        names.push(format!("and {} more", count - MAX_LISTED));
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
