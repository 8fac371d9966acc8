//! A host in C that replays: the same answers as the command line gives, progress, and a cancel from anywhere.

use std::process::Command;

use serde_json::Value;

use crate::checkers::check_clean;
use crate::common::unpack_to_file;
use crate::compile::Host;

/// What the command line says of the same replay.
fn expected(path: &str) -> Value {
    let words =
        ["--asap", "--l1-size-gb", "0.25", "--eviction-policy", "LRU", "--format", "json", "-q", "--no-csv"];
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"))
        .args(["replay", path])
        .args(words)
        .arg("--output")
        .arg(&report)
        .output()
        .expect("the command runs");
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("JSON")
}

/// Every name in `part` is in `whole`, on all levels that are objects, lists aside.
fn is_part_of(part: &Value, whole: &Value, place: &str) {
    let (Value::Object(part), Value::Object(whole)) = (part, whole) else { return };
    for (name, value) in part {
        let place = format!("{place}.{name}");
        let known = whole.get(name).unwrap_or_else(|| panic!("the command line does not say {place}"));
        is_part_of(value, known, &place);
    }
}

#[test]
fn a_host_replays_with_the_results_of_the_command_line() {
    let host = Host::compile("replay.c");
    for name in ["small", "multi_l1", "server_demo"] {
        let file = unpack_to_file(&format!("traces/{name}.lct"));
        let path = file.path.to_str().expect("UTF-8");
        let said = host.succeed(&["play", path]);
        let (numbers, json) = said.trim_end().split_once('\n').expect("numbers and JSON");
        let (json, expected): (Value, Value) = (serde_json::from_str(json).expect("JSON"), expected(path));
        for part in [
            "totals",
            "reads",
            "writes",
            "trace",
            "evictions",
            "unsettled_calls",
            "level",
            "skips",
            "failures",
        ] {
            assert_eq!(json[part], expected[part], "{name}: {part}");
        }
        let totals = [
            "records_replayed",
            "records_failed",
            "records_skipped",
            "requested_chunks",
            "served_chunks",
            "requested_keys",
            "hit_keys",
            "evicted_keys",
        ];
        let mut numbers_said: Vec<String> =
            totals.iter().map(|total| expected["totals"][total].to_string()).collect();
        numbers_said.push(expected["reads"]["found_nothing"].to_string());
        assert_eq!(numbers, numbers_said.join(" "), "{name}");
        is_part_of(&json, &expected, "");
    }
}

#[test]
fn a_replay_takes_a_whole_configuration() {
    let host = Host::compile("replay.c");
    let file = unpack_to_file("traces/small.lct");
    let path = file.path.to_str().expect("UTF-8");
    let said = host.succeed(&["configured", path]);
    let (numbers, _) = said.split_once('\n').expect("numbers and JSON");
    assert!(host.succeed(&["play", path]).starts_with(numbers), "{said}");
}

#[test]
fn several_traces_are_replayed_at_once() {
    let host = Host::compile("replay.c");
    let file = unpack_to_file("traces/small.lct");
    let path = file.path.to_str().expect("UTF-8");
    let said = host.succeed(&["play", path, path]);
    assert!(said.starts_with("2864 0 0 "), "{said}");
}

#[test]
fn a_replay_is_cancelled_from_another_thread_and_from_its_callback() {
    let host = Host::compile("replay.c");
    let file = unpack_to_file("traces/small.lct");
    let path = file.path.to_str().expect("UTF-8");
    host.succeed(&["cancel", path]);
    check_clean("replay.c", &["cancel", path]);
}

#[test]
fn a_replay_that_gets_no_threads_fails_tells_so_and_can_be_run_again() {
    let host = Host::compile("replay.c");
    let file = unpack_to_file("traces/tiny.lct");
    host.succeed(&["refused", file.path.to_str().expect("UTF-8")]);
}
