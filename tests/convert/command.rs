//! `lmcache-trace convert` and `compact` as people and programs use them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::common::{unpack, unpack_to_file};

fn run(words: &str, files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    command.args(words.split_whitespace()).args(files).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn assert_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn a_trace_goes_there_and_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = unpack_to_file("traces/server_demo.lct");
    let [native, compact, back] =
        ["native.lct", "compact.lct", "back.lct"].map(|name| folder.path().join(name));
    let output = run("convert", &[&trace.path, &native]);
    assert_code(&output, 0);
    let said = text(&output.stdout);
    assert!(said.contains("lmcache -> native") && said.contains("calls:                    112"), "{said}");
    let output = run("compact --format json", &[&native, &compact]);
    assert_code(&output, 0);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&said["from"], &said["to"], &said["calls"]),
        (&"native".into(), &"compact".into(), &112.into())
    );
    assert_eq!(said["bytes_out"], std::fs::metadata(&compact).expect("it was written").len());
    assert_code(&run("convert -q", &[&compact, &back]), 0);
    assert!(std::fs::read(&back).expect("it was written") == unpack("traces/server_demo.lct"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 3, "nothing else is left");
}

#[test]
fn the_standard_input_is_a_trace() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, out) = (unpack_to_file("traces/tiny.lct"), folder.path().join("out.lct"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
    let input = std::fs::File::open(&trace.path).expect("a fixture");
    let output = command.args(["convert", "-"]).arg(&out).stdin(Stdio::from(input)).output();
    assert_code(&output.expect("the program starts"), 0);
    assert!(out.exists());
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = unpack_to_file("traces/tiny.lct");
    let output = run("convert", &[&trace.path, &trace.path]);
    assert_code(&output, 2);
    assert!(text(&output.stderr).contains("same file"));
    assert!(std::fs::read(&trace.path).expect("it is there") == unpack("traces/tiny.lct"));
    assert_code(&run("convert", &[&trace.path, Path::new("/dev/null")]), 2);
    assert_code(&run("convert", &[&trace.path, folder.path()]), 2);
    assert_code(&run("convert", &[&trace.path, Path::new("-")]), 2);
    assert_code(&run("convert", &[&trace.path, &folder.path().join("no/such/folder.lct")]), 2);
    assert_code(&run("compact", &[&folder.path().join("missing.lct"), &folder.path().join("out.lct")]), 2);
    let output = run("convert --omit-salts", &[&trace.path, &folder.path().join("out.lct")]);
    assert_code(&output, 2);
    assert!(text(&output.stderr).contains("--to lmcache"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_trace_that_is_not_whole_is_found_when_asked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, native) = (unpack_to_file("traces/cut_in_body.lct"), folder.path().join("native.lct"));
    assert_code(&run("convert --strict", &[&trace.path, &native]), 1);
    assert_code(&run("convert", &[&trace.path, &native]), 0);
    let output = run("convert --strict", &[&native, &folder.path().join("back.lct")]);
    assert_code(&output, 1);
    assert!(
        std::fs::read(folder.path().join("back.lct")).expect("written") == unpack("traces/cut_in_body.lct")
    );
}

#[test]
fn damage_is_said_and_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (trace, native) = (unpack_to_file("traces/small.lct"), folder.path().join("native.lct"));
    assert_code(&run("convert", &[&trace.path, &native]), 0);
    let mut bytes = std::fs::read(&native).expect("written");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&native, bytes).expect("room");
    let output = run("convert", &[&native, &folder.path().join("back.lct")]);
    assert_code(&output, 1);
    assert!(text(&output.stderr).contains("damaged"), "{}", text(&output.stderr));
}
