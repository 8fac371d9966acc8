//! What a comparison says, and what it refuses to say: too few runs, parts that differ, numbers that fit each other.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lmcache::clock::{NS_PER_S, monotonic_ns};
use serde_json::Value;

use crate::command::{QUICK, command, compare, summary_of, text};
use crate::common::{fixtures, unpack_to_file};

/// Runs `arguments` until two runs are whole and the third has begun, and sends what Ctrl-C sends. `kv` is the folder of an L2 that
/// is there while a run is.
fn interrupted_after_two_runs(trace: &Path, kv: &Path, arguments: &[&str]) -> Output {
    let mut command = command(trace, arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let deadline_ns = monotonic_ns() + 60 * NS_PER_S;
    let wait_until = |is_there: bool| {
        while kv.exists() != is_there {
            assert!(monotonic_ns() < deadline_ns, "no run begins or ends");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    };
    [true, false, true, false, true].into_iter().for_each(wait_until);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()));
    child.wait_with_output().expect("it ends")
}

#[test]
fn one_run_of_each_finds_nothing_and_gets_no_verdict() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let kv = folder.path().join("kv");
    let flags = |size: &str| {
        format!(
            "--l1-size-gb {size} --eviction-policy LRU --speed 20 --l2-adapter '{{\"type\":\"fs\",\"base_path\":\"{}\"}}'",
            kv.display()
        )
    };
    let gate = folder.path().join("gate.json");
    std::fs::write(&gate, r#"{"metrics":{"keys_evicted":{"max_increase":1000000}}}"#).expect("room");
    let (a, b, gate) = (flags("1"), flags("0.1"), gate.display().to_string());
    let report = folder.path().join("report.json").display().to_string();
    let common = ["--a", &a, "--b", &b, "--warmup", "0", "--gate", &gate];

    let output = interrupted_after_two_runs(&trace.path, &kv, &common);
    let table = text(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{table}");
    assert!(table.contains("\nA  1 run  ") && table.contains("\nB  1 run  "), "{table}");
    for told in ["HIGHER", "LOWER", "BETTER", "WORSE", "exact", "noise", "differs", "passed"] {
        assert!(!table.contains(told), "{told}: {table}");
    }
    let sentence = "Too few runs for a verdict: 99 % confidence takes 8 runs of each.";
    assert_eq!(table.matches(sentence).count(), 1, "{table}");
    assert!(table.contains("Gate: no verdict"), "{table}");

    let in_json = [&common[..], &["--format", "json", "-q", "--output", &report]].concat();
    assert_eq!(interrupted_after_two_runs(&trace.path, &kv, &in_json).status.code(), Some(130));
    let report = std::fs::read(&report).expect("a report");
    let summary: Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!((&summary["changed_metrics"], &summary["least_runs"]), (&0.into(), &8.into()));
    assert_eq!(summary["gate"]["verdict"], "refused");
    for (name, metric) in summary["metrics"].as_object().expect("metrics") {
        assert_eq!((&metric["kind"], &metric["changed"]), (&"too_few_runs".into(), &false.into()), "{name}");
    }
}

#[test]
fn fewer_runs_than_are_needed_are_refused_before_the_first_and_as_many_are_not() {
    let trace = unpack_to_file("traces/tiny.lct");
    let of = |runs: &str, confidence: &str| {
        let given = ["--a", QUICK, "--aa", "--warmup", "0", "--runs", runs, "--confidence", confidence];
        compare(&trace.path, &given)
    };
    for (runs, confidence, least) in [("1", "0.99", 8), ("2", "0.99", 8), ("7", "0.99", 8), ("3", "0.8", 4)] {
        let output = of(runs, confidence);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains(&format!("so few runs get no verdict: {least} of each are needed")), "{said}");
    }
    for (runs, confidence) in [("8", "0.99"), ("4", "0.8")] {
        assert_ne!(of(runs, confidence).status.code(), Some(2), "{runs} {confidence}");
    }
}

