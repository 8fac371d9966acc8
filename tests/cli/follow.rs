//! Files that are dumped and summed up while they are recorded.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use lmcache::clock::{Waiter, monotonic_ns};
use lmcache::format::native::pod::MIN_CHUNK_BYTES;
use lmcache::trace::TraceRecorder;
use lmcache::trace::recorder::{FullPolicy, RecorderOptions};
use serde_json::Value;

use crate::common::unpack_to_file;
use crate::made_native::{compact, made_file};
use crate::{command, run, stderr, stdout};

fn pause_ms(ms: u64) {
    Waiter::new(0).wait_until_ns(monotonic_ns() + ms * 1_000_000, || false);
}

/// A recording under way.
struct Live {
    recorder: TraceRecorder,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Live {
    fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("live.lct");
        let mut options = RecorderOptions::new(&path);
        (options.chunk_bytes, options.full_policy) = (MIN_CHUNK_BYTES, FullPolicy::Wait);
        let recorder = TraceRecorder::open(options).expect("a recorder");
        Self { recorder, path, _folder: folder }
    }

    /// Calls of the host, named `engine.even` and `engine.odd` in turn.
    fn record(&self, numbers: std::ops::Range<u64>) {
        for number in numbers {
            let name = if number.is_multiple_of(2) { "engine.even" } else { "engine.odd" };
            let bytes = format!("{number:>100}");
            self.recorder.with_thread(|thread| thread.host_call(name, bytes.as_bytes())).expect("recorded");
        }
        self.recorder.flush().expect("room for a file");
    }

    fn close(&self) {
        let stats = self.recorder.close().expect("room for a file");
        assert_eq!(stats.lost, 0);
    }

    fn spawn(&self, words: &str) -> Following {
        let mut child = command(words)
            .arg(&self.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        Following { child, lines }
    }
}

/// The program, following.
struct Following {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Following {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("UTF-8");
        line
    }

    /// Waits for its end. Returns what it printed that was not read yet, what it said, and its exit code.
    fn end(mut self) -> (String, String, Option<i32>) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).expect("UTF-8");
        let output: Output = self.child.wait_with_output().expect("it ends");
        (rest, stderr(&output), output.status.code())
    }

    fn interrupt(&self) {
        let killed = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(killed.expect("kill runs").success());
    }
}

fn dumped(words: &str, file: &Path) -> String {
    stdout(&run(words, file))
}

#[test]
fn every_record_is_printed_once_until_the_file_is_closed() {
    let live = Live::begin();
    live.record(0..1_000);
    let all = ["dump", "dump --format jsonl", "dump --op engine.odd", "dump --from 0.05", "dump --strict"];
    let followers = all.map(|words| (words, live.spawn(&format!("{words} --follow"))));
    for burst in 0..60 {
        // Several chunks, in pieces of many lengths, with and without a pause.
        live.record(1_000 + burst * 100..1_000 + burst * 100 + (burst % 7) * 16);
        pause_ms((burst % 4) * 3);
    }
    live.close();
    for (words, follower) in followers {
        let (printed, said, code) = follower.end();
        assert!(printed == dumped(words, &live.path), "{words}");
        let count = printed.lines().count();
        assert!(
            count > 1_000 && said.contains(&format!("closed the file; {count} records printed")),
            "{said}"
        );
        assert_eq!(code, Some(0), "{words}");
    }
    let closed = run("dump --follow", &live.path);
    assert_eq!((stdout(&closed), stderr(&closed)), (dumped("dump", &live.path), String::new()));
}

#[test]
fn only_what_is_to_come() {
    let live = Live::begin();
    live.record(0..700);
    let mut follower = live.spawn("dump --format jsonl --follow=new");
    let recorded = std::thread::scope(|scope| {
        let first = scope.spawn(|| follower.line());
        let mut recorded = 700;
        while !first.is_finished() {
            live.record(recorded..recorded + 1);
            recorded += 1;
            pause_ms(5);
        }
        let first: Value = serde_json::from_str(&first.join().expect("a line")).expect("JSON");
        (first["seq"].as_u64().expect("a number"), recorded)
    });
    live.close();
    let (first, recorded) = recorded;
    assert!(first >= 700, "{first}");
    let (rest, _, code) = follower.end();
    let seqs = rest.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64());
    assert!(seqs.eq((first + 1..recorded).map(Some)), "each once");
    assert_eq!(code, Some(0));
}

#[test]
fn filters_end_it() {
    let live = Live::begin();
    live.record(0..20);
    let (none, _, code) = live.spawn("dump --follow -n 0").end();
    assert_eq!((none.as_str(), code), ("", Some(0)));
    let mut five = live.spawn("dump --follow -n 5 --op engine.odd --format jsonl");
    assert!(five.line().contains("\"seq\":1,"));
    let (rest, said, code) = five.end();
    assert_eq!((rest.lines().count(), said.as_str(), code), (4, "", Some(0)));
    // Nothing is recorded any more: the clock ends it.
    let (until, _, code) = live.spawn("dump --follow --to 1").end();
    assert_eq!((until.lines().count(), code), (20, Some(0)));
    // Whoever is behind the moment when it begins sees what was recorded before it.
    let (until, _, code) = live.spawn("dump --follow --from 0 --to 1").end();
    assert_eq!((until.lines().count(), code), (20, Some(0)));
}

