//! Records one a line.

use lmcache::trace::{Entry, TraceReader};
use serde_json::Value;

use crate::common::{unpack, unpack_to_file};
use crate::{run, stderr, stdout};

fn lines(name: &str, words: &str) -> Vec<Value> {
    let trace = unpack_to_file(name);
    let output = run(&format!("dump --format jsonl {words}"), &trace.path);
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn every_record_comes_back_with_the_same_times() {
    for name in ["traces/small.lct", "traces/server_events.lct", "old_traces/0.5.1.lct"] {
        let reader = TraceReader::from_bytes(name, unpack(name)).expect("a trace");
        let lines = lines(name, "");
        let mut seen = 0;
        for (entry, line) in reader.records().zip(&lines) {
            let Entry::Record(record) = entry else { panic!("{name}: a frame that is no record") };
            assert_eq!(line["seq"], record.seq, "{name}");
            assert_eq!(line["t_mono"].as_f64().map(f64::to_bits), Some(record.t_mono_s.to_bits()), "{name}");
            assert_eq!(line["t_wall"].as_f64().map(f64::to_bits), Some(record.t_wall_s.to_bits()), "{name}");
            assert_eq!(line["qualname"], record.qualname, "{name}");
            seen += 1;
        }
        assert_eq!(seen, lines.len(), "{name}");
    }
}

#[test]
fn keys_have_five_fields_at_both_levels() {
    let storage = lines("traces/server_demo.lct", "--op finish_write -n 1");
    let key = &storage[0]["args"]["keys"][0];
    let hash = "d65391f7dcbfb7f8472e8942ce76f5ca70a3ab0ffd0978c0640a27d07a9a336f";
    let expected = serde_json::json!({
        "chunk_hash": hash, "model_name": "test-model", "kv_rank": 16_777_472, "object_group_id": 0, "cache_salt": "",
    });
    assert_eq!(key, &expected);
    let events = lines("traces/server_events.lct", "--op events.batch");
    let with_entries = events.iter().find(|line| !line["args"]["entries"][0].is_null()).expect("a batch");
    let key = with_entries["args"]["entries"][0]["key"].as_object().expect("a key");
    let names: Vec<_> = key.keys().collect();
    assert_eq!(names, ["chunk_hash", "model_name", "kv_rank", "object_group_id", "cache_salt"]);
}

#[test]
fn wrappers_are_taken_off() {
    let spec = &lines("traces/server_demo.lct", "--op submit_prefetch_task -n 1")[0]["args"]["spec"];
    assert_eq!(spec["lock_mode"], "LOCK");
    assert_eq!(spec["key_groups"][0]["layout_desc"]["dtypes"][0], "torch.float16");
}

#[test]
fn filters_select() {
    let ops = lines("traces/server_demo.lct", "--op reserve_write --op read_prefetched_results.enter");
    let by_commas = lines("traces/server_demo.lct", "--op reserve_write,read_prefetched_results.enter");
    assert_eq!(ops, by_commas);
    assert_eq!(ops.len(), 32);
    let range = lines("traces/server_demo.lct", "--from 5 --to 6");
    assert!(!range.is_empty());
    let in_range = |line: &Value| line["t_mono"].as_f64().is_some_and(|t_mono| (5.0..6.0).contains(&t_mono));
    assert!(range.iter().all(in_range));
    assert_eq!(lines("traces/server_demo.lct", "-n 3").len(), 3);
    assert_eq!(lines("traces/server_demo.lct", "-n 0").len(), 0);
    let enters = "lmcache.v1.distributed.storage_manager.StorageManager.read_prefetched_results.__enter__";
    assert_eq!(lines("traces/server_demo.lct", &format!("--op {enters}")).len(), 16);
    assert_eq!(lines("traces/server_demo.lct", "--op write").len(), 0, "an operation is a whole name");
}

#[test]
fn readable_lines_name_the_call_and_its_keys() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let text = stdout(&run("dump -n 2", &trace.path));
    let expected = "       0        4.616264s  submit_prefetch_task              16 keys  d65391f7dcbf..8935cc7a9da9  \
                    test-model rank 01000100 group 0  request req-0-cold\n";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn what_the_lines_cannot_say_goes_to_standard_error() {
    let trace = unpack_to_file("traces/enospc_short_write.lct");
    let output = run("dump --strict", &trace.path);
    let said = stderr(&output);
    assert!(said.contains("1 frame was no record"), "{said}");
    assert!(
        said.contains("the trace is cut short in a frame at offset 155901 (46067 of 2808837727"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
    let whole = unpack_to_file("traces/server_demo.lct");
    assert!(stderr(&run("dump --op nothing", &whole.path)).contains("no record passes the filters"));
}
