//! Replays begin with an empty L2 and leave nothing in it, unless they are told otherwise.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::command::text;
use crate::common::unpack_to_file;

const QUICK: [&str; 7] = ["--l1-size-gb", "0.1", "--eviction-policy", "LRU", "--asap", "--format", "json"];

fn replay(trace: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    command.arg("replay").arg(trace).args(QUICK).arg("--no-csv").args(arguments);
    command.output().expect("the program runs")
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}

fn fs(folder: &Path) -> String {
    format!(r#"{{"type":"fs","base_path":"{}","durable":false,"max_capacity_gb":1}}"#, folder.display())
}

fn l2_hits(output: &Output) -> u64 {
    let summary: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    summary["totals"]["l2_hit_keys"].as_u64().expect("a count")
}

#[test]
fn a_folder_is_as_it_was_and_replays_do_not_find_each_other() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let kv = folder.path().join("kv");
    std::fs::create_dir(&kv).expect("room");
    std::fs::write(kv.join("m@0x00000001@0@01.data"), [7]).expect("room");
    let adapter = fs(&kv);
    let cold = l2_hits(&replay(&trace.path, &["--l2-adapter", &adapter]));
    assert_eq!(l2_hits(&replay(&trace.path, &["--l2-adapter", &adapter])), cold);
    assert_eq!(names(&kv), ["m@0x00000001@0@01.data"]);
    assert_eq!(std::fs::read(kv.join("m@0x00000001@0@01.data")).expect("still there"), [7]);

    // What is kept is named, and nobody's cleaning takes it away.
    let kept = replay(&trace.path, &["--l2-adapter", &adapter, "--l2-namespace", "fresh-kept"]);
    assert_eq!(l2_hits(&kept), cold);
    let of_replay: Vec<String> =
        names(&kv).into_iter().filter(|name| name.starts_with("lmcache-replay-")).collect();
    assert_eq!(of_replay.len(), 1);
    assert!(text(&kept.stderr).contains(&of_replay[0]), "{}", text(&kept.stderr));
    replay(&trace.path, &["--l2-adapter", &adapter]);
    assert!(names(&kv).contains(&of_replay[0]) && !names(&kv.join(&of_replay[0])).is_empty());

    // A server's L2 has what it had before.
    let keep = ["--l2-adapter", &adapter, "--l2-namespace", "keep"];
    assert_eq!(l2_hits(&replay(&trace.path, &keep)), cold);
    assert!(l2_hits(&replay(&trace.path, &keep)) > cold);
}

#[test]
fn a_folder_that_was_not_there_is_not_there_again() {
    let trace = unpack_to_file("traces/tiny.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let adapter = fs(&folder.path().join("a/b"));
    let output = replay(&trace.path, &["--l2-adapter", &adapter]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(names(folder.path()).is_empty());
    // Behind an adapter with faults it is the same, and two of one folder share it.
    let wrapped = format!(r#"{{"type":"fault_inject","inner":{adapter}}}"#);
    let wrapped = wrapped.replace(r#","max_capacity_gb":1"#, "");
    let output = replay(&trace.path, &["--l2-adapter", &wrapped, "--l2-adapter", &adapter]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_file_of_fixed_size_is_as_it_was() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let image = folder.path().join("l2.img");
    // What is no L2's, so that the adapter itself would refuse it.
    std::fs::write(&image, vec![b'x'; 64 << 20]).expect("room");
    let adapter = format!(
        r#"{{"type":"raw_block","device_path":"{}","slot_bytes":1052672,"meta_total_bytes":1048576,"use_odirect":false}}"#,
        image.display()
    );
    let output = replay(&trace.path, &["--l2-adapter", &adapter]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(names(folder.path()), ["l2.img"]);
    assert!(std::fs::read(&image).expect("still there") == vec![b'x'; 64 << 20]);
    let refused = replay(&trace.path, &["--l2-adapter", &adapter, "--l2-namespace", "keep"]);
    assert!(text(&refused.stderr).contains("holds something else"), "{}", text(&refused.stderr));
}

#[test]
fn what_cannot_have_a_place_of_its_own_is_refused() {
    let trace = unpack_to_file("traces/tiny.lct");
    let plugin = r#"{"type":"plugin","library_path":"/nowhere.so"}"#;
    let output = replay(&trace.path, &["--l2-adapter", plugin]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("--l2-adapter #1") && said.contains("--l2-namespace keep"), "{said}");
}
