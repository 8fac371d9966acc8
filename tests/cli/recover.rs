//! `lmcache-trace verify` and `repair` on a native file as a killed recorder leaves it, and on files of LMCache.

use std::path::{Path, PathBuf};

use lmcache::format::native::kind::RecordKind;
use lmcache::format::native::pod::{LIVE_HEADER_ALIGN, MIN_CHUNK_BYTES};
use lmcache::format::native::schema::ThreadFacts;
use lmcache::format::native::{FileFacts, NewFile, Stamp};
use lmcache::trace::store::FileStore;
use lmcache::trace::writer::{ClockPair, TraceWriter};

use crate::common::unpack_to_file;
use crate::{command, run, stderr, stdout};

/// A file of a recorder that was killed: three chunks, the last one open.
fn killed(folder: &Path) -> PathBuf {
    let path = folder.join("killed.lct");
    let file = NewFile {
        chunk_bytes: MIN_CHUNK_BYTES,
        header_align: LIVE_HEADER_ALIGN,
        required_features: 0,
        mono_start_ns: 0,
        wall_start_ns: 0,
        t_mono_start_s: 0.0,
        t_wall_start_s: 0.0,
        recording_id: 7,
        file_number: 0,
    };
    let store = FileStore::create(&path).expect("room for a file");
    let mut writer = TraceWriter::create(store, file, FileFacts::default()).expect("room for a file");
    for sequence in 0..30 {
        let t_ns = u64::from(sequence) * 1_000_000;
        let stamp = Stamp { t_ns, thread: 1, sequence, ..Stamp::default() };
        writer
            .push(ClockPair::default(), |chunk| {
                chunk.thread(1, &ThreadFacts::default())?;
                let name = chunk.name("engine.step")?;
                chunk.push_named_call(RecordKind::HostCall, &stamp, name, &[1; 5_000])
            })
            .expect("room for a file");
    }
    writer.commit(ClockPair::default()).expect("room for a file");
    path
}

fn words(words: &str, paths: &[&Path]) -> std::process::Output {
    command(words).args(paths).output().expect("the program starts")
}

#[test]
fn a_killed_recorders_file_is_found_repaired_and_then_fine() {
    let folder = tempfile::tempdir().expect("a folder");
    let (original, copy) = (killed(folder.path()), folder.path().join("copy.lct"));
    let before = std::fs::read(&original).expect("it is there");
    let found = run("verify", &original);
    assert_eq!(found.status.code(), Some(1), "{}", stderr(&found));
    assert!(stdout(&found).contains("3 chunks, 36 records, 30 calls, 1 thread"), "{}", stdout(&found));
    assert!(stdout(&found).contains("not_closed"), "{}", stdout(&found));

    let repaired = words("repair", &[&original, &copy]);
    assert_eq!(repaired.status.code(), Some(0), "{}", stderr(&repaired));
    assert!(stdout(&repaired).contains("missing  nothing that was committed"), "{}", stdout(&repaired));
    assert_eq!(std::fs::read(&original).expect("it is there"), before);

    let clean = run("verify", &copy);
    assert_eq!((clean.status.code(), stderr(&clean).as_str()), (Some(0), ""));
    assert!(stdout(&clean).contains("nothing found"), "{}", stdout(&clean));
}

#[test]
fn what_is_missing_from_a_copy_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (original, copy) = (killed(folder.path()), folder.path().join("copy.lct"));
    let mut bytes = std::fs::read(&original).expect("it is there");
    bytes[4096 + MIN_CHUNK_BYTES as usize + 300] ^= 1;
    std::fs::write(&original, bytes).expect("room for a file");
    let repaired = words("repair", &[&original, &copy]);
    assert_eq!(repaired.status.code(), Some(1), "{}", stderr(&repaired));
    let said = stdout(&repaired);
    assert!(
        said.contains("missing  64.0 KiB at offset 69632, 1 chunk from number 1, 12 calls, after 0.011"),
        "{said}"
    );

    let report = words("verify --format json", &[&copy]);
    let object: serde_json::Value = serde_json::from_slice(&report.stdout).expect("JSON");
    assert_eq!(object["counts"], serde_json::json!({ "calls_missing": 1 }));
    assert_eq!((&object["closed"], &object["calls"]), (&true.into(), &18.into()));
}

#[test]
fn a_trace_is_never_repaired_onto_itself_or_into_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let original = killed(folder.path());
    for output in [&original, Path::new("/dev/null"), folder.path()] {
        let refused = words("repair", &[&original, output]);
        assert_eq!(refused.status.code(), Some(2), "{}", output.display());
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1, "nothing is left beside");
}

#[test]
fn a_compact_copy_of_a_file_that_was_not_closed_is_not_called_complete() {
    let folder = tempfile::tempdir().expect("a folder");
    let (original, copy) = (killed(folder.path()), folder.path().join("copy.lct"));
    assert_eq!(words("compact -q", &[&original, &copy]).status.code(), Some(0));
    let said = words("info --strict", &[&copy]);
    assert_eq!(said.status.code(), Some(1), "{}", stdout(&said));
    assert!(stdout(&said).contains("NO: made of an unfinished file"), "{}", stdout(&said));
}

#[test]
fn a_file_of_lmcache_has_nothing_to_be_repaired_by() {
    let (trace, folder) = (unpack_to_file("traces/tiny.lct"), tempfile::tempdir().expect("a folder"));
    let refused = words("repair", &[&trace.path, &folder.path().join("copy.lct")]);
    assert_eq!(refused.status.code(), Some(2));
    let said = stderr(&refused);
    assert!(said.contains("LMCache's format cannot be repaired") && said.contains("hint: convert"), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
}

#[test]
fn frames_of_lmcache_are_verified_too() {
    let whole = unpack_to_file("traces/deterministic.lct");
    let clean = run("verify", &whole.path);
    assert_eq!(clean.status.code(), Some(0), "{}{}", stdout(&clean), stderr(&clean));
    let bytes = std::fs::read(&whole.path).expect("it is there");
    std::fs::write(&whole.path, &bytes[..bytes.len() - 1]).expect("room for a file");
    let cut = run("verify -q", &whole.path);
    assert_eq!((cut.status.code(), stdout(&cut).as_str()), (Some(1), ""));
    let missing = words("verify", &[&whole.path, Path::new("/nonexistent/a.lct")]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(stdout(&missing).contains("file_cut") && stderr(&missing).contains("/nonexistent/a.lct"));
}
