//! Native files: whatever the program says of an LMCache file, and what only they know.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::common::unpack_to_file;
use crate::made_native::{closed, compact, converted, every_kind, killed, made_file, several_chunks};
use crate::support::hash;
use crate::{command, run, stderr, stdout};

fn json_lines(words: &str, file: &Path) -> Vec<Value> {
    let output = run(&format!("{words} --format jsonl"), file);
    stdout(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn info_json(words: &str, file: &Path) -> Value {
    serde_json::from_str(&stdout(&run(&format!("info --format json {words}"), file))).expect("JSON")
}

#[test]
fn a_conversion_is_dumped_as_its_original() {
    for name in [
        "traces/tiny",
        "traces/server_demo",
        "traces/server_events",
        "old_traces/0.5.1",
        "traces/bad_frame20",
    ] {
        let name = format!("{name}.lct");
        let (original, native) = (unpack_to_file(&name), made_file(&converted(&name)));
        for words in [
            "dump",
            "dump --format jsonl",
            "dump --from 0.02 --to 5",
            "dump --op finish_write --op submit_prefetch_task -n 7",
        ] {
            let (expected, found) = (run(words, &original.path), run(words, &native.path));
            assert!(stdout(&found) == stdout(&expected), "{name} {words}");
            assert_eq!(stderr(&found), stderr(&expected), "{name} {words}");
        }
    }
}

#[test]
fn a_conversion_has_the_totals_of_its_original() {
    let (original, native) = (unpack_to_file("traces/tiny.lct"), made_file(&converted("traces/tiny.lct")));
    let (expected, found) = (info_json("", &original.path), info_json("--strict", &native.path));
    for field in ["level", "duration_s", "sm_config_digest", "total_records", "ops", "keys", "t_mono_start"] {
        assert_eq!(found[field], expected[field], "{field}");
    }
    let (expected, found) = (stdout(&run("info", &original.path)), stdout(&run("info", &native.path)));
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    assert_eq!((found[1], found[2]), (expected[1], "  format:                     native 1"));
    let ops_end = 14;
    assert!(expected[ops_end - 1].starts_with("    lmcache.v1"), "{expected:?}");
    assert_eq!(found[3..ops_end - 1], expected[4..ops_end], "one line of versions instead of two");
}

#[test]
fn what_only_a_native_file_knows_is_said() {
    let file = made_file(&closed(every_kind()));
    let output = run("info", &file.path);
    let report = stdout(&output);
    for line in [
        "  level:                      storage",
        "  format:                     native 1",
        "  duration:                   0.004s",
        "  sm_config_digest:           (none)",
        "  a:                          x",
        "  b:                          True",
        "  total_records:              4",
        "    engine.step: 2",
        "  LOST CALLS:                 12 of 16 calls (75.00 %) are not in the file",
        "    1 scheduler, system thread 77: 4 calls, 12 LOST",
        "  complete:                   yes, it was closed",
        "  checked:                    header and index only",
        "  completions:                1",
        "  keys:                       5",
        "  distinct_keys:              3",
        "    org/model rank 01000100 group 0: 5 keys",
        "  recorded_from:              2023-11-14 22:13:20 UTC",
        "  host:                       gpu-7",
        "  process:                    engine (4711)",
        "  cluster:                    west",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(run("info --strict -q", &file.path).status.code(), Some(1), "calls were lost");
    let whole = made_file(&closed(several_chunks()));
    assert_eq!(run("info --strict -q", &whole.path).status.code(), Some(0));
    assert!(stdout(&run("info", &whole.path)).contains("lost_calls:                 0"));
}

#[test]
fn an_index_and_the_chunks_say_the_same() {
    for bytes in [closed(every_kind()), closed(several_chunks()), compact()] {
        let file = made_file(&bytes);
        let (from_index, mut checked) = (info_json("", &file.path), info_json("--strict", &file.path));
        assert_eq!((&from_index["checked"], &checked["checked"]), (&false.into(), &true.into()));
        checked["checked"] = false.into();
        assert_eq!(from_index, checked);
        assert_eq!(from_index["closed"], true);
    }
}

#[test]
fn a_file_that_was_not_closed_is_counted() {
    let mut bytes = killed(several_chunks());
    bytes.extend([0; 1000]);
    let (file, whole) = (made_file(&bytes), made_file(&closed(several_chunks())));
    let (counted, closed) = (info_json("", &file.path), info_json("", &whole.path));
    for field in ["total_records", "ops", "keys", "scopes", "threads", "duration_s", "chunks"] {
        assert_eq!(counted[field], closed[field], "{field}");
    }
    assert_eq!((&counted["closed"], &counted["unvouched_bytes"]), (&false.into(), &1000.into()));
    let output = run("info --strict", &file.path);
    assert_eq!(output.status.code(), Some(1));
    let expected = "NO: not closed: counted from 3 chunks; 1000 bytes at the end are not vouched for";
    assert!(stdout(&output).contains(expected), "{}", stdout(&output));
    assert_eq!(run("info -q", &file.path).status.code(), Some(0));
    let dumped = run("dump", &file.path);
    assert_eq!(stdout(&dumped), stdout(&run("dump", &whole.path)));
    assert!(stderr(&dumped).contains("was not closed"), "{}", stderr(&dumped));
    assert_eq!(run("dump --strict", &file.path).status.code(), Some(1));
}

#[test]
fn every_kind_of_record_has_its_line() {
    let file = made_file(&closed(every_kind()));
    let lines = json_lines("dump", &file.path);
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[0]["seq"], 0);
    assert_eq!(lines[0]["t_mono"], 0.001);
    assert_eq!(lines[1]["args"]["read_locks"], 70_000);
    assert_eq!(lines[2]["qualname"], "engine.step");
    assert_eq!(
        [&lines[2]["args"], &lines[3]["args"]],
        [&json!({"text": "batch 5"}), &json!({"hex": "ff00"})]
    );
    let loss = &lines[4]["loss"];
    assert_eq!(
        (&loss["count"], &loss["thread"], &loss["first_sequence"]),
        (&12.into(), &1.into(), &4.into())
    );
    assert_eq!(
        (&loss["thread_name"], &loss["reason"]),
        (&"scheduler".into(), &"the thread's ring was full".into())
    );
    let completion = &lines[5]["completion"];
    assert_eq!(
        (&completion["op"], &completion["outcome"]),
        (&"finish_read_prefetched".into(), &"partly".into())
    );
    assert_eq!((&completion["hit_keys"], &completion["data_ready_ns"]), (&2.into(), &Value::Null));
    let output = run("dump", &file.path);
    let text = stdout(&output);
    assert!(
        text.contains(
            "12 calls of thread 1 scheduler from its call 4 on, 0.004500s to 0.006000s: the thread's ring"
        ),
        "{text}"
    );
    assert!(
        text.contains("2 of 3 keys  finish_read_prefetched of thread 1, its call 1: partly after 1.5 us"),
        "{text}"
    );
    assert!(stderr(&output).contains("the recorder lost 12 calls"));
    for (op, count) in [("completion", 1), ("loss", 1), ("engine.step", 2), ("step", 2), ("finish_write", 1)]
    {
        assert_eq!(json_lines(&format!("dump --op {op}"), &file.path).len(), count, "{op}");
    }
    assert_eq!(json_lines("dump --from 0.005", &file.path).len(), 2, "a loss and a completion");
    assert_eq!(json_lines("dump -n 5", &file.path).len(), 5);
}

#[test]
fn a_stream_is_read_like_a_file() {
    for bytes in [closed(every_kind()), killed(several_chunks()), compact()] {
        let file = made_file(&bytes);
        for words in ["dump", "info --format json"] {
            let open = std::fs::File::open(&file.path).expect("a trace");
            let piped = command(words).arg("-").stdin(open).output().expect("runs");
            let named = stdout(&run(words, &file.path)).replace(&file.path.display().to_string(), "-");
            assert_eq!(stdout(&piped), named, "{words}");
            let buffered = run(&format!("{words} --no-mmap"), &file.path);
            assert_eq!(stdout(&buffered), stdout(&run(words, &file.path)), "{words}");
        }
    }
}

#[test]
fn a_compact_file_names_its_keys() {
    let lines = json_lines("dump", &made_file(&compact()).path);
    let hex = |id: u64| hash(id).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let hashes: Vec<_> =
        lines[1]["args"]["keys"].as_array().expect("keys").iter().map(|key| &key["chunk_hash"]).collect();
    assert_eq!(hashes, [3, 4, 19].map(|id| Value::from(hex(id))).iter().collect::<Vec<_>>());
    assert_eq!(lines[0]["args"]["keys"][0]["model_name"], "org/model");
}

fn replay(words: &str, file: &Path) -> Output {
    let words = format!("replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv {words}");
    run(&words, file)
}

fn replay_json(file: &Path) -> (Value, String) {
    let output = replay("--format json", file);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (serde_json::from_str(&stdout(&output)).expect("JSON"), stderr(&output))
}

#[test]
fn a_conversion_is_replayed_as_its_original() {
    for name in ["traces/tiny.lct", "old_traces/0.5.1.lct"] {
        let (original, native) = (unpack_to_file(name), made_file(&converted(name)));
        let ((expected, _), (found, said)) = (replay_json(&original.path), replay_json(&native.path));
        for field in ["totals", "reads", "writes", "config", "level"] {
            assert_eq!(found[field], expected[field], "{name} {field}");
        }
        assert_eq!(found["trace"]["records"], expected["trace"]["records"], "{name}");
        assert_eq!(found["trace"]["closed"], true);
        assert!(!said.contains("lost"), "{said}");
    }
}

#[test]
fn a_replay_says_what_the_file_lacks_and_what_it_cannot_play() {
    let (summary, said) = replay_json(&made_file(&closed(every_kind())).path);
    assert!(said.contains("the recorder lost 12 calls; the replay is of what is in the file"), "{said}");
    assert_eq!(
        (&summary["trace"]["lost_calls"], &summary["totals"]["records_skipped"]),
        (&12.into(), &2.into())
    );
    assert_eq!(summary["totals"]["records_replayed"], 2);
    assert_eq!(summary["skips"][0]["qualname"], "engine.step");
    assert!(summary["skips"][0]["reason"].as_str().is_some_and(|reason| reason.contains("only the host")));
    assert_eq!(replay("--strict", &made_file(&closed(every_kind())).path).status.code(), Some(1));
    let (summary, _) = replay_json(&made_file(&compact()).path);
    assert_eq!(summary["totals"]["records_replayed"], 2, "keys of a table");
    let (summary, said) = replay_json(&made_file(&killed(several_chunks())).path);
    assert_eq!(
        (&summary["totals"]["records_replayed"], &summary["trace"]["closed"]),
        (&9.into(), &false.into())
    );
    assert!(said.contains("the trace was not closed"), "{said}");
}