/// Different parts of a trace are no reason to differ; a gate is not asked.
#[test]
fn parts_that_differ_are_said_and_not_judged() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("room for a file");
        path.display().to_string()
    };
    let gate = write("gate.json", r#"{"metrics":{"keys_evicted":{"max_increase":0}}}"#);
    let part = format!("{QUICK} --to 6");
    let eight = ["--runs", "8", "--warmup", "0"];
    let output = compare(&trace.path, &[&["--a", QUICK, "--b", &part][..], &eight].concat());
    let said = text(&output.stderr);
    assert!(
        said.contains("warning: A and B play different parts of the trace (they differ in --to)"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0));
    let same = compare(&trace.path, &[&["--a", &part, "--b", &part][..], &eight].concat());
    assert_eq!(text(&same.stderr), "");
    let judged = compare(&trace.path, &["--a", QUICK, "--b", &part, "--gate", &gate]);
    assert_eq!(judged.status.code(), Some(2));
    assert!(text(&judged.stderr).contains("which no gate can judge"), "{}", text(&judged.stderr));

    let kept = folder.path().join("main.json").display().to_string();
    let saved = compare(&trace.path, &[&["--a", QUICK, "--save-baseline", &kept][..], &eight].concat());
    assert_eq!(saved.status.code(), Some(0), "{}", text(&saved.stderr));
    let gate =
        write("kept.json", r#"{"metrics":{"keys_evicted":{"max_increase":0}},"baseline":"main.json"}"#);
    let paced = QUICK.replace("--asap", "--speed 20");
    for (flags, wanted) in [(&part, "they differ in --to,"), (&paced, "they differ in pace or order,")] {
        let judged = compare(&trace.path, &["--a", flags, "--gate", &gate]);
        let said = text(&judged.stderr);
        assert_eq!(judged.status.code(), Some(2), "{said}");
        assert!(said.contains("the baseline was not played as") && said.contains(wanted), "{said}");
    }
}

/// Nothing is the same whatever plays it, and passes every gate.
#[test]
fn a_part_without_a_call_is_an_error() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let empty = unpack_to_file("traces/empty.lct");
    for (trace, a, b, letter) in [
        (&trace.path, QUICK, format!("{QUICK} --models foo"), 'B'),
        (&trace.path, QUICK, format!("{QUICK} --from 1000000"), 'B'),
        (&trace.path, &format!("{QUICK} --salts nobody"), QUICK.to_owned(), 'A'),
        (&empty.path, QUICK, QUICK.to_owned(), 'A'),
    ] {
        let output = compare(trace, &["--a", a, "--b", &b]);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains("there is no call of the trace to play"), "{said}");
        assert!(said.contains(&format!("configuration {letter}")), "{said}");
    }
}

