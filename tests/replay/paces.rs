//! The flags of pace, order, workers, parts and copies, as people type them.

use serde_json::Value;

use crate::command::{L1, replay};
use crate::common;

/// The JSON report of a replay of a fixture.
fn report(fixture: &str, words: &str) -> Value {
    let trace = common::unpack_to_file(fixture);
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --format json {words}"));
    assert!(output.status.success(), "{words}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one object")
}

fn refusal(words: &str) -> String {
    let trace = common::unpack_to_file("traces/tiny.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv {words}"));
    assert_eq!(output.status.code(), Some(2), "{words}");
    String::from_utf8_lossy(&output.stderr).lines().next().expect("a sentence").to_owned()
}

#[test]
fn every_pace_and_every_number_of_workers_finds_the_same() {
    const L2: &str = "--l2-adapter {\"type\":\"mock\",\"max_size_gb\":0.1,\"mock_bandwidth_gb\":10}";
    let first = report("traces/small.lct", &format!("--asap {L2}"));
    assert_eq!(first["replay"]["order"], "causal");
    assert_eq!((&first["replay"]["workers"], &first["schedule"]["calls"]), (&1.into(), &0.into()));
    for words in ["--speed 5 --workers 2", "--rate 20000/s --workers 4", "--order causal --low-cpu"] {
        let other = report("traces/small.lct", &format!("{words} {L2}"));
        for part in ["totals", "reads", "writes"] {
            assert_eq!(first[part], other[part], "{words} {part}");
        }
        assert_eq!(other["unsettled_calls"], 0);
    }
}

#[test]
fn the_recorded_pace_is_recorded_order_unless_it_is_told() {
    let usual = report("traces/tiny.lct", "");
    assert_eq!(
        (&usual["replay"]["pace"], &usual["replay"]["order"]),
        (&"as recorded".into(), &"recorded".into())
    );
    assert_eq!(report("traces/tiny.lct", "--speed 3")["replay"]["speed"], 3.0);
    assert_eq!(report("traces/tiny.lct", "--asap --order recorded")["replay"]["order"], "recorded");
}

#[test]
fn a_part_is_replayed_and_the_rest_counted() {
    let all = report("traces/small.lct", "--asap");
    let records = |report: &Value| report["totals"]["records_replayed"].as_u64().expect("a count");
    let [early, late] =
        ["--asap --to 0.25", "--asap --from 0.25"].map(|words| report("traces/small.lct", words));
    assert_eq!(records(&early) + records(&late), records(&all));
    assert_eq!(early["replay"]["left_out_records"].as_u64(), Some(records(&late)));
    let writes = report("traces/small.lct", "--asap --ops reserve_write,finish_write");
    assert_eq!(writes["totals"]["requested_keys"], 0);
    assert_eq!(writes["replay"]["left_out_records"].as_u64(), Some(records(&all) - records(&writes)));
    let nobody = report("traces/small.lct", "--asap --models nobody");
    assert_eq!(records(&nobody), 0);
}

#[test]
fn copies_are_loops_and_tenants() {
    let once = report("traces/small.lct", "--asap");
    let twice = report("traces/small.lct", "--asap --loop 2");
    let tenants = report("traces/small.lct", "--asap --tenants 3");
    let count = |report: &Value, name: &str| report["totals"][name].as_u64().expect("a count");
    for (name, copies) in [("records_replayed", &twice), ("requested_keys", &twice)] {
        assert_eq!(count(copies, name), 2 * count(&once, name), "{name}");
    }
    for name in ["records_replayed", "requested_keys", "hit_keys", "served_chunks"] {
        assert_eq!(count(&tenants, name), 3 * count(&once, name), "tenants share nothing: {name}");
    }
    assert!(
        count(&twice, "hit_keys") > 2 * count(&once, "hit_keys"),
        "the second loop finds what the first left"
    );
}

#[test]
fn wrong_flags_are_refused_by_a_sentence() {
    for (words, part) in [
        ("--speed 0", "from 0.000001 to 1000000"),
        ("--rate many", "a number of records a second"),
        ("--rate 0/s", "from 0.000001 to 1000000000"),
        ("--workers 0", "from 1 to 256"),
        ("--workers 257", "from 1 to 256"),
        ("--loop 0", "from 1 to 10000"),
        ("--tenants 10001", "from 1 to 10000"),
        ("--ops read", "no operation of this name"),
        ("--from=-1", "not below 0"),
        ("--from 2 --to 2", "begin before it ends"),
        ("--asap --speed 2", "cannot be used with"),
    ] {
        let sentence = refusal(words);
        assert!(sentence.contains(part), "{words}: {sentence}");
    }
}

#[test]
fn a_replay_that_falls_behind_says_since_when() {
    let trace = common::unpack_to_file("traces/rate_5000.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --format json --rate 1000000000"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("behind its schedule, by up to ") && said.contains("due from 0.00"), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    let longest = &report["schedule"]["longest_late"];
    assert!(
        longest["max_us"].as_f64() > Some(100_000.0) && longest["calls"].as_u64() > Some(1000),
        "{longest}"
    );
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --format json --asap"));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(report["schedule"]["longest_late"].is_null(), "no call was late");
}
