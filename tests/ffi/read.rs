//! A host in C that reads traces: every field of what another host recorded, and of real traces the same calls as the reader of
//! the library gives.

use std::fmt::Write;
use std::path::Path;

use lmcache::format::model::{FetchingPolicy, KeyView, LockMode, ObjectKey, StorageCall, WriteMode};
use lmcache::replay::{RecordBody, TraceSource};
use lmcache::trace::{ReadMode, Trace};

use crate::checkers::check_clean;
use crate::common::{fixtures, unpack_to_file};
use crate::compile::Host;

fn fnv(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

fn fnv_of_key(sum: u64, key: &KeyView<'_>) -> u64 {
    let sum = fnv(sum, key.chunk_hash);
    let sum = fnv(fnv(sum, key.model_name.as_bytes()), key.cache_salt.as_bytes());
    fnv(fnv(sum, &key.kv_rank.to_le_bytes()), &key.object_group_id.to_le_bytes())
}

/// The line that the host prints of a call.
fn line(seq: u64, t_mono_s: f64, call: &StorageCall) -> String {
    let lists: Vec<&[ObjectKey]> = call.key_lists().collect();
    let sum = lists.concat().iter().fold(0xcbf2_9ce4_8422_2325, |sum, key| fnv_of_key(sum, &key.view()));
    let is_prefetch = matches!(call, StorageCall::SubmitPrefetch { .. });
    let keys = if is_prefetch { 0 } else { lists[0].len() };
    let mut line = format!("{seq} {} {t_mono_s:.9} keys {keys}", call.op() as u8 + 1);
    let written = match call {
        StorageCall::ReserveWrite { layout, mode, .. } => {
            let mode = [WriteMode::New, WriteMode::Update, WriteMode::All].iter().position(|one| one == mode);
            write!(line, " layout {} mode {}", layout.size_bytes(), mode.expect("one of three"))
        }
        StorageCall::FinishRead { read_locks, .. } => write!(line, " locks {read_locks}"),
        StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 } => {
            for row in &spec.key_groups {
                let (keys, bytes) = (row.keys.len(), row.layout.size_bytes());
                let (group, window) = (row.object_group_id, row.sliding_window_size);
                write!(line, " row {keys} {group} {window} {bytes}").expect("room");
            }
            let policy = u8::from(spec.fetching_policy == FetchingPolicy::Full);
            let mode = u8::from(spec.lock_mode == LockMode::NoLock);
            let (readers, skips) = (spec.num_kv_readers, u8::from(*skip_l2));
            write!(line, " readers {readers} {policy} {mode} {skips} id {external_request_id}")
        }
        _ => Ok(()),
    };
    written.expect("room");
    write!(line, " sum {sum:016x}").expect("room");
    line
}

/// What the library reads of a file: a line per call, and how many records it has.
fn expected(path: &Path) -> (Vec<String>, u64) {
    let trace = Trace::open(path, ReadMode::buffered()).expect("a trace");
    let keys = trace.key_table().expect("a whole key table");
    let (mut lines, mut records) = (Vec::new(), 0);
    for record in TraceSource::of(&trace, keys.as_ref()).records() {
        records += 1;
        if let RecordBody::Call(call) = &record.body {
            lines.push(line(record.seq, record.t_mono_s, call));
        }
    }
    (lines, records)
}

#[test]
fn a_host_reads_back_every_field_that_another_recorded() {
    let (recorder, reader) = (Host::compile("record.c"), Host::compile("read.c"));
    recorder.succeed(&[]);
    let path = recorder.folder().join("engine.lct");
    let path = path.to_str().expect("UTF-8");
    reader.succeed(&["recorded", path]);
    assert_eq!(reader.succeed(&["seek", path]), "2800 calls found\n");
    check_clean("read.c", &["recorded", path]);
}

#[test]
fn a_host_reads_the_same_calls_of_real_traces_as_the_library() {
    let host = Host::compile("read.c");
    let old = ["0.4.4", "0.4.7", "0.5.0", "0.5.1", "0.5.3", "0.5.5"]
        .map(|release| format!("old_traces/{release}.lct"));
    let new = ["small", "salts", "server_demo", "multi_l1"].map(|name| format!("traces/{name}.lct"));
    for name in old.iter().chain(&new) {
        let file = unpack_to_file(name);
        check(&host, &file.path, "");
    }
}

#[test]
fn a_host_reads_native_files_of_version_1() {
    let host = Host::compile("read.c");
    for name in ["kinds", "compact", "unfinished"] {
        check(&host, &fixtures().join(format!("native/v1/{name}.lct")), "");
    }
}

#[test]
fn what_is_damaged_is_counted_and_stepped_over() {
    let host = Host::compile("read.c");
    for (name, end) in [
        ("bad_frame20", "frames 1 cut 0"),
        ("cut_in_body", "frames 0 cut 1"),
        ("truncated_kill9", "cut 1"),
        ("badarg", "frames 0 cut 0"),
    ] {
        let file = unpack_to_file(&format!("traces/{name}.lct"));
        check(&host, &file.path, end);
    }
}

/// Reads `path` in all ways, and compares.
fn check(host: &Host, path: &Path, end: &str) {
    let (lines, records) = expected(path);
    let word = path.to_str().expect("UTF-8");
    for verb in ["buffered", "mapped", "bytes"] {
        let said = host.succeed(&[verb, word]);
        let said: Vec<&str> = said.lines().collect();
        let (numbers, calls) = said.split_last().expect("a line of numbers");
        let differs = calls.iter().zip(&lines).find(|(said, expected)| *said != expected);
        assert!(differs.is_none(), "{word} {verb}: {differs:?}");
        assert_eq!(calls.len(), lines.len(), "{word} {verb}");
        assert!(numbers.starts_with(&format!("calls {records} ")), "{word} {verb}: {numbers} of {records}");
        assert!(numbers.ends_with(end), "{word} {verb}: {numbers}");
    }
}
