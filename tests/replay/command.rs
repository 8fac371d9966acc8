//! `lmcache-trace replay` as people and programs use it.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use lmcache::clock::{NS_PER_S, monotonic_ns};
use serde_json::Value;

use crate::common::{UnpackedFile, unpack_to_file};

pub(crate) fn command(folder: &Path, trace: &Path, words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    command.current_dir(folder).arg("replay").arg(trace).args(words.split_whitespace());
    command
}

/// Runs in a folder of its own, beside which the trace lies.
pub(crate) fn replay(trace: &UnpackedFile, words: &str) -> (Output, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = command(folder.path(), &trace.path, words).output().expect("the program runs");
    (output, folder)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub(crate) const L1: &str = "--l1-size-gb 0.1 --eviction-policy LRU";

/// How many records tiny.lct has.
const TINY_RECORDS: usize = 59;

/// LMCache's own report of this trace, but for what depends on the machine.
#[test]
fn the_table_begins_as_lmcaches_does() {
    let trace = unpack_to_file("traces/deterministic.lct");
    let (output, folder) = replay(&trace, L1);
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    let expected = "\
===================== Trace Replay Result ======================
--------------------------- Overall ----------------------------
Trace level:                                             storage
Records replayed:                                            348
Records skipped:                                               0
Records failed:                                                0
";
    assert!(table.starts_with(expected), "{table}");
    assert!(
        table.contains("\nConfig digest:                                  match (b5016ff1)\n"),
        "{table}"
    );
    assert!(
        table.contains("\nread_prefetched_results.enter count:                          56\n"),
        "{table}"
    );
    assert!(
        table.contains("\nKeys requested by prefetches:                                878\n"),
        "{table}"
    );
    assert!(table.lines().all(|line| line.len() <= 64), "{table}");
    assert!(table.contains("cells: rows x columns"), "{table}");
    let warning = text(&output.stderr);
    assert!(warning.contains("storage configuration") && warning.contains("asynchronous"), "{warning}");
    assert!(folder.path().join("trace_replay_ops.csv").exists());
    assert!(!folder.path().join("trace_replay_summary.json").exists());
}

#[test]
fn files_hold_what_the_flags_ask_for() {
    let trace = unpack_to_file("traces/deterministic.lct");
    let words = format!("{L1} --json --output-dir a/b --jsonl-out c/d/x.jsonl --format json");
    let (output, folder) = replay(&trace, &words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);

    let csv = read("a/b/trace_replay_ops.csv");
    let mut rows = csv.split("\r\n");
    let lmcache = "qualname,count,errors,mean_ms,p50_ms,p90_ms,p99_ms,min_ms,max_ms";
    let columns = rows.next().expect("a header");
    assert!(columns.starts_with(&format!("{lmcache},response_count,response_mean_ms,")), "{columns}");
    let rows: Vec<&str> = rows.filter(|row| !row.is_empty()).collect();
    assert_eq!(rows.len(), 6);
    assert!(rows.is_sorted());
    let cells: Vec<&str> = rows[0].split(',').collect();
    assert_eq!((cells.len(), cells[9]), (columns.split(',').count(), cells[1]), "every call was due");
    let times = cells[3..9].iter().chain(&cells[10..15]);
    assert!(times.clone().all(|cell| cell.split_once('.').is_some_and(|(_, d)| d.len() == 6)), "{cells:?}");
    assert!(cells[15..].iter().all(|cell| cell.is_empty()), "an LMCache file says nothing of its calls");

    let summary: Value = serde_json::from_str(&read("a/b/trace_replay_summary.json")).expect("JSON");
    assert_eq!(text(&output.stdout), read("a/b/trace_replay_summary.json"));
    assert_eq!(summary["totals"]["records_replayed"], 348);
    assert_eq!(summary["totals"]["requested_keys"], 878);
    assert_eq!(summary["ops"].as_object().map(serde_json::Map::len), Some(6));
    assert_eq!(summary["interrupted"], false);
    for quantile in ["p50", "p99", "p999", "max"] {
        assert!(summary["lag_us"][quantile].is_number(), "{quantile}");
    }

    let lines = read("c/d/x.jsonl");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 348);
    for (seq, line) in lines.iter().enumerate() {
        assert_eq!((line["seq"].as_u64(), &line["failed"]), (Some(seq as u64), &Value::Bool(false)));
        assert!(line["qualname"].is_string());
        let number = |name: &str| line[name].as_f64().expect(name);
        let response_us = number("lag_us") + number("latency_ms") * 1e3;
        assert!((number("response_us") - response_us).abs() < 1e-3, "{line}");
    }
}

