//! A trace that says what became of its calls: recorded against replayed.

use serde_json::Value;

use crate::command::{L1, command, replay, text};
use crate::common::unpack_to_file;

/// Replays a fixture into a native file, and that file with `words`.
fn replay_of_a_recording(words: &str) -> (Value, String) {
    let (output, folder) =
        replay(&unpack_to_file("traces/deterministic.lct"), &format!("{L1} --record r.lct --no-csv"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let native = folder.path().join("r.lct");
    let json = command(folder.path(), &native, &format!("{words} --format json")).output().expect("it runs");
    assert_eq!(json.status.code(), Some(0), "{}", text(&json.stderr));
    let csv = std::fs::read_to_string(folder.path().join("trace_replay_ops.csv")).expect("a CSV");
    let table = command(folder.path(), &native, &format!("{words} --no-csv")).output().expect("it runs");
    let table = text(&table.stdout);
    assert!(table.contains(" Recorded, Replayed (us): mean, p50, p90, p99 "), "{table}");
    let ours = table.split(" Config Differences ").next().expect("a table");
    assert!(ours.lines().all(|line| line.len() <= 64), "{table}");
    (serde_json::from_slice(&json.stdout).expect("JSON"), csv)
}

#[test]
fn the_same_configuration_hits_the_same_and_says_so() {
    let (summary, csv) = replay_of_a_recording(L1);
    let (recorded, ops) = (&summary["recorded"], summary["ops"].as_object().expect("operations"));
    let (mut prefetches, mut hit_keys) = (0, 0);
    for (name, op) in ops {
        let of_op = &recorded["ops"][name];
        assert_eq!(of_op["recorded_us"]["count"], op["count"], "{name}");
        assert_eq!(of_op["replayed_us"]["count"], op["count"], "{name}");
        assert!(of_op["recorded_us"]["p50"].as_f64() > Some(0.0), "{of_op}");
        if name.ends_with("submit_prefetch_task") {
            prefetches = op["count"].as_u64().expect("a count");
            hit_keys = of_op["recorded_hit_keys"].as_u64().expect("a count");
        }
    }
    assert!(prefetches > 0 && hit_keys > 0);
    let hits = &recorded["prefetch_hits"];
    for name in ["replayed", "compared", "equal"] {
        assert_eq!(hits[name], prefetches, "{name} of {hits}");
    }
    assert_eq!([&hits["recorded_hit_keys"], &hits["replayed_hit_keys"]], [hit_keys, hit_keys]);
    assert_eq!(recorded["data_ready"]["recorded_us"]["count"], prefetches);
    assert_eq!(recorded["data_ready"]["replayed_us"]["count"], prefetches);
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| rows[0].iter().position(|column| *column == name).expect(name);
    assert!(rows[1..].iter().all(|row| row[column("recorded_count")] == row[column("count")]), "{csv}");
}

/// Nothing fits: what hit there is missed here, prefetch by prefetch.
#[test]
fn a_configuration_that_hits_less_is_found_out() {
    let (summary, _) = replay_of_a_recording("--l1-size-gb 0.0001 --eviction-policy LRU");
    let hits = &summary["recorded"]["prefetch_hits"];
    let number = |name: &str| hits[name].as_u64().expect(name);
    assert!(number("fewer") > 0, "{hits}");
    assert_eq!(number("fewer") + number("equal") + number("more"), number("compared"));
    assert!(number("replayed_hit_keys") < number("recorded_hit_keys"), "{hits}");
    assert_eq!(summary["totals"]["hit_keys"], hits["replayed_hit_keys"]);
}

#[test]
fn a_trace_without_completions_says_nothing_of_its_calls() {
    let (output, _folder) =
        replay(&unpack_to_file("traces/tiny.lct"), &format!("{L1} --no-csv --format json"));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(summary["recorded"], Value::Null);
}
