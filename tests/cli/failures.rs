//! What can go wrong, said in one sentence and an exit code.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use crate::common::unpack_to_file;
use crate::{command, run, stderr, stdout};

#[test]
fn unreadable_input_is_one_sentence_and_exit_code_2() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, sentence) in [
        ("zero_bytes", "error: the trace file is empty: it has no header (path "),
        (
            "not_a_trace",
            "error: this is not an LMCache trace: it ends inside its first frame (offset 4, bytes there 34, bytes promised",
        ),
        ("bad_format_version", "error: unsupported format_version (found 2, expected 1, path "),
        ("bad_magic", "error: bad magic: this is not an LMCache trace (found b\"XMCT\""),
    ] {
        let trace = unpack_to_file(&format!("traces/{name}.lct"));
        for verb in ["info", "dump"] {
            let output = run(verb, &trace.path);
            assert_eq!(output.status.code(), Some(2), "{name}");
            assert!(stderr(&output).starts_with(sentence), "{verb} {name}: {}", stderr(&output));
            assert!(output.stdout.is_empty(), "{name}");
        }
    }
    let missing = run("info", &folder.path().join("missing.lct"));
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("cannot open trace file (path ")
            && stderr(&missing).contains("No such file")
    );
    let directory = run("info", folder.path());
    assert!(stderr(&directory).contains("a folder is not a trace file"), "{}", stderr(&directory));
}

#[test]
fn one_bad_file_does_not_hide_the_good_ones() {
    let good = unpack_to_file("traces/tiny.lct");
    let output = command("info").args([Path::new("/nonexistent/a.lct"), &good.path]).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("total_records:              59"));
    assert_eq!(stderr(&output).matches("error:").count(), 1);
}

#[test]
fn strict_finds_incomplete_traces() {
    for (name, code) in [("tiny", 0), ("cut_in_prefix", 1), ("bad_frame20", 1), ("truncated_kill9", 1)] {
        let trace = unpack_to_file(&format!("traces/{name}.lct"));
        assert_eq!(run("info --strict -q", &trace.path).status.code(), Some(code), "{name}");
        assert_eq!(run("info -q", &trace.path).status.code(), Some(0), "{name}");
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for words in ["", "info", "unknown", "dump --format xml x", "dump -n minus x", "replay"] {
        assert_eq!(command(words).output().expect("runs").status.code(), Some(2), "{words}");
    }
    assert_eq!(command("--version").output().expect("runs").status.code(), Some(0));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let trace = unpack_to_file("traces/small.lct");
    let mut child = command("dump --format jsonl")
        .arg(&trace.path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut few = [0; 100];
    child.stdout.take().expect("a pipe").read_exact(&mut few).expect("some output");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_is_said() {
    let trace = unpack_to_file("traces/tiny.lct");
    for words in ["dump --output /dev/full", "info --output /dev/full"] {
        let output = run(words, &trace.path);
        assert_eq!(output.status.code(), Some(2), "{words}");
        let said = stderr(&output);
        assert!(
            said.contains("cannot write output file (path /dev/full): No space left on device"),
            "{said}"
        );
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = command("dump").arg(&trace.path).stdout(full).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot write to standard output: No space left on device"));
}

#[test]
fn names_in_a_file_do_not_command_the_terminal() {
    let mut bytes = crate::common::unpack("traces/empty.lct");
    // ESC, and the C1 control that means the same as ESC [.
    let body = b"\x84\xa6t_mono\x00\xa6t_wall\x00\xa8qualname\xad\x1b[31mred\xc2\x9b31m\xa4args\x80";
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hostile.lct");
    std::fs::write(&path, bytes).expect("room for a trace");
    for verb in ["info", "dump", "dump --format jsonl", "info --format json"] {
        let report = stdout(&run(verb, &path));
        assert!(!report.contains(['\x1b', '\u{9b}']) && report.contains("[31mred"), "{verb}: {report}");
    }
}

#[test]
fn an_output_over_the_input_is_refused_and_the_input_is_whole() {
    for verb in ["info", "dump"] {
        let trace = unpack_to_file("traces/tiny.lct");
        let before = std::fs::read(&trace.path).expect("a trace");
        let output = command(verb).arg(&trace.path).arg("--output").arg(&trace.path).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{verb}");
        assert!(stderr(&output).contains("would be overwritten"), "{verb}: {}", stderr(&output));
        assert_eq!(std::fs::read(&trace.path).expect("a trace"), before, "{verb}");
    }
}

#[test]
fn a_failure_is_not_hidden_by_a_reader_that_leaves() {
    let good = unpack_to_file("traces/tiny.lct");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let files = [good.path.as_path(), Path::new("/nonexistent/a.lct")];
    let output = command("info").args(files).stdout(writer).output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot open trace file"));
}

#[test]
fn a_stream_without_end_that_is_no_trace_is_refused() {
    for endless in ["/dev/zero", "/dev/urandom"] {
        let output = run("info", Path::new(endless));
        assert_eq!(output.status.code(), Some(2), "{endless}");
        assert!(stderr(&output).starts_with("error:"), "{endless}");
    }
}

#[test]
fn strict_looks_behind_the_last_record_that_is_printed() {
    let trace = unpack_to_file("traces/cut_in_body.lct");
    assert_eq!(run("dump -n 1", &trace.path).status.code(), Some(0));
    let strict = run("dump -n 1 --strict", &trace.path);
    assert_eq!((strict.status.code(), stdout(&strict).lines().count()), (Some(1), 1));
}

#[test]
fn filters_that_let_nothing_pass_are_said() {
    let trace = unpack_to_file("traces/tiny.lct");
    for words in ["--from nan", "--from 5 --to 1", "--from 1 --to 1"] {
        assert_eq!(run(&format!("dump {words}"), &trace.path).status.code(), Some(2), "{words}");
    }
    assert!(stderr(&run("dump --from 1e9", &trace.path)).contains("no record passes"));
    assert_eq!(stderr(&run("dump -n 0 --op reserve_write", &trace.path)), "");
}
