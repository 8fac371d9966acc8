//! A host that is killed, and hosts whose file cannot be written: each is a process of its own.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use lmcache::trace::recorder::options::MIN_TOTAL_BYTES;
use lmcache::trace::recorder::{RecorderOptions, Rotation, TraceRecorder};

use super::support::{keys, pause_us, read, scope};

/// Names the test that a child process runs, and the file that it records to.
const HOST_FILE: &str = "LMCACHE_TEST_HOST_FILE";

/// This binary again, running `test` alone.
fn host(test: &str, file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--ignored", "--exact", "--nocapture", test]).env(HOST_FILE, file);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// Calls that a host says are flushed, up to the last line that it wrote.
fn acknowledged(child: &mut Child) -> u64 {
    let mut text = String::new();
    child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("text");
    let whole_lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    whole_lines
        .lines()
        .filter_map(|line| line.strip_prefix("flushed "))
        .filter_map(|n| n.parse().ok())
        .max()
        .unwrap_or(0)
}

#[test]
#[ignore = "a host to be killed, run by the test below"]
fn recording_host() {
    let Ok(file) = std::env::var(HOST_FILE) else { return };
    let options = RecorderOptions { chunk_bytes: 1 << 16, ..RecorderOptions::new(file) };
    let recorder = TraceRecorder::open(options).expect("a recorder");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let scope = scope("other");
            for call in 0..u64::MAX {
                recorder.with_thread(|thread| thread.read_enter(&keys(&scope, call..call + 3)));
            }
        });
        let mut thread = recorder.thread().expect("a ring");
        let scope = scope("mine");
        for round in 1..u64::MAX {
            for call in 0..20 {
                thread.finish_write(&keys(&scope, round * 20 + call..round * 20 + call + 2));
            }
            recorder.flush().expect("written");
            // One write call, so that the line is whole or not there.
            let line = format!("flushed {}\n", thread.attempted());
            std::io::stdout().write_all(line.as_bytes()).expect("a reader");
        }
    });
}

#[test]
fn a_host_killed_at_any_instant_loses_nothing_that_was_flushed() {
    let kills: u32 = std::env::var("LMCACHE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(40);
    let directory = tempfile::tempdir().expect("a directory");
    let (mut acknowledged_total, mut found_total) = (0, 0);
    for kill in 0..kills * 10 {
        // A busy machine takes longer to start a host: then later ones are given more time, until some have recorded.
        let turn = kill / kills;
        if turn > 0 && acknowledged_total > 0 {
            break;
        }
        let file = directory.path().join(format!("{kill}.lct"));
        let mut child = host("crash::recording_host", &file).spawn().expect("a host");
        // Spread over the start, the first chunks and many chunks; no two kills alike.
        pause_us((u64::from(kill) * 1_337 % 45_000 + u64::from(kill % 7) * 100) * u64::from(1 + turn));
        child.kill().expect("killed");
        child.wait().expect("gone");
        let acknowledged = acknowledged(&mut child);
        if !file.exists() || std::fs::metadata(&file).expect("there").len() == 0 {
            assert_eq!(acknowledged, 0);
            continue;
        }
        let read = read(&file);
        assert!(!read.is_closed);
        let mine = read.calls.iter().find(|call| format!("{:?}", call.3).contains("mine")).map(|call| call.1);
        let (calls, lost) = mine.map_or((0, 0), |thread| read.account(thread));
        assert!(calls + lost >= acknowledged, "{calls} calls and {lost} losses, {acknowledged} were flushed");
        for thread in read.thread_names.keys() {
            read.account(*thread);
        }
        (acknowledged_total, found_total) = (acknowledged_total + acknowledged, found_total + calls);
        std::fs::remove_file(&file).expect("removed");
    }
    println!("{kills} kills: {acknowledged_total} calls were flushed, {found_total} were found");
    assert!(acknowledged_total > 0, "the hosts did record");
}

/// Records until the recording stops by itself, and says what it was told.
fn record_until_stopped(file: &str) {
    let told = Arc::new(Mutex::new(Vec::new()));
    // Small chunks and long bursts: several chunks are sealed in the round that fails.
    let mut options = RecorderOptions { chunk_bytes: 1 << 16, ..RecorderOptions::new(file) };
    let hears = Arc::clone(&told);
    options.on_stop = Some(Box::new(move |error| hears.lock().expect("no panic").push(error.to_string())));
    let recorder = TraceRecorder::open(options).expect("a recorder");
    let (scope, mut thread) = (scope(""), recorder.thread().expect("a ring"));
    for call in 0..u64::MAX {
        thread.finish_write(&keys(&scope, call * 8..call * 8 + 8));
        if call % 1_024 == 0 {
            pause_us(2_000);
        }
        if !recorder.is_enabled() {
            break;
        }
    }
    let attempted = thread.attempted();
    drop(thread);
    let error = recorder.close().expect_err("it stopped").to_string();
    let (told, stats) = (told.lock().expect("no panic").clone(), recorder.stats());
    println!("told {} times: {:?}", told.len(), told);
    println!("closed: {error}");
    println!("attempted {attempted} calls {} lost {}", stats.calls, stats.lost);
}

#[test]
#[ignore = "a host whose file cannot grow, run by the tests below"]
fn stopping_host() {
    if let Ok(file) = std::env::var(HOST_FILE) {
        record_until_stopped(&file);
    }
}

/// Runs a host whose recording must stop, and returns what it said and how many calls its file holds.
fn run_stopping_host(command: &mut Command, file: &Path) -> (String, u64) {
    let output = command.output().expect("a host");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "the host was harmed: {:?}\n{said}", output.status);
    assert!(said.contains("told 1 times"), "{said}");
    let number = |name: &str| -> u64 {
        let line = said.lines().find(|line| line.starts_with("attempted")).expect("a line of counts");
        let mut words = line.split(' ').skip_while(|word| *word != name);
        words.nth(1).and_then(|word| word.parse().ok()).expect("a count")
    };
    let (calls, lost) = (number("calls"), number("lost"));
    assert_eq!(number("attempted"), calls + lost, "{said}");
    if let Ok(bytes) = std::fs::read(file) {
        assert!(!bytes.is_empty());
        assert_eq!(read(file).calls.len() as u64, calls, "{said}");
    }
    (said, calls)
}

