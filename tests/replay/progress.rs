//! How people and programs are told how far a replay is.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::command::{L1, replay, text};
use crate::common::{UnpackedFile, unpack_to_file};

#[test]
fn programs_get_an_object_a_second_and_a_last_one() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let (output, _folder) = replay(&trace, &format!("{L1} --no-csv --format json --progress json"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let errors = text(&output.stderr);
    let lines = errors.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let summary: Value = serde_json::from_slice(&output.stdout).expect("standard output is one object");
    let seconds = summary["duration_s"].as_f64().expect("a number");
    assert!(
        lines.len() as f64 >= seconds.floor() && lines.len() as f64 <= seconds + 2.0,
        "{seconds}: {errors}"
    );
    assert!(lines.iter().all(|line| line["type"] == "progress" && line["calls_per_s"].is_number()));
    assert!(lines.is_sorted_by_key(|line| line["records"].as_u64()));
    let (last, others) = lines.split_last().expect("at least the last line");
    assert!(others.iter().all(|line| line["finished"] == false));
    assert_eq!((&last["finished"], &last["records"]), (&Value::Bool(true), &last["total_records"]));
    assert_eq!(last["records"], summary["trace"]["records"]);
    assert_eq!(last["answered_chunks"], summary["totals"]["requested_chunks"]);
    assert_eq!(last["served_chunks"], summary["totals"]["served_chunks"]);
    assert!(last["l1_used_bytes"].as_u64() <= last["l1_total_bytes"].as_u64(), "{last}");
    assert_eq!(last["l2_used_bytes"], Value::Null);
}

#[test]
fn a_pipe_gets_nothing_by_itself_and_no_bar() {
    let trace = unpack_to_file("traces/tiny.lct");
    for words in ["", "--progress none"] {
        let (output, _folder) = replay(&trace, &format!("{L1} --no-csv {words}"));
        assert_eq!(output.status.code(), Some(0));
        let errors = text(&output.stderr);
        assert!(!errors.contains("calls/s") && !errors.contains("\"type\""), "{errors}");
    }
    let (output, folder) = replay(&trace, &format!("{L1} --progress bar"));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--progress json"), "{}", text(&output.stderr));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "nothing was begun");
}

/// What a terminal of this many columns is sent. Nothing where `script`, which makes one, is not there.
fn on_a_terminal(trace: &UnpackedFile, columns: usize, variable: (&str, &str)) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let (program, path) = (env!("CARGO_BIN_EXE_lmcache-trace"), trace.path.display());
    let replay =
        format!("stty cols {columns} rows 24; '{program}' replay '{path}' {L1} --no-csv --output report");
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &replay, "/dev/null"])
        .current_dir(folder.path())
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env(variable.0, variable.1)
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        println!("skipped: there is no `script` to make a terminal");
        return None;
    };
    assert!(output.status.success(), "{}", text(&output.stdout));
    Some(text(&output.stdout))
}

/// Without the sequences that move the cursor and choose colours.
fn plain(shown: &str) -> String {
    let mut plain = String::new();
    let mut chars = shown.chars();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => drop(chars.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            c => plain.push(c),
        }
    }
    plain
}

#[test]
fn a_terminal_is_shown_three_lines() {
    let trace = unpack_to_file("traces/tiny.lct");
    let Some(shown) = on_a_terminal(&trace, 100, ("LANG", "C.UTF-8")) else { return };
    let plain = plain(&shown);
    for word in ["replaying", "calls/s, lag", "of 59 records", "hits ", "L1 "] {
        assert!(plain.contains(word), "{word}: {plain}");
    }
    assert!(shown.contains("\u{1b}[36m"), "the bar has a colour: {shown:?}");
}

#[test]
fn a_narrow_terminal_and_one_without_colours_are_respected() {
    const COLUMNS: usize = 34;
    let trace = unpack_to_file("traces/tiny.lct");
    let Some(shown) = on_a_terminal(&trace, COLUMNS, ("NO_COLOR", "1")) else { return };
    assert!(!shown.contains("\u{1b}[36m"), "{shown:?}");
    let plain = plain(&shown);
    // Lines fill the terminal, and no line end stands behind them: each begins where the one before it ends.
    let views = plain.split(['\r', '\n']).filter(|view| view.starts_with("replaying"));
    let views: Vec<Vec<char>> = views.map(|view| view.trim_end().chars().collect()).collect();
    assert!(!views.is_empty(), "{plain}");
    for view in views {
        let lines: Vec<String> = view.chunks(COLUMNS).map(|line| line.iter().collect()).collect();
        assert!(lines.len() <= 3, "{lines:?}");
        assert!(lines.get(1).is_none_or(|line| line.contains(" calls/s, lag ")), "{lines:?}");
        assert!(lines.get(2).is_none_or(|line| line.starts_with("hits ")), "{lines:?}");
    }
}
