//! The timeline for Perfetto: what a viewer relies on.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::command::{L1, command, replay, text};
use crate::common::unpack_to_file;
use crate::made::MadeTrace;

/// The events of a timeline, of which the fields that every event has are there.
fn events(folder: &std::path::Path, name: &str) -> Vec<Value> {
    let file = std::fs::read(folder.join(name)).expect("the timeline");
    let events: Vec<Value> = serde_json::from_slice(&file).expect("a JSON array");
    for event in &events {
        assert!(event["ph"].is_string() && event["name"].is_string() && event["pid"] == 1, "{event}");
        assert!(event["ph"] == "M" || event["ts"].as_f64().is_some_and(|ts| ts >= 0.0), "{event}");
    }
    events
}

fn of_phase<'a>(events: &'a [Value], phase: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["ph"] == phase)
}

/// Microseconds as whole nanoseconds.
fn ns(value: &Value) -> u64 {
    (value.as_f64().expect("microseconds") * 1e3).round() as u64
}

/// The slices of each track, as begin and end.
fn slices(events: &[Value]) -> HashMap<u64, Vec<(u64, u64)>> {
    let mut tracks: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
    for slice in of_phase(events, "X") {
        let begin_ns = ns(&slice["ts"]);
        let track = slice["tid"].as_u64().expect("a track");
        tracks.entry(track).or_default().push((begin_ns, begin_ns + ns(&slice["dur"])));
    }
    tracks
}

#[test]
fn tracks_are_named_and_their_slices_follow_each_other() {
    let trace = unpack_to_file("traces/deterministic.lct");
    let (output, folder) = replay(&trace, &format!("{L1} --no-csv --format json --perfetto replay.json"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let events = events(folder.path(), "replay.json");

    let named = |kind: &str, track: u64| {
        of_phase(&events, "M").find(|event| event["name"] == kind && event["tid"] == track).is_some()
    };
    assert!(named("process_name", 0));
    for (track, slices) in slices(&events) {
        assert!(named("thread_name", track) && named("thread_sort_index", track), "{track}");
        assert!(slices.windows(2).all(|pair| pair[0].1 <= pair[1].0), "track {track}: {slices:?}");
    }
    let calls = of_phase(&events, "X").filter(|slice| slice["cat"] == "call");
    let seqs: Vec<u64> = calls.map(|slice| slice["args"]["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs.len() as u64, summary["totals"]["records_replayed"].as_u64().expect("a number"));

    let prefetches: Vec<&Value> = of_phase(&events, "X").filter(|slice| slice["cat"] == "prefetch").collect();
    assert_eq!(prefetches.len() as u64, summary["prefetches"]["answered"].as_u64().expect("a number"));
    let served = prefetches.iter().map(|slice| {
        let (_, shares) = slice["name"].as_str().and_then(|name| name.split_once(' ')).expect("two words");
        let (served, _) = shares.split_once('/').expect("a share");
        served.parse::<u64>().expect("a number")
    });
    assert_eq!(served.sum::<u64>(), summary["totals"]["served_chunks"].as_u64().expect("a number"));
}

/// Each arrow begins in a slice and ends in one, later.
#[test]
fn arrows_have_both_ends_in_slices() {
    let trace = unpack_to_file("traces/deterministic.lct");
    for pace in ["", "--asap --workers 2"] {
        let (output, folder) = replay(&trace, &format!("{L1} --no-csv -q --perfetto flows.json {pace}"));
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        check_arrows(&events(folder.path(), "flows.json"));
    }
}

fn check_arrows(events: &[Value]) {
    let tracks = slices(events);
    let ends = |phase| -> HashMap<u64, (u64, u64)> {
        let ends = of_phase(events, phase);
        let end = |event: &Value| {
            (
                event["id"].as_u64().expect("a number"),
                (event["tid"].as_u64().expect("a track"), ns(&event["ts"])),
            )
        };
        let count = of_phase(events, phase).count();
        let ends: HashMap<_, _> = ends.map(end).collect();
        assert_eq!(ends.len(), count, "no number twice");
        ends
    };
    let (begins, ends) = (ends("s"), ends("f"));
    assert_eq!(begins.len(), ends.len());
    let names = |name: &str| of_phase(events, "s").filter(|begin| begin["name"] == name).count();
    assert!(names("written, prefetched") > 0 && names("prefetched, read") > 0, "{begins:?}");
    for (number, begin) in &begins {
        let end = ends[number];
        assert!(begin.1 <= end.1, "arrow {number}");
        for (track, at_ns) in [*begin, end] {
            let is_within = tracks[&track].iter().any(|(from, to)| (*from..=*to).contains(&at_ns));
            assert!(is_within, "arrow {number} at {at_ns} of track {track}");
        }
    }
}

#[test]
fn counters_go_forward() {
    let trace = unpack_to_file("traces/deterministic.lct");
    let l2 = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":10}"#;
    let (output, folder) = replay(&trace, &format!("{L1} --no-csv -q --perfetto c.json --l2-adapter {l2}"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let events = events(folder.path(), "c.json");
    let mut last: HashMap<&str, u64> = HashMap::new();
    for counter in of_phase(&events, "C") {
        let name = counter["name"].as_str().expect("a name");
        let at_ns = ns(&counter["ts"]);
        assert!(last.insert(name, at_ns).is_none_or(|before_ns| before_ns <= at_ns), "{name}");
        let values = counter["args"].as_object().expect("values");
        assert!(values.len() == 1 && values.values().all(Value::is_number), "{counter}");
    }
    for name in ["L1 used", "L2 used", "chunk hit rate", "lag", "evicted"] {
        assert!(last.contains_key(name), "{name}");
    }
    let l1 = of_phase(&events, "C").filter(|counter| counter["name"] == "L1 used");
    assert!(l1.filter_map(|counter| counter["args"]["bytes"].as_f64()).any(|bytes| bytes > 0.0));
}

/// Names from a trace are text, whatever they are.
#[test]
fn skipped_records_stand_in_the_timeline() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a\".lct");
    let hostile = "\"}],\n\u{7}</script>";
    let trace = MadeTrace::new().record(1.0, hostile, json!({}));
    std::fs::write(&path, trace.bytes()).expect("room");
    let words = format!("{L1} --no-csv -q --perfetto t.json");
    let output = command(folder.path(), &path, &words).output().expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let events = events(folder.path(), "t.json");
    let skipped = of_phase(&events, "i").next().expect("an instant");
    let name = skipped["name"].as_str().expect("a name");
    assert!(name.starts_with("skipped: \"}]") && !name.contains(char::is_control), "{name}");
}

#[test]
fn a_full_disk_is_said_at_once_and_is_an_error_at_the_end() {
    let trace = unpack_to_file("traces/tiny.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --perfetto /dev/full"));
    assert_eq!(output.status.code(), Some(2));
    let errors = text(&output.stderr);
    assert!(errors.contains("warning: no more events go to /dev/full"), "{errors}");
    assert!(errors.contains("error: the timeline for Perfetto is not whole"), "{errors}");
    assert!(
        text(&output.stdout).contains("Records replayed:                                             59")
    );
}
