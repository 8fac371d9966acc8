//! `lmcache-trace compare` as people and programs use it.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use lmcache::compare::catalogue;
use serde_json::Value;

use crate::common::unpack_to_file;

/// No pace, so that runs are short; in causal order, so that hits are the same in each.
pub(crate) const QUICK: &str = "--l1-size-gb 0.1 --eviction-policy LRU --asap";

pub(crate) fn command(trace: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    command.arg("compare").arg(trace).args(arguments);
    command
}

pub(crate) fn compare(trace: &Path, arguments: &[&str]) -> Output {
    command(trace, arguments).args(["--format", "json"]).output().expect("the program runs")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

pub(crate) fn summary_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

#[test]
fn differences_that_are_exact_are_told_exactly() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let large = QUICK.replace("0.1", "1");
    let output = compare(&trace.path, &["--a", &large, "--b", QUICK, "--runs", "8", "--warmup", "0"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary = summary_of(&output);
    let served = &summary["metrics"]["chunks_served"];
    assert_eq!((&served["kind"], &served["change"]), (&"exact".into(), &(-112.0).into()));
    assert_eq!((&served["first"]["min"], &served["second"]["max"]), (&256.0.into(), &144.0.into()));
    assert_eq!(
        (&served["changed"], &summary["metrics"]["records_failed"]["changed"]),
        (&true.into(), &false.into())
    );
    let runs = |side: &str| summary[side]["runs"].as_array().map(Vec::len);
    assert_eq!((runs("a"), runs("b")), (Some(8), Some(8)));
    assert_eq!(summary["metrics"]["duration"]["kind"], "estimated");
}

/// With an L2 that has what L1 had to give up, so that each metric of the catalogue is somewhere in a real summary.
#[test]
fn every_metric_is_measured() {
    let trace = unpack_to_file("traces/server_bench.lct");
    let with_l2 = r#"--l1-size-gb 0.1 --eviction-policy LRU --rate 5000 --l2-adapter '{"type":"mock","max_size_gb":8,"mock_bandwidth_gb":90}'"#;
    let output = compare(&trace.path, &["--a", with_l2, "--aa", "--runs", "6", "--confidence", "0.95"]);
    let summary = summary_of(&output);
    for metric in catalogue() {
        assert!(summary["metrics"][&metric.name].is_object(), "{} is in no summary", metric.name);
    }
    assert!([Some(0), Some(1)].contains(&output.status.code()));
}

#[test]
fn the_table_has_columns_and_a_conclusion() {
    let trace = unpack_to_file("traces/tiny.lct");
    let output = command(&trace.path, &["--a", QUICK, "--aa", "--runs", "8"])
        .env("CLICOLOR_FORCE", "1")
        .output()
        .expect("the program runs");
    let table = text(&output.stdout);
    assert!(table.contains("\nmetric ") && table.contains("A again") && table.contains("noise"), "{table}");
    assert!(table.contains("with 99 % confidence"), "{table}");
    assert!(table.contains("Zero in all runs: ") && !table.contains('\u{1b}'), "{table}");
}

#[test]
fn what_is_wrong_is_said_before_the_first_run() {
    let trace = unpack_to_file("traces/tiny.lct");
    let events = unpack_to_file("traces/server_events.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room for a file");
        path.display().to_string()
    };
    let gate = write("gate.json", r#"{"metrics":{"keys_hit":{"max_decrease":0}}}"#);
    let missing =
        write("missing.json", r#"{"metrics":{"keys_hit":{"max_decrease":0}},"baseline":"nowhere.json"}"#);
    let unknown = write("unknown.json", r#"{"metrics":{"keys_hits":{"max_decrease":0}}}"#);
    // A run would end with this error: it is no flag that can be judged, and so proves that no run was made.
    let nowhere = format!("{QUICK} --l2-adapter '{{\"type\":\"fs\",\"base_path\":\"/dev/null/x\"}}'");
    let cases: [(&Path, &[&str], &str); 13] = [
        (&trace.path, &["--a", &nowhere], "nothing to compare A with"),
        (&trace.path, &["--a", &nowhere, "--b", "--l1-size-gb x"], "option --b"),
        (
            &trace.path,
            &["--a", &nowhere, "--b", "--l1-size-gb 1 --eviction-policy LRU --jsonl-out x"],
            "--jsonl-out",
        ),
        (&trace.path, &["--a", "--l1-size-gb 1", "--aa"], "--l1-size-gb and --eviction-policy"),
        (&trace.path, &["--a", &format!("{QUICK} --speed 0"), "--aa"], "--speed"),
        (&trace.path, &["--a", &nowhere, "--aa", "--runs", "7"], "so few runs"),
        (&trace.path, &["--a", &nowhere, "--gate", &gate], "nothing to compare A with"),
        (&trace.path, &["--a", &nowhere, "--b", QUICK, "--gate", &missing], "nowhere.json"),
        (&trace.path, &["--a", &nowhere, "--aa", "--gate", &unknown], "keys_hits"),
        (&trace.path, &["--a", &nowhere, "--aa", "--gate", "/dev/null/gate"], "/dev/null/gate"),
        (&trace.path, &["--a", &nowhere, "--aa", "--output", "/dev/null/x/y"], "/dev/null/x/y"),
        (&events.path, &["--a", &nowhere, "--aa"], "level 'storage'"),
        (Path::new("-"), &["--a", &nowhere, "--aa"], "has to be a file"),
    ];
    for (trace, arguments, wanted) in cases {
        let output = compare(trace, arguments);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
        assert!(said.lines().all(|line| line.starts_with("error:") || line.starts_with("hint:")), "{said}");
    }
    let both = compare(&trace.path, &["--a", QUICK, "--b", QUICK, "--aa"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_run_that_fails_says_why_and_which() {
    let trace = unpack_to_file("traces/tiny.lct");
    let nowhere = format!("{QUICK} --l2-adapter '{{\"type\":\"fs\",\"base_path\":\"/dev/null/x\"}}'");
    let output = compare(&trace.path, &["--a", QUICK, "--b", &nowhere]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/dev/null/x") && said.contains("configuration B"), "{said}");
}

#[test]
fn a_gate_passes_fails_and_refuses() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let gate = |json: &str| {
        let path = folder.path().join("gate.json");
        std::fs::write(&path, json).expect("room for a gate");
        path.display().to_string()
    };
    let large = QUICK.replace("0.1", "1");
    let verdict = |json: &str| {
        let arguments = ["--a", &large, "--b", QUICK, "--runs", "8", "--warmup", "0", "--gate", &gate(json)];
        let output = compare(&trace.path, &arguments);
        let verdict = summary_of(&output)["gate"]["verdict"].as_str().unwrap_or_default().to_owned();
        (output.status.code(), verdict, text(&output.stderr))
    };
    let (code, word, _) = verdict(r#"{"metrics":{"chunks_served":{"max_decrease":112}}}"#);
    assert_eq!((code, word.as_str()), (Some(0), "passed"));
    let (code, word, _) = verdict(r#"{"metrics":{"chunks_served":{"max_decrease":111}}}"#);
    assert_eq!((code, word.as_str()), (Some(1), "failed"));
    // There is no L2, so nothing says how much is in it.
    let (code, word, said) = verdict(r#"{"metrics":{"l2.bytes":{"max_increase":0}}}"#);
    assert_eq!((code, word.as_str()), (Some(2), "refused"));
    assert!(said.contains("there is no verdict: l2.bytes"), "{said}");
}

/// A pace that no machine can keep: a hundred thousand times as fast, in the recorded order.
#[test]
fn a_load_that_is_not_delivered_gets_no_verdict() {
    let trace = unpack_to_file("traces/small.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let gate = folder.path().join("gate.json");
    std::fs::write(&gate, r#"{"metrics":{"keys_evicted":{"max_increase":1000000}}}"#).expect("room");
    let hopeless = "--l1-size-gb 0.1 --eviction-policy LRU --speed 100000 --order recorded";
    let arguments = ["--a", hopeless, "--b", hopeless, "--runs", "8", "--gate", &gate.display().to_string()];
    let output = compare(&trace.path, &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("this machine did not deliver the load"), "{said}");
    assert!(
        said.contains("hint: ") && said.contains("--asap") && said.contains("max_late_percent"),
        "{said}"
    );
}

#[test]
fn a_baseline_is_saved_and_compared_with() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let other = unpack_to_file("traces/tiny.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (baseline, gate) = (path("main.json"), path("gate.json"));
    let large = QUICK.replace("0.1", "1");
    let saved = compare(&trace.path, &["--a", &large, "--runs", "8", "--save-baseline", &baseline]);
    assert_eq!(saved.status.code(), Some(0), "{}", text(&saved.stderr));
    std::fs::write(&gate, r#"{"metrics":{"chunks_served":{"max_decrease":0}},"baseline":"main.json"}"#)
        .expect("room");
    for (flags, code) in [(large.as_str(), 0), (QUICK, 1)] {
        let output = compare(&trace.path, &["--a", flags, "--runs", "8", "--gate", &gate]);
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        assert_eq!(summary_of(&output)["columns"][0], "baseline");
    }
    // A gate that is broken does not move the measure to where it would be kept.
    let before = std::fs::read(&baseline).expect("a baseline");
    let arguments = ["--a", QUICK, "--runs", "8", "--gate", &gate, "--save-baseline", &baseline];
    let output = compare(&trace.path, &arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no baseline is saved: the gate did not pass"));
    assert!(std::fs::read(&baseline).expect("a baseline") == before);
    let output = compare(&other.path, &["--a", QUICK, "--runs", "8", "--gate", &gate]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("another trace"));
}

/// Ctrl-C ends the run at hand, what is whole is reported, and the run has put its place in L2 away.
#[test]
fn an_interrupted_comparison_reports_what_is_whole() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let kv = folder.path().join("kv");
    let slow = format!(
        "--l1-size-gb 0.1 --eviction-policy LRU --l2-adapter '{{\"type\":\"fs\",\"base_path\":\"{}\"}}'",
        kv.display()
    );
    let mut command = command(&trace.path, &["--a", &slow, "--aa", "--warmup", "0", "--format", "json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let deadline_ns = monotonic_ns() + 30 * NS_PER_S;
    while std::fs::read_dir(&kv).map_or(0, Iterator::count) == 0 {
        assert!(monotonic_ns() < deadline_ns, "no run begins");
        std::thread::park_timeout(Duration::from_millis(10));
    }
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    let summary = summary_of(&output);
    assert_eq!((&summary["interrupted"], &summary["a"]["runs"]), (&true.into(), &Value::Array(Vec::new())));
    assert!(!kv.exists(), "the run has left something");
}
