//! The examples in the help: they fit on a terminal, and work as they are pasted.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::unpack_to_file;
use crate::completions::VERBS;
use crate::{command, made_native, stdout};

/// The widest line of an example: on a man page its text stands behind five columns more, and a terminal has 80.
const MAX_COLUMNS: usize = 73;

/// The help of the program or of a verb on a terminal of so many columns.
fn help(verb: &str, columns: &str) -> String {
    stdout(&command(verb).arg("--help").env("COLUMNS", columns).output().expect("runs"))
}

/// The lines below `Examples:`.
fn example_lines(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
    lines.take_while(|line| line.starts_with("  ")).collect()
}

/// The commands that the lines are: one that ends in a backslash goes on in the next.
fn commands(help: &str) -> Vec<String> {
    let mut commands = vec![String::new()];
    for line in example_lines(help).into_iter().filter(|line| !line.trim_start().starts_with('#')) {
        let last = commands.last_mut().expect("one");
        last.push_str(line.trim_start());
        last.push('\n');
        if !line.ends_with('\\') {
            commands.push(String::new());
        }
    }
    commands.pop();
    commands
}

/// The program itself, and the verbs.
fn helps() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(VERBS)
}

#[test]
fn every_line_of_an_example_fits_and_is_not_broken() {
    for verb in helps() {
        let (wide, narrow) = (help(verb, "200"), help(verb, "80"));
        let lines = example_lines(&wide);
        assert!(!lines.is_empty(), "{verb}");
        for line in &lines {
            assert!(line.len() <= MAX_COLUMNS, "{verb}: {} columns: {line}", line.len());
        }
        assert_eq!(lines, example_lines(&narrow), "{verb}");
        for command in commands(&wide) {
            assert!(command.contains("lmcache-trace "), "{verb}: no command begins here: {command}");
        }
    }
}

/// The adapters in the help of replay are pasted, too.
#[test]
fn every_line_of_an_adapter_fits() {
    let (wide, narrow) = (help("replay", "200"), help("replay", "80"));
    let lines = |help: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| !line.starts_with("L2 adapters")).skip(1);
        lines.take_while(|line| line.starts_with("  ")).map(str::to_owned).collect()
    };
    assert!(lines(&wide).len() >= 8);
    assert!(lines(&wide).iter().all(|line| line.len() <= MAX_COLUMNS), "{wide}");
    assert_eq!(lines(&wide), lines(&narrow));
}

/// What the examples call their files.
fn lay_out(folder: &Path) {
    let trace = unpack_to_file("traces/tiny.lct");
    for name in ["server.lct", "node-1.lct", "node-2.lct"] {
        fs::copy(&trace.path, folder.join(name)).expect("room");
    }
    let compressed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/traces/tiny.lct.zst");
    fs::copy(compressed, folder.join("server.lct.zst")).expect("room");
    let native = made_native::converted("traces/tiny.lct");
    for name in ["node.lct", "live.lct", "killed.lct"] {
        fs::write(folder.join(name), &native).expect("room");
    }
    fs::write(folder.join("server.native.lct"), &native).expect("room");
    fs::create_dir_all(folder.join("etc/bash_completion.d")).expect("room");
    fs::create_dir_all(folder.join("man1")).expect("room");
}

/// An example on the files of the test: places of the machine become those of the folder, and a port any free one.
fn in_folder(example: &str, folder: &Path) -> String {
    let place = folder.display().to_string();
    let example =
        example.replace("/data/kv", &format!("{place}/kv")).replace("/etc/", &format!("{place}/etc/"));
    example.replace("/usr/local/share/man/man1", &format!("{place}/man1")).replace("port 9090", "port 0")
}

/// Whether everything that an example calls is on this machine.
fn is_runnable(example: &str) -> bool {
    ["jq", "zstd", "man"].into_iter().all(|tool| {
        let is_called =
            [format!("| {tool} "), format!("{tool} -dc")].iter().any(|call| example.contains(call));
        let version = || Command::new(tool).arg("--version").stdout(Stdio::null()).status();
        !is_called || version().is_ok_and(|status| status.success())
    })
}

#[test]
fn every_example_works_as_it_is_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    lay_out(folder.path());
    let program = Path::new(env!("CARGO_BIN_EXE_lmcache-trace")).parent().expect("a folder");
    let path = format!("{}:{}", program.display(), std::env::var("PATH").expect("a PATH"));
    let mut pasted = 0;
    for verb in helps() {
        // The pairs of runs that compare makes take minutes.
        for example in commands(&help(verb, "80")).into_iter().filter(|_| verb != "compare") {
            if !is_runnable(&example) {
                println!("skipped: a tool is missing for {example}");
                continue;
            }
            let script = format!("set -o pipefail\n{}", in_folder(&example, folder.path()));
            let mut bash = Command::new("bash");
            bash.args(["--norc", "-c", &script])
                .current_dir(folder.path())
                .env("PATH", &path)
                .stdin(Stdio::null());
            let output = bash.output().expect("bash is there");
            assert_eq!(output.status.code(), Some(0), "{script}\n{output:?}");
            pasted += 1;
        }
    }
    assert!(pasted > 20, "{pasted}");
}
