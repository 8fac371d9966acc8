//! What is in a trace.

use serde_json::Value;

use crate::common::{self, fixtures, unpack_to_file};
use crate::{command, run, stderr, stdout};

/// LMCache's own report of each trace, without the line that names the file.
#[test]
fn the_report_begins_as_lmcaches_does() {
    let mut checked = 0;
    for entry in std::fs::read_dir(fixtures().join("lmcache_info")).expect("fixtures") {
        let path = entry.expect("fixtures").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let expected = std::fs::read_to_string(&path).expect("a fixture");
        let expected = expected.split_once('\n').expect("lines").1;
        let trace = unpack_to_file(&format!("traces/{name}.lct"));
        let output = run("info", &trace.path);
        let report = stdout(&output);
        let (first, rest) = report.split_once('\n').expect("lines");
        assert_eq!(first, format!("Trace file: {}", trace.path.display()));
        assert!(rest.starts_with(expected), "{name}:\n{rest}\nexpected:\n{expected}");
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        checked += 1;
    }
    assert_eq!(checked, 16);
}

fn json_of(name: &str) -> Value {
    let trace = unpack_to_file(name);
    let output = run("info --format json", &trace.path);
    assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn json_holds_what_programs_ask_for() {
    let found = json_of("traces/bad_frame20.lct");
    let expected = common::json("expect/bad_frame20.json");
    for (field, value) in [
        ("kind", Value::from("lmcache")),
        ("level", "storage".into()),
        ("format_version", 1.into()),
        ("trace_schema_version", 1.into()),
        ("duration_s", expected["max_t_mono"].clone()),
        ("sm_config_digest", expected["header"]["sm_config_digest"].clone()),
        ("total_records", expected["records"].clone()),
        ("skipped_records", 1.into()),
        ("truncated", false.into()),
        ("truncated_at_offset", Value::Null),
        ("keys", expected["keys_total"].clone()),
        ("distinct_keys", expected["keys_distinct"].clone()),
        ("ops", expected["per_qualname"].clone()),
        ("models", expected["models"].clone()),
        ("keys_without_salt", expected["keys_total"].clone()),
    ] {
        assert_eq!(found[field], value, "{field}");
    }
    assert!(found["file"].as_str().is_some_and(|file| file.ends_with("bad_frame20.lct")));
}

#[test]
fn what_a_trace_was_recorded_from_is_said() {
    let found = json_of("traces/multi_l1.lct");
    let l1s = found["recorded_config"]["l1"].as_array().expect("L1s");
    let sizes: Vec<_> = l1s.iter().map(|l1| (l1["tag"].as_str(), l1["size_bytes"].as_u64())).collect();
    assert_eq!(sizes, [(Some("_default"), Some(21_474_836)), (Some("second"), Some(53_687_091))]);
    assert!(json_of("traces/noconfig.lct")["recorded_config"].is_null());
    let trace = unpack_to_file("traces/multi_l1.lct");
    let native = trace.path.with_extension("native");
    command("convert -q").arg(&trace.path).arg(&native).status().expect("it runs");
    for path in [&trace.path, &native] {
        let report = stdout(&run("info", path));
        assert!(report.contains(" 21474836 bytes (20.5 MiB), LRU, trigger_watermark 0.8, "), "{report}");
        assert!(report.contains(" second: 53687091 bytes (51.2 MiB), LRU, "), "{report}");
    }
}

#[test]
fn a_cut_trace_says_where() {
    let found = json_of("traces/cut_in_body.lct");
    assert_eq!((&found["truncated"], &found["truncated_at_offset"]), (&true.into(), &39636.into()));
    let trace = unpack_to_file("traces/cut_in_body.lct");
    let report = stdout(&run("info", &trace.path));
    assert!(
        report.contains("complete:                   NO: cut short in a frame at offset 39640 (360 of 572")
    );
}

#[test]
fn events_level_files_have_their_totals() {
    let found = json_of("traces/server_events.lct");
    assert_eq!(found["events"]["entries"]["store"], 640);
    assert_eq!(found["events"]["store_bytes"], 167_772_160);
    assert_eq!(found["bytes"]["store_events"], 167_772_160);
    assert_eq!(found["level_meta"]["instance_id"], "lab-server-1");
    assert_eq!(found["keys_without_salt"], 0);
}

#[test]
fn salts_that_the_recorder_lost_are_said_to_be_lost() {
    let trace = unpack_to_file("traces/salts.lct");
    assert!(stdout(&run("info", &trace.path)).contains("salts:                      not recorded"));
}

#[test]
fn several_files_are_reported_one_after_the_other() {
    let (tiny, empty) = (unpack_to_file("traces/tiny.lct"), unpack_to_file("traces/empty.lct"));
    let output = command("info --format json").args([&tiny.path, &empty.path]).output().expect("runs");
    let lines: Vec<Value> =
        stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!([&lines[0]["total_records"], &lines[1]["total_records"]], [59, 0]);
}

#[test]
fn the_report_can_go_to_a_file_too_or_nowhere_else() {
    let trace = unpack_to_file("traces/tiny.lct");
    let path = trace.path.with_extension("json");
    let output = command("info --format json --output").arg(&path).arg(&trace.path).output().expect("runs");
    let saved = std::fs::read(&path).expect("a report");
    assert_eq!(saved, output.stdout, "both, as in LMCache's commands");
    let saved: Value = serde_json::from_slice(&saved).expect("JSON");
    assert_eq!(saved["total_records"], 59);
    assert!(run("info -q", &trace.path).stdout.is_empty());
}

#[test]
fn a_pipe_and_a_buffered_file_read_like_a_mapped_one() {
    let trace = unpack_to_file("traces/tiny.lct");
    let mapped = stdout(&run("info", &trace.path));
    assert_eq!(stdout(&run("info --no-mmap", &trace.path)), mapped);
    let file = std::fs::File::open(&trace.path).expect("a fixture");
    let piped = command("info -").stdin(file).output().expect("runs");
    let after_first_line = |report: &str| report.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(after_first_line(&stdout(&piped)), after_first_line(&mapped));
}
