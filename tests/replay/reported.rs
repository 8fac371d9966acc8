//! What the report says of the storage manager behind a replay.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::command::{L1, command, text};
use crate::made::{MadeTrace, keys, layout, prefetch};

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

/// A write, and a prefetch of it with a call 50 ms and one 2 s later.
fn prefetched() -> MadeTrace {
    let finish =
        |trace: MadeTrace, t_mono_s| trace.call(t_mono_s, "finish_write", json!({"keys": keys("a")}));
    let stored = json!({"keys": keys("a"), "layout_desc": layout(16)});
    let trace = finish(MadeTrace::new().call(0.0, "reserve_write", stored), 0.0).call(
        0.1,
        "submit_prefetch_task",
        prefetch(&[("a", -1)], 1),
    );
    finish(finish(trace, 0.15), 2.1)
}

fn mock(latency_ms: u64) -> String {
    format!(r#"{{"type":"mock","max_size_gb":0.001,"mock_bandwidth_gb":10,"latency_ms":{latency_ms}}}"#)
}

/// LMCache asks its adapters even if L1 has everything.
#[test]
fn how_late_a_prefetch_was_answered_is_in_the_report() {
    let summary = json_of(&replay(prefetched(), &format!("{L1} --format json"), Some(&mock(200))));
    let (prefetches, time_us) = (&summary["prefetches"], &summary["prefetches"]["submit_to_result_us"]);
    let counts = ["answered", "answered_after_call", "never_answered", "timed_out"];
    assert_eq!(counts.map(|name| prefetches[name].as_u64()), [1, 1, 0, 0].map(Some), "{prefetches}");
    assert!(prefetches["early_queries"].as_u64() >= Some(2), "{prefetches}");
    for quantile in ["p50", "p99", "max"] {
        assert!(time_us[quantile].as_f64() >= Some(200_000.0), "{prefetches}");
    }
    let table = text(&replay(prefetched(), L1, Some(&mock(200))).stdout);
    assert!(table.contains(" Prefetch Time (us): from submission to result "), "{table}");
    let later = table.lines().find(|line| line.starts_with("  that came after their call had returned:"));
    assert!(later.is_some_and(|line| line.ends_with(" 1")), "{table}");
}

#[test]
fn a_prefetch_that_was_given_up_is_counted() {
    let words = format!("{L1} --format json --prefetch-timeout-ms 300");
    let summary = json_of(&replay(prefetched(), &words, Some(&mock(60_000))));
    let prefetches = &summary["prefetches"];
    let counts = ["answered", "answered_after_call", "never_answered", "timed_out"];
    assert_eq!(counts.map(|name| prefetches[name].as_u64()), [1, 1, 0, 1].map(Some), "{prefetches}");
}

#[test]
fn without_l2_a_prefetch_is_answered_in_its_call() {
    let summary = json_of(&replay(prefetched(), &format!("{L1} --format json"), None));
    let prefetches = &summary["prefetches"];
    let counts = ["answered", "answered_after_call", "never_answered", "early_queries"];
    assert_eq!(counts.map(|name| prefetches[name].as_u64()), [1, 0, 0, 0].map(Some), "{prefetches}");
    let table = text(&replay(MadeTrace::new(), L1, None).stdout);
    assert!(!table.contains("Prefetch Time"), "{table}");
}

/// The parts of a prefetch, a store, and why the second chunk was missed.
#[test]
fn times_bytes_and_misses_are_in_the_report() {
    let trace = || {
        let missed = json!({"keys": keys("z")});
        prefetched().call(2.2, "submit_prefetch_task", prefetch(&[("az", -1)], 1)).call(
            2.9,
            "read_prefetched_results.__enter__",
            missed,
        )
    };
    let summary = json_of(&replay(trace(), &format!("{L1} --format json"), Some(&mock(100))));
    let (flow, misses) = (&summary["l2"]["flows"][0], &summary["misses"]);
    assert_eq!([&flow["name"], &flow["type"]], ["#1 (MockL2Adapter)", "mock"], "{flow}");
    assert_eq!([&flow["stores"]["objects"], &flow["stores"]["bytes"]], [1, 16], "{flow}");
    assert!(flow["written_to_stored_us"]["p50"].as_f64() >= Some(100_000.0), "{flow}");
    assert!(flow["stores"]["bytes_per_busy_s"].as_f64() <= Some(160.0), "{flow}");
    let parts = &summary["prefetches"]["with_l2_us"];
    for part in ["total", "queue", "lookup"] {
        assert_eq!(parts[part]["count"], 2, "{part} of {parts}");
    }
    assert!(parts["lookup"]["min"].as_f64() >= Some(100_000.0), "{parts}");
    assert_eq!(misses["prefetch_keys"], json!({"total": 1, "reasons": {"never_written": 1}}));
    assert_eq!(misses["read_keys"], json!({"total": 1, "reasons": {"never_written": 1}}));
    assert_eq!(summary["bytes"]["l1_reserved"]["bytes"], 16);
    assert_eq!(summary["hit_rates"]["per_byte"], json!({"hits": 32, "requested": 48, "rate": 32.0 / 48.0}));
    assert_eq!(summary["hit_rates"]["per_token"], Value::Null);
    let table = text(&replay(trace(), L1, Some(&mock(100))).stdout);
    for heading in ["Prefetch Parts", "L2 Times", "Keys That Prefetches Missed", "Keys That Reads Did Not"] {
        assert!(table.contains(&format!("- {heading}")), "{heading} in {table}");
    }
    assert!(table.lines().all(|line| line.len() <= 64), "{table}");
}

/// What was pinned, or the reason why not, whatever this process may lock.
#[test]
fn an_l1_that_is_to_be_pinned_says_how_much_of_it_is() {
    let words = "--l1-size-gb 0.001 --eviction-policy LRU --l1-pin mlock";
    let output = replay(full_l1(), &format!("{words} --format json"), None);
    let (pinned, said) = (&json_of(&output)["pinning"][0], text(&output.stderr));
    assert_eq!((&pinned["l1"], &pinned["total_bytes"]), (&json!("_default"), &json!(1_073_741)), "{pinned}");
    let is_locked = pinned["registration"] == "locked";
    if is_locked {
        assert_eq!((&pinned["registered_bytes"], &pinned["failure"]), (&json!(1_073_741), &Value::Null));
        assert!(!said.contains("pinned"), "{said}");
    } else {
        assert_eq!((&pinned["registration"], &pinned["registered_bytes"]), (&json!("degraded"), &json!(0)));
        assert!(pinned["failure"].as_str().expect("a reason").contains("ulimit -l"), "{pinned}");
        assert!(said.contains("warning: L1 _default is pinned in 0 of its 1073741 bytes"), "{said}");
    }
    let table = text(&replay(full_l1(), words, None).stdout);
    let line = format!("L1 _default pinned: {}", if is_locked { "locked" } else { "degraded" });
    assert!(table.contains(&line), "{table}");
}

#[test]
fn an_l1_that_nobody_pins_is_not_said_to_be() {
    let words = "--l1-size-gb 0.001 --eviction-policy LRU";
    assert_eq!(json_of(&replay(full_l1(), &format!("{words} --format json"), None))["pinning"], json!([]));
    let output = replay(full_l1(), words, None);
    assert!(!text(&output.stdout).contains("pinned") && !text(&output.stderr).contains("pinned"));
}
