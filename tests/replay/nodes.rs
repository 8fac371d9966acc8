//! Several traces at once, and parts of one, as the program replays them.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use lmcache::clock::{NS_PER_S, Waiter, monotonic_ns};
use serde_json::{Value, json};

use crate::command::{L1, text};
use crate::made::{MadeTrace, keys, layout, prefetch};

/// A folder with traces in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn save(&self, name: &str, trace: MadeTrace) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, trace.bytes()).expect("a file");
        path
    }

    fn command(&self, traces: &[&str], words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
        command.current_dir(self.0.path()).arg("replay").args(traces);
        command.args(L1.split_whitespace()).args(words.split_whitespace());
        command
    }

    fn replay(&self, traces: &[&str], words: &str) -> Output {
        self.command(traces, words).output().expect("the program runs")
    }

    fn summary(&self, traces: &[&str], words: &str) -> Value {
        let output = self.replay(traces, &format!("{words} --format json"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("an object")
    }
}

fn write(trace: MadeTrace, at_s: f64, names: &str) -> MadeTrace {
    let reserve = json!({"keys": keys(names), "layout_desc": layout(16), "mode": "new"});
    trace.call(at_s, "reserve_write", reserve).call(at_s, "finish_write", json!({"keys": keys(names)}))
}

fn ask(trace: MadeTrace, at_s: f64, names: &str) -> MadeTrace {
    trace.call(at_s, "submit_prefetch_task", prefetch(&[(names, -1)], 1))
}

#[test]
fn what_one_node_wrote_another_finds_if_its_clock_says_so() {
    let folder = Folder::new();
    folder.save("writes.lct", write(write(MadeTrace::started_at(100.0), 0.0, "a"), 3.0, "b"));
    folder.save("asks.lct", ask(ask(MadeTrace::started_at(101.0), 0.0, "a"), 1.0, "b"));
    let traces = ["asks.lct", "writes.lct"];
    let by_wall = folder.summary(&traces, "--asap");
    assert_eq!(by_wall["totals"]["hit_keys"], 1, "b is written a second after it is asked for");
    assert_eq!(by_wall["totals"]["records_replayed"], 6);
    let begins: Vec<f64> =
        by_wall["traces"].as_array().unwrap().iter().map(|node| node["begins_s"].as_f64().unwrap()).collect();
    assert_eq!(begins, [1.0, 0.0]);
    assert_eq!(by_wall["traces"][0]["path"], "asks.lct");
    let together = folder.summary(&traces, "--asap --align start");
    assert_eq!(together["totals"]["hit_keys"], 0, "at equal times the first trace comes first");
    let table = text(&folder.replay(&traces, "--asap").stdout);
    assert!(
        table.contains("\nTraces:                                                        2\n"),
        "{table}"
    );
    assert!(
        table.contains("\nasks.lct:                                                2 1.000\n"),
        "{table}"
    );
    assert!(folder.summary(&["asks.lct"], "--asap")["traces"].as_array().unwrap().is_empty());
}

#[test]
fn traces_of_different_days_are_told_of() {
    let folder = Folder::new();
    folder.save("old.lct", write(MadeTrace::started_at(100.0), 0.0, "a"));
    folder.save("new.lct", ask(MadeTrace::started_at(90_000.0), 0.0, "a"));
    let output = folder.replay(&["old.lct", "new.lct"], "--speed 1000000");
    let said = text(&output.stderr);
    assert!(said.contains("nothing is in any of them from 0 s to 89900 s; --align start"), "{said}");
    assert_eq!(output.status.code(), Some(0));
    let said = text(&folder.replay(&["old.lct", "new.lct"], "--speed 1000000 --align start").stderr);
    assert!(!said.contains("nothing is in any"), "{said}");
}

#[test]
fn one_bad_trace_of_several_is_named() {
    let folder = Folder::new();
    folder.save("good.lct", write(MadeTrace::new(), 0.0, "a"));
    std::fs::write(folder.0.path().join("bad.lct"), "text").expect("a file");
    let output = folder.replay(&["good.lct", "bad.lct"], "--asap");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bad.lct"), "{}", text(&output.stderr));
    let output = folder.replay(&["-", "-"], "--asap");
    assert_eq!(output.status.code(), Some(2));
    let many = vec!["good.lct"; 257];
    let said = text(&folder.replay(&many, "--asap").stderr);
    assert!(said.contains("at most 256 traces"), "{said}");
    assert_eq!(folder.summary(&many[..256], "--asap")["totals"]["records_replayed"], 512);
}

/// A trace of which only the first moments are wanted: what comes after them is not waited for, and not part of the time.
#[test]
fn a_part_is_over_when_its_last_call_is() {
    let folder = Folder::new();
    let mut trace = write(MadeTrace::new(), 0.0, "a");
    for number in 0..30_000 {
        trace = trace.call(5.0 + f64::from(number) * 1e-6, "finish_write", json!({"keys": keys("b")}));
    }
    folder.save("long.lct", trace);
    let summary = folder.summary(&["long.lct"], "--asap --to 1");
    assert_eq!(summary["totals"]["records_replayed"], 2);
    assert_eq!(summary["replay"]["left_out_records"], 30_000);
    let whole = folder.summary(&["long.lct"], "--asap");
    let seconds = |summary: &Value| summary["duration_s"].as_f64().unwrap();
    assert!(seconds(&summary) < seconds(&whole) / 10.0, "{} {}", seconds(&summary), seconds(&whole));
    let copies = folder.summary(&["long.lct"], "--asap --to 1 --tenants 2 --loop 3");
    assert_eq!(
        (&copies["totals"]["records_replayed"], &copies["replay"]["left_out_records"]),
        (&json!(12), &json!(180_000))
    );
}

#[test]
fn a_part_with_nothing_in_it_is_told_of() {
    let folder = Folder::new();
    folder.save("t.lct", write(MadeTrace::new(), 0.0, "a"));
    for words in ["--models typo", "--from 100", "--salts x", "--ops finish_read_prefetched"] {
        let output = folder.replay(&["t.lct"], &format!("--asap {words}"));
        let said = text(&output.stderr);
        assert!(said.contains("nothing was replayed: no record"), "{words}: {said}");
        assert_eq!(output.status.code(), Some(0));
    }
    assert!(!text(&folder.replay(&["t.lct"], "--asap").stderr).contains("nothing was replayed"));
}

/// Whether a process has a handler for SIGINT.
fn catches_interrupts(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("hexadecimal") >> 1 & 1 == 1
}

#[test]
fn an_interrupt_ends_a_search_that_finds_nothing() {
    let folder = Folder::new();
    let mut trace = MadeTrace::new();
    for _ in 0..20_000 {
        trace = trace.call(0.0, "finish_write", json!({"keys": keys("abcdefgh")}));
    }
    folder.save("t.lct", trace);
    let mut command = folder.command(&["t.lct"], "--asap --salts nobody --loop 10000 -q --json");
    let mut child = command.stdout(Stdio::null()).spawn().expect("the program runs");
    while !catches_interrupts(child.id()) {
        Waiter::new(0).wait_until_ns(monotonic_ns() + 1_000_000, || false);
    }
    Waiter::new(0).wait_until_ns(monotonic_ns() + NS_PER_S / 2, || false);
    let begun_ns = monotonic_ns();
    let killed = Command::new("kill").arg("-INT").arg(child.id().to_string()).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(monotonic_ns() - begun_ns < 2 * NS_PER_S);
    let summary =
        std::fs::read(folder.0.path().join("trace_replay_summary.json")).expect("the partial report");
    let summary: Value = serde_json::from_slice(&summary).expect("an object");
    assert_eq!(summary["interrupted"], true);
}

#[test]
fn an_l2_that_never_answers_is_a_finding_and_one_that_failed_now_and_then_under_strict() {
    let folder = Folder::new();
    folder.save("t.lct", ask(write(write(MadeTrace::new(), 0.0, "a"), 0.1, "b"), 0.2, "x"));
    let replay = |adapter: &Value, words: &str| {
        let mut command = folder.command(&["t.lct"], &format!("--asap --no-csv {words}"));
        command.args(["--l2-adapter", &adapter.to_string()]).output().expect("the program runs").status.code()
    };
    // Nobody listens there.
    let down = json!({"type": "resp", "host": "127.0.0.1", "port": 1});
    assert_eq!(replay(&down, ""), Some(1));
    let works = json!({"type": "mock", "max_size_gb": 1, "mock_bandwidth_gb": 10});
    assert_eq!((replay(&works, ""), replay(&works, "--strict")), (Some(0), Some(0)));
}
