//! What the report says of the storage manager behind a replay.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::command::{command, text};
use crate::made::{MadeTrace, keys, layout};

/// Replays a trace in a folder of its own.
fn replay(trace: MadeTrace, words: &str, adapter: Option<&str>) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("made.lct"), trace.bytes()).expect("room for a trace");
    let mut command = command(folder.path(), Path::new("made.lct"), &format!("{words} --no-csv"));
    adapter.map(|adapter| command.args(["--l2-adapter", adapter]));
    command.output().expect("the program runs")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("a JSON object and nothing else")
}

/// A write of most of an L1 of a MiB, and a call after the eviction thread had a look at it.
fn full_l1() -> MadeTrace {
    let stored = json!({"keys": keys("a"), "layout_desc": layout(1_000_000)});
    MadeTrace::new()
        .call(0.0, "reserve_write", stored)
        .call(0.0, "finish_write", json!({"keys": keys("a")}))
        .call(2.5, "finish_write", json!({"keys": keys("a")}))
}

const ISOLATED_LRU: &str = "--l1-size-gb 0.001 --eviction-policy IsolatedLRU";

#[test]
fn evictions_that_failed_are_counted_with_the_reason() {
    const REASON: &str = "IsolatedLRU evicts for one cache_salt at a time, and L1 names none";
    let output = replay(full_l1(), &format!("{ISOLATED_LRU} --format json"), None);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary = json_of(&output);
    let (evictions, failure) = (&summary["evictions"], &summary["evictions"]["failures"][0]);
    assert!(evictions["failed_passes"].as_u64() > Some(0), "{evictions}");
    assert_eq!(failure["failed_passes"], evictions["failed_passes"]);
    assert_eq!([&failure["l1"], &failure["policy"], &failure["reason"]], ["_default", "IsolatedLRU", REASON]);
    assert_eq!(summary["totals"]["evicted_keys"], 0);
    let output = replay(full_l1(), ISOLATED_LRU, None);
    let (table, said) = (text(&output.stdout), text(&output.stderr));
    assert!(table.contains("\nEviction passes that failed:  ") && table.contains(REASON), "{table}");
    assert!(said.contains("warning: L1 _default could not evict ") && said.contains(REASON), "{said}");
}

#[test]
fn evictions_that_work_are_not_mentioned() {
    let output = replay(full_l1(), &format!("{ISOLATED_LRU} --compat native"), None);
    assert!(!text(&output.stdout).contains("Eviction passes that failed"), "{}", text(&output.stdout));
    assert!(!text(&output.stderr).contains("could not evict"), "{}", text(&output.stderr));
}