#[test]
fn verbose_prints_a_line_per_record_and_quiet_prints_nothing() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --verbose --no-csv"));
    let lines = text(&output.stdout);
    assert!(lines.starts_with("  [1/59]  OK  "), "{lines}");
    assert_eq!(lines.lines().filter(|line| line.contains("ms  lmcache.v1")).count(), 59);
    let (output, folder) = replay(&trace, &format!("{L1} -q --no-csv --verbose"));
    assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(0), 0, 0));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

/// An adapter whose flag is right, and whose folder cannot be made.
const FS_NOWHERE: &str = r#"{"type":"fs","base_path":"/dev/null/x"}"#;

#[test]
fn what_is_wrong_is_said_before_the_replay_starts() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let events = unpack_to_file("traces/server_events.lct");
    let fs_nowhere = format!("{L1} --l2-adapter {FS_NOWHERE}");
    let cases = [
        (&trace, "", "--l1-size-gb and --eviction-policy"),
        (&trace, "--l1-size-gb 1 --eviction-policy LRU --l2-adapter {}", "flag --l2-adapter"),
        (&trace, fs_nowhere.as_str(), "/dev/null/x"),
        (&trace, "--l1-size-gb 1 --eviction-policy LRU --output-dir /dev/null/x", "/dev/null/x"),
        (&trace, "--l1-size-gb 1 --eviction-policy LRU --jsonl-out /dev/null/x/y", "/dev/null/x"),
        (&trace, "--l1-size-gb 1 --eviction-policy LRU --output /dev/null/x", "/dev/null/x"),
        (&events, "--l1-size-gb 1 --eviction-policy LRU", "level \"events\""),
    ];
    for (trace, words, expected) in cases {
        let (output, _folder) = replay(trace, words);
        assert_eq!(output.status.code(), Some(2), "{words}");
        let error = text(&output.stderr);
        assert!(error.starts_with("error: ") && error.contains(expected), "{words}: {error}");
        assert!(!error.contains("warning"), "{words}: {error}");
    }
}

#[test]
fn an_adapter_that_cannot_start_leaves_an_earlier_file_as_it_was() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().expect("a folder"));
    let lines = folder.path().join("x.jsonl");
    std::fs::write(&lines, "earlier").expect("room");
    let words = format!("{L1} --jsonl-out x.jsonl --l2-adapter {FS_NOWHERE}");
    let output = command(folder.path(), &trace.path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&lines).expect("the file"), "earlier");
}

#[test]
fn strict_makes_an_incomplete_trace_a_finding() {
    let trace = unpack_to_file("traces/cut_in_body.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv"));
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("Trace is cut short at byte:"));
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --strict"));
    assert_eq!(output.status.code(), Some(1));
}

/// L1 far larger than the machine costs nothing until somebody writes.
#[test]
fn a_huge_l1_is_free() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, _folder) = replay(&trace, "--l1-size-gb 1000 --eviction-policy LRU --no-csv");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

