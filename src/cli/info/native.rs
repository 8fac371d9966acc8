//! The summary of a native file on one screen: first the lines that every trace has, then what was lost, then what
//! only a native file knows.

use std::path::Path;

use super::screen::Screen;
use crate::analyze::NativeSummary;
use crate::cli::text;
use crate::format::native::pod::FORMAT_VERSION;
use crate::format::native::schema::{IndexedScope, IndexedThread};
use crate::trace::recover::repair::REPAIRED;

/// How many scopes, threads, gaps and damaged chunks are listed.
const MAX_LISTED: usize = 16;

/// Renders the summary.
pub(super) fn render(file: &Path, summary: &NativeSummary) -> String {
    let mut screen = Screen::new();
    screen.common_lines(file, summary);
    screen.loss_lines(summary);
    screen.config_lines(&summary.header.facts().sm_config_json);
    screen.state_lines(summary);
    screen.chunk_lines(summary);
    screen.count_lines(summary);
    screen.origin_lines(summary);
    screen.into_text()
}

/// `level_meta` as sorted pairs; nothing if it is no JSON object.
pub(super) fn level_meta(summary: &NativeSummary) -> Vec<(String, serde_json::Value)> {
    let parsed = serde_json::from_str(&summary.header.facts().level_meta_json);
    let Ok(serde_json::Value::Object(map)) = parsed else { return Vec::new() };
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    pairs
}

impl Screen {
    fn common_lines(&mut self, file: &Path, summary: &NativeSummary) {
        let facts = summary.header.facts();
        self.push(format_args!("Trace file: {}", text::printable(&file.display().to_string())));
        self.line(2, "level", text::printable(&facts.level));
        self.line(2, "format", format_args!("native {FORMAT_VERSION}"));
        self.line(2, "duration", format_args!("{:.3}s", summary.duration_s()));
        let digest = if facts.sm_config_digest.is_empty() { "(none)" } else { &facts.sm_config_digest };
        self.line(2, "sm_config_digest", text::printable(digest));
        let meta = level_meta(summary);
        self.meta_lines(meta.iter().map(|(name, value)| (name.as_str(), value)));
        self.op_lines(summary.index.calls, &summary.ops());
    }

    fn loss_lines(&mut self, summary: &NativeSummary) {
        let index = &summary.index;
        if index.lost == 0 {
            self.line(2, "lost_calls", 0);
        } else {
            let attempted = index.calls.saturating_add(index.lost);
            let percent = 100.0 * index.lost as f64 / attempted as f64;
            self.line(
                2,
                "LOST CALLS",
                format_args!(
                    "{} of {attempted} calls ({percent:.2} %) are not in the file: the recorder could not keep them",
                    index.lost
                ),
            );
        }
        self.line(2, "threads", index.threads.len());
        // Those that lost calls are listed first.
        let mut threads: Vec<_> = index.threads.iter().collect();
        threads.sort_by_key(|thread| std::cmp::Reverse(thread.lost));
        threads.iter().take(MAX_LISTED).for_each(|thread| self.thread_line(thread));
        self.rest(threads.len());
    }

    fn thread_line(&mut self, thread: &IndexedThread) {
        let name =
            if thread.facts.name.is_empty() { "(no name)".into() } else { text::short(&thread.facts.name) };
        let os = match thread.facts.os_thread_id {
            0 => String::new(),
            id => format!(", system thread {id}"),
        };
        let lost = if thread.lost > 0 { format!(", {} LOST", thread.lost) } else { String::new() };
        self.push(format_args!("    {} {name}{os}: {} calls{lost}", thread.number, thread.calls));
    }

