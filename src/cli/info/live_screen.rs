//! A moment of a file that is followed: a screen, a line, or a JSON object.

use std::path::Path;

use serde_json::json;

use super::live::{LiveState, LiveThread};
use super::screen::Screen;
use crate::cli::text;
use crate::format::lct::json::escape_controls;
use crate::format::native::Header;

/// How many threads are listed.
const MAX_LISTED: usize = 8;

/// The screen.
pub(super) fn screen(file: &Path, header: &Header, state: &LiveState<'_>) -> String {
    let (mut screen, counts) = (Screen::new(), state.counts);
    screen.push(format_args!("Trace file: {}", text::printable(&file.display().to_string())));
    let facts = header.facts();
    if !facts.process.is_empty() {
        let (process, host) = (text::short(&facts.process), text::short(&facts.host));
        screen.line(2, "recorded_by", format_args!("{process} ({}) on {host}", facts.pid));
    }
    screen.line(2, "recording_for", format_args!("{:.0}s", state.duration_s));
    let commit = state.commit_age_s.map_or("none yet".to_owned(), |age_s| format!("{age_s:.1}s ago"));
    screen.line(2, "last_commit", commit);
    let size = format!("{} bytes ({})", state.size_bytes, text::bytes(state.size_bytes));
    screen.line(2, "size", size);
    screen.line(2, "calls_per_second", rate_with_bars(state));
    screen.op_lines(counts.calls, &counts.ops());
    screen.line(2, "completions", counts.completions);
    screen.line(2, "late_records", counts.late);
    match counts.lost {
        0 => screen.line(2, "lost_calls", 0),
        lost => screen.line(2, "LOST CALLS", lost),
    }
    screen.live_thread_lines(state);
    screen.push(format_args!("Ctrl-C ends this with the summary"));
    screen.into_text()
}

fn rate_with_bars(state: &LiveState<'_>) -> String {
    match state.calls_per_s {
        None => "reading what is there".to_owned(),
        Some(rate) => {
            let bars = text::sparkline(state.rates.iter().copied());
            let seconds = state.rates.len();
            format!("{rate:.1}  |{bars}| {seconds}s")
        }
    }
}

impl Screen {
    fn live_thread_lines(&mut self, state: &LiveState<'_>) {
        let threads = &state.counts.threads;
        self.line(2, "threads", threads.len());
        // Those that lost calls are listed first, then the busiest.
        let mut threads: Vec<_> = threads.iter().collect();
        threads.sort_by_key(|(_, thread)| std::cmp::Reverse((thread.lost, thread.calls)));
        for (number, LiveThread { name, calls, lost }) in threads.iter().take(MAX_LISTED) {
            let name = if name.is_empty() { "(no name)".into() } else { text::short(name) };
            let lost = if *lost > 0 { format!(", {lost} LOST") } else { String::new() };
            self.push(format_args!("    {number} {name}: {calls} calls{lost}"));
        }
        if threads.len() > MAX_LISTED {
            self.push(format_args!("    ... and {} more", threads.len() - MAX_LISTED));
        }
    }
}

/// The line, and its end.
pub(super) fn line(state: &LiveState<'_>) -> String {
    let rate = state.calls_per_s.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
    let (time, size) = (text::utc(state.now_wall_ns), text::bytes(state.size_bytes));
    let (calls, lost) = (state.counts.calls, state.counts.lost);
    format!("{time}  {calls:>12} calls  {rate:>12} calls/s  {lost:>9} lost  {size:>10}\n")
}

/// The object on one line, and its end. Fields of the summary have the same names there.
pub(super) fn json(file: &Path, state: &LiveState<'_>) -> String {
    let counts = state.counts;
    let threads = counts.threads.iter().map(|(number, thread)| {
        json!({
            "number": number, "name": thread.name, "calls": thread.calls, "lost_calls": thread.lost,
        })
    });
    let object = json!({
        "file": file.display().to_string(),
        "kind": "live",
        "time_unix_ns": state.now_wall_ns,
        "recording_for_s": state.duration_s,
        "size_bytes": state.size_bytes,
        "total_records": counts.calls,
        "calls_per_s": state.calls_per_s,
        "ops": counts.ops(),
        "lost_calls": counts.lost,
        "threads": threads.collect::<Vec<_>>(),
        "completions": counts.completions,
        "late_records": counts.late,
        "last_commit_age_s": state.commit_age_s,
    });
    escape_controls(&object.to_string()).into_owned() + "\n"
}
