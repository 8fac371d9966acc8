//! Native files that are damaged, cut short, or none: said, and never a panic.

use lmcache::format::native::pod::{CHUNK_HEADER_BYTES, MIN_CHUNK_BYTES};
use lmcache::trace::NativeTrace;

use crate::made_native::{closed, compact, every_kind, killed, made_file, several_chunks};
use crate::{run, stderr, stdout};

const VERBS: [&str; 4] = [
    "info",
    "info --strict --format json",
    "dump --strict",
    "replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv",
];

/// Offset of the records of a chunk of [`several_chunks`].
fn records_of(bytes: &[u8], chunk: usize) -> usize {
    let trace = NativeTrace::from_bytes("made", bytes).expect("a trace");
    trace.chunks()[chunk].offset as usize + CHUNK_HEADER_BYTES
}

#[test]
fn a_damaged_chunk_costs_that_chunk_and_is_named() {
    for mut bytes in [closed(several_chunks()), killed(several_chunks())] {
        let at = records_of(&bytes, 1) + 100;
        bytes[at] ^= 1;
        let file = made_file(&bytes);
        let output = run("dump", &file.path);
        let seqs: Vec<_> = stdout(&output).lines().map(|line| line.trim()[..1].to_owned()).collect();
        assert_eq!(seqs, ["0", "1", "2", "6", "7", "8"], "numbers are those of the recording");
        let sentence = format!(
            "chunk 1 at offset {} is damaged, and its 3 calls are left out: no checksum of the chunk is right",
            at - 100 - CHUNK_HEADER_BYTES
        );
        assert!(stderr(&output).contains(&sentence), "{}", stderr(&output));
        let output = run(VERBS[3], &file.path);
        assert_eq!(output.status.code(), Some(0));
        assert!(stderr(&output).contains(&sentence), "{}", stderr(&output));
        let table = stdout(&output);
        assert!(
            table.contains("Records replayed:                                              6"),
            "{table}"
        );
        assert!(
            table.contains("Damaged chunks, left out:                                      1"),
            "{table}"
        );
        let output = run("info --strict", &file.path);
        assert_eq!(output.status.code(), Some(1));
        assert!(stdout(&output).contains("DAMAGED CHUNKS:             1"), "{}", stdout(&output));
    }
}

#[test]
fn a_chunk_without_its_header_is_a_gap() {
    for mut bytes in [closed(several_chunks()), killed(several_chunks())] {
        let at = records_of(&bytes, 1) - CHUNK_HEADER_BYTES;
        bytes[at] ^= 1;
        let file = made_file(&bytes);
        let output = run("dump", &file.path);
        assert_eq!(stdout(&output).lines().count(), 6);
        assert!(stderr(&output).contains(&format!("at offset {at} hold no chunk")), "{}", stderr(&output));
        for words in ["info --strict", "dump --strict"] {
            assert_eq!(run(words, &file.path).status.code(), Some(1), "{words}");
        }
        assert!(stdout(&run("info --strict", &file.path)).contains("GAPS:                       1"));
    }
}

#[test]
fn chunks_of_other_times_are_not_read() {
    let mut bytes = closed(several_chunks());
    let at = records_of(&bytes, 0);
    bytes[at] ^= 1;
    let file = made_file(&bytes);
    let output = run("dump --from 0.007", &file.path);
    assert_eq!((stdout(&output).lines().count(), stderr(&output).as_str()), (2, ""));
    assert!(stderr(&run("dump --from 0.001", &file.path)).contains("chunk 0"));
    assert!(stderr(&run("dump --from 0.007 --strict", &file.path)).contains("chunk 0"), "all counts");
}

#[test]
fn a_damaged_key_table_is_said() {
    let mut bytes = compact();
    let at = records_of(&bytes, 0) + 200;
    bytes[at] ^= 1;
    let file = made_file(&bytes);
    for words in [VERBS[2], VERBS[3]] {
        let output = run(words, &file.path);
        assert_eq!(output.status.code(), Some(2), "{words}");
        assert!(
            stderr(&output).starts_with("error: no checksum of the chunk is right"),
            "{}",
            stderr(&output)
        );
        assert!(stderr(&output).contains("path "), "{}", stderr(&output));
    }
    assert_eq!(run("info", &file.path).status.code(), Some(0), "the index is whole");
    let output = run("info --strict", &file.path);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("the key table of the file is damaged"), "{}", stdout(&output));
}

#[test]
fn files_that_are_none_are_refused() {
    let whole = closed(every_kind());
    let mut as_text = whole.clone();
    as_text.remove(4);
    let mut version = whole.clone();
    version[8] = 2;
    let cases: [(&[u8], &str); 4] = [
        (&whole[..5], "error: the trace file ends inside its header (bytes there 5, bytes needed 128, path "),
        (&whole[..200], "error: the trace file ends inside the facts of its header"),
        (&as_text, "error: bad magic: this is not a native trace file (path "),
        (&version, "error: unsupported format_version (found 0x2, expected 0x1, path "),
    ];
    for (bytes, sentence) in cases {
        let file = made_file(bytes);
        for verb in VERBS {
            let output = run(verb, &file.path);
            assert_eq!(output.status.code(), Some(2), "{verb}");
            assert!(stderr(&output).starts_with(sentence), "{verb}: {}", stderr(&output));
        }
    }
}

/// What a verb says of `bytes`, which it must say without a panic.
fn check_verbs(bytes: &[u8], what: &str) {
    let file = made_file(bytes);
    for verb in VERBS {
        let output = run(verb, &file.path);
        let code = output.status.code();
        assert!(matches!(code, Some(0..=2)), "{what}, {verb}: {code:?} {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{what}, {verb}: {}", stderr(&output));
        assert_eq!(
            code == Some(2),
            stderr(&output).contains("error:"),
            "{what}, {verb}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_is_no_panic() {
    let bytes = closed(every_kind());
    for (step, at) in (0..bytes.len()).step_by(31).enumerate() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (step % 8);
        check_verbs(&flipped, &format!("bit {} of byte {at}", step % 8));
    }
}

#[test]
fn a_cut_anywhere_is_no_panic() {
    let bytes = closed(every_kind());
    for end in (0..bytes.len()).step_by(67).chain([bytes.len() - 1]) {
        check_verbs(&bytes[..end], &format!("cut at {end}"));
    }
    let long = closed(several_chunks());
    for end in (0..long.len()).step_by(MIN_CHUNK_BYTES as usize / 3) {
        check_verbs(&long[..end], &format!("long one cut at {end}"));
    }
}