#[test]
fn ctrl_c_ends_it_and_what_was_there_is_printed() {
    let live = Live::begin();
    live.record(0..300);
    let mut follower = live.spawn("dump --follow");
    let first = follower.line();
    follower.interrupt();
    let (rest, said, code) = follower.end();
    assert_eq!((said.as_str(), code), ("", Some(130)));
    assert_eq!(first + &rest, dumped("dump", &live.path));
}

#[test]
fn a_reader_that_leaves_ends_it_though_nothing_is_recorded() {
    let live = Live::begin();
    live.record(0..3);
    for words in ["dump --follow", "info --follow", "info --follow --format json"] {
        let mut follower = live.spawn(words);
        assert!(!follower.line().is_empty(), "{words}");
        let Following { child, lines } = follower;
        drop(lines);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{words}");
    }
}

#[test]
fn a_growing_file_is_summed_up_every_second() {
    let live = Live::begin();
    live.record(0..300);
    let (mut lines, mut objects) = (live.spawn("info --follow"), live.spawn("info --follow --format json"));
    let quiet = live.spawn("info --follow -q");
    let (line, object) = (lines.line(), objects.line());
    assert!(line.contains(" 300 calls ") && line.contains(" 0 lost "), "{line}");
    let object: Value = serde_json::from_str(&object).expect("JSON");
    assert_eq!((&object["kind"], &object["total_records"]), (&"live".into(), &300.into()));
    assert_eq!((&object["calls_per_s"], &object["lost_calls"]), (&Value::Null, &0.into()));
    assert_eq!(object["ops"]["engine.odd"], 150);
    live.record(300..350);
    let next: Value = serde_json::from_str(&objects.line()).expect("JSON");
    let rate = next["calls_per_s"].as_f64().expect("a rate");
    assert!(next["total_records"] == 350 && rate > 5.0 && rate < 51.0, "{next}");
    live.close();
    let (rest, _, code) = lines.end();
    assert!(rest.ends_with(&dumped("info", &live.path)), "{rest}");
    assert_eq!(code, Some(0));
    let (rest, _, code) = objects.end();
    assert_eq!(rest.lines().last(), dumped("info --format json", &live.path).lines().last());
    assert_eq!(code, Some(0));
    assert_eq!(quiet.end(), (String::new(), String::new(), Some(0)));
}

#[test]
fn ctrl_c_sums_up_what_is_there() {
    let live = Live::begin();
    live.record(0..10);
    let mut follower = live.spawn("info --follow");
    assert!(follower.line().contains(" 10 calls "));
    follower.interrupt();
    let (rest, _, code) = follower.end();
    assert!(rest.contains("total_records:              10\n") && rest.contains("NO: not closed"), "{rest}");
    assert_eq!(code, Some(130));
}

#[test]
fn what_cannot_be_followed_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (lct, empty) = (unpack_to_file("traces/tiny.lct"), folder.path().join("empty"));
    std::fs::write(&empty, b"").expect("room for a file");
    for verb in ["dump --follow", "info --follow"] {
        for (path, sentence) in [
            (lct.path.as_path(), "only a native trace file can be followed, and this is none (path "),
            (Path::new("-"), "a stream cannot be followed, only a native trace file can (path -)\nhint: "),
            (&folder.path().join("missing"), "cannot open trace file (path "),
            (folder.path(), "a folder is not a trace file"),
            (&empty, "the trace file is empty: it has no header yet"),
        ] {
            let output = run(verb, path);
            assert_eq!(output.status.code(), Some(2), "{verb} {sentence}");
            assert!(stderr(&output).contains(sentence), "{verb}: {}", stderr(&output));
            assert!(output.stdout.is_empty());
        }
        // A compact file does not grow, and is read like any other.
        let file = made_file(&compact());
        let verb_alone = verb.trim_end_matches(" --follow");
        assert_eq!(stdout(&run(verb, &file.path)), dumped(verb_alone, &file.path));
    }
    let two = command("info --follow a.lct b.lct").output().expect("runs");
    assert!(stderr(&two).contains("one file at a time can be followed (files 2)"));
}

#[test]
fn a_file_that_another_recording_takes_over_is_an_error() {
    let live = Live::begin();
    live.record(0..10);
    let mut follower = live.spawn("dump --follow");
    assert!(!follower.line().is_empty());
    std::fs::write(&live.path, made_native_again()).expect("room for a file");
    let (_, said, code) = follower.end();
    assert_eq!(code, Some(2));
    assert!(said.starts_with("error: ") && said.contains("trace file"), "{said}");
}

/// Another recording, of a few records.
fn made_native_again() -> Vec<u8> {
    crate::made_native::killed(crate::made_native::every_kind())
}