/// The disk fills while the replay runs: it goes on, reports, and says what is missing.
#[test]
fn a_full_disk_is_an_error_at_the_end() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --jsonl-out /dev/full"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/dev/full"));
    assert!(
        text(&output.stdout).contains("Records replayed:                                             59")
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let trace = unpack_to_file("traces/small.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(folder.path(), &trace.path, &format!("{L1} --verbose"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut first).expect("a line");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stderr).contains("error"));
    assert!(folder.path().join("trace_replay_ops.csv").exists());
}

#[test]
fn an_interrupt_ends_with_the_partial_report() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(folder.path(), &trace.path, &format!("{L1} --verbose --format json"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    // Beside JSON the lines go to standard error.
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let is_record = |line: &String| line.contains("ms  lmcache.v1");
    lines.by_ref().map(|line| line.expect("UTF-8")).find(is_record).expect("the first record");
    let killed = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()));
    lines.for_each(drop);
    let mut stdout = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("UTF-8");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    let summary: Value = serde_json::from_str(&stdout).expect("a JSON object and nothing else");
    assert_eq!(summary["interrupted"], true);
    let replayed = summary["totals"]["records_replayed"].as_u64().expect("a number");
    assert!((1..112).contains(&replayed), "{replayed}");
}

#[test]
fn an_interrupt_ends_the_wait_for_prefetches_too() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().expect("a folder"));
    let slow = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10,"latency_ms":60000}"#;
    let begun_ns = monotonic_ns();
    let mut child = command(folder.path(), &trace.path, &format!("{L1} --verbose --format json"))
        .args(["--l2-adapter", slow])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines =
        BufReader::new(child.stderr.take().expect("piped")).lines().map(|line| line.expect("UTF-8"));
    let records = lines.by_ref().filter(|line| line.contains("ms  lmcache.v1"));
    assert_eq!(records.take(TINY_RECORDS).count(), TINY_RECORDS);
    let killed = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()));
    lines.for_each(drop);
    let output = child.wait_with_output().expect("it ends");
    assert!(monotonic_ns() - begun_ns < 15 * NS_PER_S, "nothing waits for the adapter");
    assert_eq!(output.status.code(), Some(130));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a JSON object and nothing else");
    assert_eq!(summary["interrupted"], true);
    assert_eq!(summary["totals"]["records_replayed"], TINY_RECORDS);
    assert!(summary["totals"]["unresolved_prefetches"].as_u64() > Some(0), "{summary}");
    assert_eq!(summary["prefetches"]["never_answered"], summary["totals"]["unresolved_prefetches"]);
}

#[test]
fn the_last_value_of_a_repeated_flag_counts() {
    let trace = unpack_to_file("traces/tiny.lct");
    let words =
        format!("--l1-size-gb 1 --eviction-policy noop {L1} --no-csv --no-csv -q --output a --output b");
    let (output, folder) = replay(&trace, &words);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(folder.path().join("b").exists() && !folder.path().join("a").exists());
}

/// The dispatcher has a CPU to itself: no other thread of the process may run there, the evicting one neither.
#[test]
fn no_thread_shares_the_dispatchers_cpu() {
    if std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() < 2) {
        return;
    }
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = command(folder.path(), &trace.path, &format!("{L1} --verbose --no-csv"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    stdout.read_line(&mut String::new()).expect("the first record");
    let threads = threads_and_cpus(child.id());
    child.kill().and_then(|()| child.wait()).expect("it ends");
    let dispatcher = threads.iter().find(|(name, _)| name.starts_with("lmcache-replay")).expect("a worker");
    let [cpu] = dispatcher.1.as_slice() else { panic!("{threads:?}") };
    let sharing = threads.iter().filter(|(_, cpus)| cpus.contains(cpu)).count();
    assert!(threads.len() >= 3 && sharing == 1, "{threads:?}");
}

/// The names of a process's threads, and the CPUs that they may run on.
fn threads_and_cpus(pid: u32) -> Vec<(String, Vec<u32>)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    let statuses = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok());
    let field = |status: &str, name: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a field of every status").trim().to_owned()
    };
    let cpus = |list: String| -> Vec<u32> {
        let ranges = list.split(',').map(|range| range.split_once('-').unwrap_or((range, range)));
        let number = |text: &str| text.parse::<u32>().expect("a number");
        ranges.flat_map(|(first, last)| number(first)..=number(last)).collect()
    };
    statuses.map(|status| (field(&status, "Name:"), cpus(field(&status, "Cpus_allowed_list:")))).collect()
}