#[test]
fn a_file_size_limit_stops_the_recording_and_not_the_host() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("a.lct");
    let mut command = Command::new("/bin/sh");
    let host = std::env::current_exe().expect("this binary");
    // In units of 512 bytes in POSIX shells, of 1,024 in others: 256 KiB at least, 512 KiB at most.
    command
        .arg("-c")
        .arg("ulimit -f 512; exec \"$0\" --ignored --exact --nocapture crash::stopping_host")
        .arg(host);
    command.env(HOST_FILE, &file).arg0("sh");
    let (said, calls) = run_stopping_host(&mut command, &file);
    assert!(said.contains("File too large"), "{said}");
    assert!(calls > 100);
}

#[test]
fn a_deleted_file_stops_the_recording_and_not_the_host() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("gone").join("a.lct");
    std::fs::create_dir(directory.path().join("gone")).expect("made");
    let gone = directory.path().join("gone");
    let remover = std::thread::spawn(move || {
        while !gone.join("a.lct").exists() {
            pause_us(1_000);
        }
        pause_us(20_000);
        std::fs::remove_dir_all(gone).expect("removed");
    });
    let (said, _) = run_stopping_host(&mut host("crash::stopping_host", &file), &file);
    remover.join().expect("no panic");
    assert!(said.contains("deleted"), "{said}");
}

#[test]
fn a_full_disk_stops_the_recording_and_not_the_host() {
    let directory = tempfile::tempdir().expect("a directory");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
        .arg(directory.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        println!("skipped: this user may not mount a small file system");
        return;
    }
    let file = directory.path().join("a.lct");
    let outcome =
        std::panic::catch_unwind(|| run_stopping_host(&mut host("crash::stopping_host", &file), &file));
    let unmounted = Command::new("umount").arg(directory.path()).status();
    let (said, calls) = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert!(unmounted.is_ok_and(|status| status.success()));
    assert!(said.contains("No space left"), "{said}");
    assert!(calls > 1_000, "a megabyte holds that many: {said}");
}

#[test]
fn a_file_that_cannot_be_made_is_one_sentence() {
    let error = TraceRecorder::open(RecorderOptions::new("/no/such/folder/a.lct")).expect_err("no folder");
    assert!(error.to_string().contains("/no/such/folder/a.lct"), "{error}");
    let error = TraceRecorder::open(RecorderOptions::new("/dev/full")).expect_err("no room");
    assert!(error.to_string().contains("No space left"), "{error}");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.lct");
    let one_less = Rotation { max_total_bytes: Some(MIN_TOTAL_BYTES - 1), ..Rotation::default() };
    let wrong = [
        RecorderOptions { ring_bytes: 1000, ..RecorderOptions::new(&path) },
        RecorderOptions { chunk_bytes: 1 << 15, ..RecorderOptions::new(&path) },
        RecorderOptions { rotation: one_less, ..RecorderOptions::new(&path) },
    ];
    for options in wrong {
        assert!(TraceRecorder::open(options).is_err());
        assert!(!path.exists(), "nothing is made when the options are wrong");
    }
}
