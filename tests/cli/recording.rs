//! Replays that leave a trace of themselves.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::unpack_to_file;
use crate::{command, run, stderr, stdout};

const REPLAY: &str = "replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv";

fn replay(words: &str, trace: &Path, record: &Path) -> Output {
    command(&format!("{REPLAY} {words}")).arg(trace).arg("--record").arg(record).output().expect("runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).expect("JSON")
}

#[test]
fn a_replay_leaves_a_trace_with_what_became_of_each_call() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out.lct");
    for name in ["traces/tiny.lct", "traces/deterministic.lct"] {
        let trace = unpack_to_file(name);
        let output = replay("--format json", &trace.path, &out);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let summary = json(&output);
        let (totals, reads, recording) = (&summary["totals"], &summary["reads"], &summary["recording"]);
        let number = |value: &Value| value.as_u64().expect("a count");
        let calls = number(&totals["records_replayed"]) + number(&reads["closed_leftovers"])
            - number(&reads["unmatched_exits"]);
        assert!(calls > 50, "{summary}");
        assert_eq!((number(&recording["calls"]), number(&recording["completions"])), (calls, calls));
        assert_eq!((&recording["lost_calls"], &recording["complete"]), (&0.into(), &true.into()));

        let verified = run("verify", &out);
        assert!(stdout(&verified).contains("nothing found"), "{}", stdout(&verified));
        assert_eq!(verified.status.code(), Some(0));
        let info = json(&run("info --strict --format json", &out));
        assert_eq!((&info["total_records"], &info["completions"]), (&calls.into(), &calls.into()));
        assert_eq!((&info["closed"], &info["lost_calls"]), (&true.into(), &0.into()));
        assert_eq!(info["ops"], json(&run("info --format json", &trace.path))["ops"], "{name}");
        assert_eq!(summary["config"]["replay_digest"], info["sm_config_digest"]);
    }
}

#[test]
fn the_table_has_the_recording() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().expect("a folder"));
    let output = replay("", &trace.path, &folder.path().join("out.lct"));
    let table = stdout(&output);
    assert!(table.contains(" Recording of This Replay "), "{table}");
    assert!(
        table.contains("\nCalls written:                                                59\n"),
        "{table}"
    );
    assert!(
        table.contains("\nCompletions written:                                          59\n"),
        "{table}"
    );
    let table = stdout(&run(REPLAY, &trace.path));
    assert!(!table.contains("Recording"), "{table}");
}

#[test]
fn a_recording_is_never_written_over_its_input_or_into_a_stream() {
    let trace = unpack_to_file("traces/tiny.lct");
    let before = std::fs::read(&trace.path).expect("a trace");
    let output = replay("", &trace.path, &trace.path);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("would be overwritten"), "{}", stderr(&output));
    assert_eq!(std::fs::read(&trace.path).expect("a trace"), before);
    let output = replay("", &trace.path, Path::new("/dev/null"));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("only be recorded into a regular file"), "{}", stderr(&output));
    let output = replay("", &trace.path, Path::new("/nonexistent/out.lct"));
    assert_eq!(output.status.code(), Some(2));
}

/// A file may have ten KiB: the recording stops, and the replay goes on to its end.
#[test]
fn a_recording_that_stops_is_a_warning_and_exit_code_1() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().expect("a folder"));
    let out = folder.path().join("out.lct");
    let script = format!("ulimit -f 20; exec \"$0\" {REPLAY} --format json \"$1\" --record \"$2\"");
    let program = env!("CARGO_BIN_EXE_lmcache-trace");
    let output = Command::new("sh").args(["-c", &script, program]).args([&trace.path, &out]).output();
    let output = output.expect("sh runs");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("the replay is not recorded any more, and goes on: cannot write trace file"),
        "{said}"
    );
    assert!(said.contains("warning: the recording of the replay is not whole (path "), "{said}");
    let summary = json(&output);
    assert_eq!(summary["totals"]["records_replayed"], 59);
    assert_eq!(summary["recording"]["complete"], false);
    assert!(
        summary["recording"]["failure"].as_str().is_some_and(|why| why.contains("the recording stopped"))
    );
}
