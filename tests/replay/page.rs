//! The page of a replay: what is in it, and what must never be.

use std::path::Path;

use serde_json::{Value, json};

use crate::command::{L1, command, replay, text};
use crate::common::unpack_to_file;
use crate::made::MadeTrace;

/// Tags that have no end.
const VOID: [&str; 3] = ["!doctype", "meta", "link"];

/// Whether every tag ends where it should. Attributes hold no `>`.
fn check_tags(page: &str) {
    let mut open = Vec::new();
    for part in page.split('<').skip(1) {
        let (tag, _) = part.split_once('>').expect("a tag ends");
        let name: String = tag.trim_start_matches('/').chars().take_while(|c| !" /\n".contains(*c)).collect();
        match (tag.starts_with('/'), tag.ends_with('/') || VOID.contains(&name.as_str())) {
            (true, _) => assert_eq!(open.pop(), Some(name), "</{tag}>"),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

/// Nothing that a browser would run or fetch.
fn check_is_self_contained(page: &str) {
    for refused in
        ["<script", "<img", "<iframe", "http:", "https:", "url(", "@import", "src=", " on", "javascript:"]
    {
        let tags =
            page.split('<').skip(1).filter_map(|part| part.split_once('>')).map(|(tag, _)| format!("<{tag}"));
        let mut tags = tags.filter(|tag| !tag.contains("aria-label") && !tag.contains("http-equiv"));
        assert!(!tags.any(|tag| tag.contains(refused)), "{refused}");
    }
    assert!(page.contains("default-src 'none'"));
}

pub(crate) fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("the page")
}

#[test]
fn the_page_has_the_plots_and_the_numbers_of_the_report() {
    let trace = unpack_to_file("traces/deterministic.lct");
    let l2 = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}"#;
    let (output, folder) = replay(&trace, &format!("{L1} --no-csv --html a/b.html --l2-adapter {l2}"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "a/b.html");
    check_tags(&page);
    check_is_self_contained(&page);
    for title in ["Calls per second", "Latency", "Lag over time", "Lag", "Chunk hit rate", "L1", "L2"] {
        assert!(page.contains(&format!("<h3>{title}</h3>")), "{title}");
    }
    let rows = text(&output.stdout);
    let rows =
        rows.lines().filter_map(|line| line.split_once(": ")).filter(|(_, value)| value.starts_with(' '));
    let mut count = 0;
    for (label, value) in rows {
        // Long values may be broken into lines.
        let row = |class| format!("<th scope=\"row\">{}</th><td{class}>{}</td>", label.trim(), value.trim());
        assert!(page.contains(&row("")) || page.contains(&row(" class=\"long\"")), "{label}: {value}");
        count += 1;
    }
    assert!(count > 50, "{count}");
    assert!(page.contains("<td>348</td>"), "records replayed");
}

#[test]
fn a_trace_of_nothing_makes_a_page_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.lct");
    std::fs::write(&path, MadeTrace::new().bytes()).expect("room");
    let words = format!("{L1} --no-csv -q --html page.html");
    let output = command(folder.path(), &path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "page.html");
    check_tags(&page);
    assert!(!page.contains("<figure") && page.contains("<h2>The report</h2>"), "{page}");
    assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
}

/// A trace is not to be trusted, and pages are passed on.
#[test]
fn hostile_names_are_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("<img src=x onerror=alert(1)>&.lct");
    let hostile = "</title></style><script>alert('1')</script>\"'\u{202e}\u{1b}";
    let header_and_record =
        MadeTrace::new().record(1.0, hostile, json!({})).record(1.5, "javascript:x", json!({}));
    std::fs::write(&path, header_and_record.bytes()).expect("room");
    let words = format!("{L1} --no-csv -q --html page.html");
    let output = command(folder.path(), &path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let page = read(folder.path(), "page.html");
    check_tags(&page);
    check_is_self_contained(&page);
    assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&amp;.lct"), "{page}");
    assert!(!page.contains(['\u{202e}', '\u{1b}']));
}

#[test]
fn a_page_that_cannot_be_written_is_an_error_and_the_rest_is_there() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, folder) = replay(&trace, &format!("{L1} --html /dev/full --json"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/dev/full"), "{}", text(&output.stderr));
    let summary = std::fs::read(folder.path().join("trace_replay_summary.json")).expect("the summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["totals"]["records_replayed"], 59);
    let (output, _folder) = replay(&trace, &format!("{L1} --html /dev/null/x/page.html"));
    assert_eq!(output.status.code(), Some(2));
    let (output, _folder) = replay(&trace, &format!("{L1} --html same --perfetto same"));
    assert!(text(&output.stderr).contains("same file"), "{}", text(&output.stderr));
}