    fn state_lines(&mut self, summary: &NativeSummary) {
        let kind = if summary.header.is_compact() { "native, compact (keys in a table)" } else { "native" };
        self.line(2, "kind", kind);
        self.line(
            2,
            "size",
            format_args!("{} bytes ({})", summary.size_bytes, text::bytes(summary.size_bytes)),
        );
        let chunks = summary.index.chunks.len();
        match (summary.is_closed, summary.header.converted_from()) {
            (true, None) => self.line(2, "complete", "yes, it was closed"),
            (true, Some(origin)) => {
                self.line(2, "complete", format_args!("NO: made of {}", text::printable(origin)));
            }
            (false, _) => self.line(
                2,
                "complete",
                format_args!(
                    "NO: not closed: counted from {}; {} bytes at the end are not vouched for",
                    text::plural(chunks as u64, "chunk"),
                    summary.unvouched_bytes
                ),
            ),
        }
        for (_, value) in summary.header.facts().metadata.iter().filter(|(name, _)| name == REPAIRED) {
            self.line(2, "REPAIRED", text::printable(value));
        }
        match summary.is_checked {
            true => self.line(2, "checked", "every chunk that is there was read"),
            false => self.line(2, "checked", "header and index only; --strict reads every chunk"),
        }
    }

    fn chunk_lines(&mut self, summary: &NativeSummary) {
        self.line(2, "chunks", summary.index.chunks.len());
        if !summary.damaged.is_empty() {
            self.line(2, "DAMAGED CHUNKS", summary.damaged.len());
        }
        for chunk in summary.damaged.iter().take(MAX_LISTED) {
            let (number, offset, calls) = (chunk.number, chunk.offset, chunk.calls);
            self.push(format_args!(
                "    {number} at offset {offset}, {}: {}",
                text::plural(calls, "call"),
                chunk.reason
            ));
        }
        self.rest(summary.damaged.len());
        if !summary.gaps.is_empty() {
            self.line(2, "GAPS", format_args!("{}, where chunks should be", summary.gaps.len()));
        }
        for gap in summary.gaps.iter().take(MAX_LISTED) {
            self.push(format_args!("    {} bytes at offset {}", gap.bytes, gap.offset));
        }
        self.rest(summary.gaps.len());
        if summary.unknown_chunks + summary.unknown_records > 0 {
            self.line(
                2,
                "of_unknown_kinds",
                format_args!("{} chunks, {} records", summary.unknown_chunks, summary.unknown_records),
            );
        }
    }

    fn count_lines(&mut self, summary: &NativeSummary) {
        let index = &summary.index;
        self.line(2, "completions", index.completions);
        self.line(2, "late_records", index.late);
        self.line(2, "keys", index.keys);
        match index.distinct_keys {
            Some(count) => self.line(2, "distinct_keys", count),
            None => self.line(2, "distinct_keys", "not counted"),
        }
        self.line(2, "scopes", index.scopes.len());
        index.scopes.iter().take(MAX_LISTED).for_each(|scope| self.scope_line(scope));
        self.rest(index.scopes.len());
    }

    fn scope_line(&mut self, indexed: &IndexedScope) {
        let scope = &indexed.scope;
        let salt = match scope.cache_salt.is_empty() {
            true => String::new(),
            false => format!(" salt {}", text::short(&scope.cache_salt)),
        };
        let (model, rank, group) = (text::short(&scope.model_name), scope.kv_rank, scope.object_group_id);
        self.push(format_args!("    {model} rank {rank:08x} group {group}{salt}: {} keys", indexed.keys));
    }

    fn origin_lines(&mut self, summary: &NativeSummary) {
        let (facts, fixed) = (summary.header.facts(), summary.header.fixed());
        self.line(2, "recorded_from", text::utc(fixed.wall_start_ns));
        if summary.index.calls > 0 {
            self.line(2, "last_call", text::utc(summary.header.wall_ns_of(summary.index.last_ns)));
        }
        self.line(2, "recording", format_args!("{:016x}, file {}", fixed.recording_id, fixed.file_number));
        for (label, value) in [("host", &facts.host), ("node", &facts.node), ("written_by", &facts.writer)] {
            if !value.is_empty() {
                self.line(2, label, text::short(value));
            }
        }
        if !facts.process.is_empty() || facts.pid != 0 {
            self.line(2, "process", format_args!("{} ({})", text::short(&facts.process), facts.pid));
        }
        for (name, value) in facts.metadata.iter().filter(|(name, _)| name != REPAIRED) {
            self.line(2, &text::short(name), text::short(value));
        }
    }

    fn rest(&mut self, count: usize) {
        if count > MAX_LISTED {
            self.push(format_args!("    ... and {} more", count - MAX_LISTED));
        }
    }
}
