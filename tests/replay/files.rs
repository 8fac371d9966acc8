//! What the command writes, what it must not overwrite, and how it ends when it cannot write.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::command::{L1, command, replay, text};
use crate::common::unpack_to_file;
use crate::made::{MadeTrace, keys, layout};

/// A trace with a call that fails (its objects have no bytes), then one that succeeds half a second later.
fn failing_trace(folder: &Path) -> PathBuf {
    let path = folder.join("failing.lct");
    let trace = MadeTrace::new()
        .call(0.0, "reserve_write", json!({"keys": keys("a"), "layout_desc": layout(0)}))
        .call(0.5, "finish_write", json!({"keys": keys("a")}));
    fs::write(&path, trace.bytes()).expect("room for a trace");
    path
}

#[test]
fn an_output_that_names_the_trace_is_refused_and_the_trace_is_intact() {
    let trace = unpack_to_file("traces/tiny.lct");
    let before = fs::read(&trace.path).expect("a trace");
    for flag in ["--output", "--jsonl-out"] {
        let (output, folder) = replay(&trace, &format!("{L1} {flag} {}", trace.path.display()));
        assert_eq!(output.status.code(), Some(2), "{flag}");
        assert!(text(&output.stderr).contains("same file"), "{}", text(&output.stderr));
        assert!(fs::read(&trace.path).is_ok_and(|after| after == before), "{flag}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}

#[test]
fn a_missing_trace_leaves_an_earlier_report_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report");
    fs::write(&report, "earlier").expect("room");
    let words = format!("{L1} --output report --jsonl-out report.jsonl");
    let output = command(folder.path(), Path::new("missing.lct"), &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&report).expect("the report"), "earlier");
    assert!(!folder.path().join("report.jsonl").exists());
}

#[test]
fn a_csv_that_cannot_be_written_takes_nothing_else_with_it() {
    let trace = unpack_to_file("traces/tiny.lct");
    let folder = tempfile::tempdir().expect("a folder");
    symlink("/dev/full", folder.path().join("trace_replay_ops.csv")).expect("a link");
    let words = format!("{L1} --json --output report");
    let output = command(folder.path(), &trace.path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("trace_replay_ops.csv"), "{}", text(&output.stderr));
    let summary = fs::read(folder.path().join("trace_replay_summary.json")).expect("the summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["totals"]["records_replayed"], 59);
    assert!(text(&output.stdout).starts_with("===="));
    assert_eq!(text(&output.stdout), fs::read_to_string(folder.path().join("report")).expect("the report"));
}

#[test]
fn failed_records_are_a_finding_even_if_nobody_reads_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = failing_trace(folder.path());
    let mut child = command(folder.path(), &trace, &format!("{L1} --no-csv --verbose"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    assert!(first.contains("FAIL"), "{first}");
    assert_eq!(child.wait().expect("it ends").code(), Some(1));
}

#[test]
fn a_report_that_cannot_be_printed_is_an_error() {
    let trace = unpack_to_file("traces/tiny.lct");
    let folder = tempfile::tempdir().expect("a folder");
    for words in ["", "--verbose"] {
        let full = File::options().write(true).open("/dev/full").expect("a full disk");
        let output = command(folder.path(), &trace.path, &format!("{L1} {words}"))
            .stdout(full)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(text(&output.stderr).contains("standard output"), "{}", text(&output.stderr));
        assert!(folder.path().join("trace_replay_ops.csv").exists());
    }
}

/// Whatever else is shown, standard output is one JSON object.
#[test]
fn json_with_verbose_is_json() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --format json --verbose"));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a JSON object and nothing else");
    assert_eq!(summary["totals"]["records_replayed"], 59);
    assert!(summary["totals"]["served_chunks"].is_u64() && summary["definitions"]["hit_keys"].is_string());
    let lines = text(&output.stderr);
    assert_eq!(lines.lines().filter(|line| line.contains("ms  lmcache.v1")).count(), 59);
}