#[test]
fn a_compressed_trace_is_refused_as_everywhere() {
    let packed = fixtures().join("traces/server_demo.lct.zst");
    let sentence =
        |output: &Output| text(&output.stderr).lines().take(2).map(str::to_owned).collect::<Vec<_>>();
    let refused = compare(&packed, &["--a", QUICK, "--aa"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = sentence(&refused);
    assert!(said[0].contains("a compressed file is not read") && said[1].contains("zstd -d"), "{said:?}");
    for verb in [&["info"][..], &["info", "--no-mmap"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lmcache-trace"));
        assert_eq!(sentence(&command.args(verb).arg(&packed).output().expect("it runs")), said, "{verb:?}");
    }
}

/// The table fits a terminal, whatever the machine does; what is long is broken.
#[test]
fn the_table_fits_a_terminal() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let large = QUICK.replace("0.1", "1");
    let arguments = ["--a", &large, "--b", QUICK, "--runs", "8", "--warmup", "0"];
    let output = command(&trace.path, &arguments).output().expect("the program runs");
    let table = text(&output.stdout);
    let (rows, sentences) =
        table.split_once("\n\nZero in all runs: ").unwrap_or_else(|| panic!("no zeros: {table}"));
    let rows = rows.split_once("\n\n").expect("a head").1;
    // 80, but where a column has the longest that can be in it, as the names of the misses are.
    let widest = rows.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    assert!(widest <= 84, "{widest}: {rows}");
    assert!(sentences.lines().all(|line| line.chars().count() <= 100), "{sentences}");
    assert!(rows.contains("\nreserve_write\n  .mean  ") && rows.contains("\nchunk_hit_rate  "), "{rows}");
    let word = |name: &str| {
        let row =
            rows.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {rows}"));
        row.split_whitespace().last().unwrap_or_default().to_owned()
    };
    assert_eq!([word("chunk_hit_rate"), word("keys_evicted")], ["WORSE", "HIGHER"]);
    // Without L2 they are the times of the calls.
    assert!(!rows.contains("prefetch.p50") && sentences.contains("No prefetch went to L2"), "{table}");
    assert!(!sentences.contains("l2_lookup"), "{sentences}");
}

/// A command that is folded inside its quotes is another command.
#[test]
fn examples_in_the_help_can_be_pasted() {
    let output = Command::new(env!("CARGO_BIN_EXE_lmcache-trace")).args(["compare", "--help"]).output();
    let help = text(&output.expect("the program runs").stdout);
    let (_, after) = help.split_once("\nExamples:\n").expect("examples");
    assert!(after.lines().all(|line| line.len() < 76), "{after}");
    let commands = after.split("\n\n").next().expect("a paragraph").replace(" \\\n", " ");
    assert_eq!(commands.lines().count(), 4, "{commands}");
    for line in commands.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(words.starts_with(&["lmcache-trace", "compare", "server.lct"]), "{line}");
        assert_eq!(line.matches('\'').count() % 2, 0, "{line}");
    }
}

/// A job whose log has no table still says what is broken.
#[test]
fn a_quiet_gate_says_what_is_broken() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let gate = folder.path().join("gate.json");
    let limits =
        r#"{"metrics":{"keys_evicted":{"max_increase_percent":5},"chunks_served":{"max_decrease":7}}}"#;
    std::fs::write(&gate, limits).expect("room");
    let (large, gate) = (QUICK.replace("0.1", "1"), gate.display().to_string());
    let arguments = ["--a", &large, "--b", QUICK, "--runs", "8", "--warmup", "0", "--gate", &gate];
    let output = command(&trace.path, &[&arguments[..], &["-q"]].concat()).output().expect("it runs");
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(
        said.contains("the gate is broken: keys_evicted from 0 to 55, max_increase_percent 5 %"),
        "{said}"
    );
    assert!(said.contains("the gate is broken: chunks_served -112, max_decrease 7"), "{said}");
    // The table says it itself, and nothing is infinite.
    let output = command(&trace.path, &arguments).output().expect("it runs");
    let table = text(&output.stdout);
    assert!(table.contains("from 0 to 55") && !table.contains("inf"), "{table}");
    assert!(!text(&output.stderr).contains("broken"), "{}", text(&output.stderr));
    let json = summary_of(&compare(&trace.path, &arguments));
    let check = &json["gate"]["checks"][0];
    assert_eq!(
        (&check["change"], &check["first"], &check["second"]),
        (&Value::Null, &0.0.into(), &55.0.into())
    );
}

/// Without a gate there is no verdict to refuse, and the table is worth as little.
#[test]
fn a_load_that_is_not_delivered_is_warned_of() {
    let trace = unpack_to_file("traces/small.lct");
    let hopeless = "--l1-size-gb 0.1 --eviction-policy LRU --speed 100000 --order recorded";
    let output = compare(&trace.path, &["--a", hopeless, "--aa", "--runs", "8", "--warmup", "0"]);
    let said = text(&output.stderr);
    assert!(
        said.contains("warning: ") && said.contains("of the calls of A began more than 1 ms late"),
        "{said}"
    );
}

/// A quick run of an L2 that answers nothing is no good one.
#[test]
fn an_l2_that_fails_is_said_and_not_judged() {
    let trace = unpack_to_file("traces/server_demo.lct");
    let folder = tempfile::tempdir().expect("a folder");
    let gate = folder.path().join("gate.json");
    std::fs::write(&gate, r#"{"metrics":{"keys_evicted":{"max_increase":1000000}}}"#).expect("room");
    let mock = r#"{"type":"mock","max_size_gb":1,"mock_bandwidth_gb":90}"#;
    let whole = format!("{QUICK} --l2-adapter '{mock}'");
    let failing =
        format!(r#"{QUICK} --l2-adapter '{{"type":"fault_inject","store_error_rate":1.0,"inner":{mock}}}'"#);
    let gate = gate.display().to_string();
    let arguments = ["--a", &whole, "--b", &failing, "--runs", "8", "--warmup", "0", "--gate", &gate];
    let output = compare(&trace.path, &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("warning: a run of B: L2 adapter"), "{said}");
    assert!(said.contains("there is no verdict: l2.keys_lost is "), "{said}");
}
