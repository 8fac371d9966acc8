//! What is left of a replay that ends before its trace does.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use serde_json::{Value, json};

use crate::command::{L1, command, text};
use crate::made::{MadeTrace, keys};

/// Calls at these times.
fn trace_with_calls_at(folder: &Path, times_s: &[f64]) {
    let call =
        |trace: MadeTrace, time_s: &f64| trace.call(*time_s, "finish_write", json!({"keys": keys("a")}));
    let trace = times_s.iter().fold(MadeTrace::new(), call);
    std::fs::write(folder.join("made.lct"), trace.bytes()).expect("room for a trace");
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
}

/// Waits until the file has so many whole lines.
fn wait_for_lines(path: &Path, lines: usize) {
    let deadline_ns = monotonic_ns() + 30 * NS_PER_S;
    let written = || std::fs::read_to_string(path).unwrap_or_default().matches('\n').count();
    while written() < lines {
        assert!(monotonic_ns() < deadline_ns, "{} of {lines} lines are there", written());
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "{signal}");
}

/// A terminal that is closed sends SIGHUP, and often twice.
#[test]
fn a_terminal_that_is_closed_costs_no_results() {
    let folder = tempfile::tempdir().expect("a folder");
    trace_with_calls_at(folder.path(), &[0.0, 0.0, 600.0]);
    let words = format!("{L1} --json --jsonl-out x.jsonl --output report");
    let replay = command(folder.path(), Path::new("made.lct"), &words);
    // Whoever runs the tests may have been started by `nohup`, which is passed on.
    let mut env = Command::new("env");
    env.arg("--default-signal=HUP").arg(replay.get_program()).args(replay.get_args());
    env.current_dir(folder.path());
    let child = start(env);
    wait_for_lines(&folder.path().join("x.jsonl"), 2);
    send("-HUP", &child);
    send("-HUP", &child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
    let summary: Value = serde_json::from_str(&read("trace_replay_summary.json")).expect("JSON");
    assert_eq!((&summary["interrupted"], &summary["totals"]["records_replayed"]), (&true.into(), &2.into()));
    assert!(
        read("report").contains("Interrupted after:")
            && read("trace_replay_ops.csv").contains("finish_write")
    );
}

/// `nohup` starts a process that ignores SIGHUP.
#[test]
fn a_replay_that_is_to_outlive_its_terminal_does() {
    let folder = tempfile::tempdir().expect("a folder");
    trace_with_calls_at(folder.path(), &[0.0, 1.5]);
    let replay = command(folder.path(), Path::new("made.lct"), &format!("{L1} --no-csv --jsonl-out x.jsonl"));
    let mut nohup = Command::new("sh");
    nohup.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(replay.get_program()).args(replay.get_args());
    nohup.current_dir(folder.path());
    let child = start(nohup);
    wait_for_lines(&folder.path().join("x.jsonl"), 1);
    send("-HUP", &child);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(!text(&output.stdout).contains("Interrupted after"), "{}", text(&output.stdout));
}

#[test]
fn records_are_in_their_file_while_the_replay_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    trace_with_calls_at(folder.path(), &[0.0, 0.0, 0.5, 600.0]);
    let words = format!("{L1} --no-csv --jsonl-out x.jsonl");
    let mut child = start(command(folder.path(), Path::new("made.lct"), &words));
    let path = folder.path().join("x.jsonl");
    wait_for_lines(&path, 3);
    send("-KILL", &child);
    child.wait().expect("it ends");
    let lines = std::fs::read_to_string(&path).expect("the file");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        lines.iter().map(|line| line["seq"].as_u64()).collect::<Vec<_>>(),
        [Some(0), Some(1), Some(2)]
    );
}

/// Whoever reads the records from a pipe leaves; the replay goes on, and says what is missing.
#[test]
fn a_reader_of_the_records_that_leaves_is_an_error_at_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    trace_with_calls_at(folder.path(), &[0.0, 1.5, 2.0]);
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().is_ok_and(|made| made.success()));
    let words = format!("{L1} --no-csv --jsonl-out pipe");
    let child = start(command(folder.path(), Path::new("made.lct"), &words));
    let mut first = String::new();
    // Closed again when this returns.
    BufReader::new(std::fs::File::open(&path).expect("a pipe")).read_line(&mut first).expect("a record");
    assert!(first.contains("finish_write"), "{first}");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let (table, said) = (text(&output.stdout), text(&output.stderr));
    assert!(table.contains("Records replayed:                                              3"), "{table}");
    assert!(said.contains("warning: no more records go to pipe: Broken pipe"), "{said}");
    assert!(said.contains("error: the file with one object per record is not whole (path pipe)"), "{said}");
}
