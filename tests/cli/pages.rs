//! Man pages.

use std::path::Path;
use std::process::Command;

use crate::completions::VERBS;
use crate::{command, stderr, stdout};

fn write_pages(folder: &Path) {
    let output = command("man --output-dir").arg(folder).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_page_is_written_for_every_verb_and_for_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    write_pages(folder.path());
    let main = read(folder.path(), "lmcache-trace.1");
    assert!(main.contains(".TH lmcache-trace 1"), "{main}");
    for verb in VERBS {
        let page = read(folder.path(), &format!("lmcache-trace-{verb}.1"));
        assert!(page.contains(&format!(".TH lmcache-trace-{verb} 1")), "{page}");
        assert!(main.contains(&format!("lmcache\\-trace\\-{verb}(1)")), "{verb}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), VERBS.len() + 1);
    assert!(!main.contains("trace\\-help(1)"), "there is no such page");
    assert_eq!(stdout(&command("man").output().expect("runs")), main);
    let replay = stdout(&command("man replay").output().expect("runs"));
    assert_eq!(replay, read(folder.path(), "lmcache-trace-replay.1"));
    assert_eq!(command("man --output-dir /dev/null/man").output().expect("runs").status.code(), Some(2));
}

#[test]
fn a_folder_without_its_flag_is_told_where_it_belongs() {
    let output = command("man /usr/local/share/man/man1").output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("--output-dir DIR") && said.contains("replay"), "{said}");
}

/// Lines of the help below `Examples:`, without their indentation.
fn examples(verb: &str) -> Vec<String> {
    let help = stdout(&command(verb).arg("--help").output().expect("runs"));
    let lines = help.lines().skip_while(|line| !line.starts_with("Example")).skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim().to_owned()).collect()
}

/// What stands between no-fill and fill, as it was before it was escaped.
fn literal_lines(page: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for block in page.split("\n.nf\n").skip(1) {
        let (block, _) = block.split_once("\n.fi\n").expect("an end");
        lines.extend(block.lines().map(|line| {
            let line = line.trim().trim_start_matches("\\&").replace("\\*(Aq", "'");
            line.replace("\\-", "-").replace("\\\\", "\\")
        }));
    }
    lines
}

#[test]
fn examples_stand_on_man_pages_line_by_line() {
    let folder = tempfile::tempdir().expect("a folder");
    write_pages(folder.path());
    for verb in VERBS {
        let page = read(folder.path(), &format!("lmcache-trace-{verb}.1"));
        assert!(page.contains("\n.SH EXAMPLES\n") && !page.contains("EXTRA"), "{verb}");
        let (examples, literal) = (examples(verb), literal_lines(&page));
        assert!(!examples.is_empty(), "{verb}");
        for example in examples {
            assert!(literal.contains(&example), "{verb}: {example}\n{literal:#?}");
        }
        assert!(page.contains("\n.nh\n"), "{verb}: a hyphen in a flag is another flag");
    }
}

/// What a reader sees, and copies from. `man` is not everywhere.
#[test]
fn examples_come_out_of_man_as_they_went_in() {
    if Command::new("man").arg("--version").output().is_err() {
        println!("skipped: there is no man on this machine");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write_pages(folder.path());
    for verb in VERBS {
        let page = folder.path().join(format!("lmcache-trace-{verb}.1"));
        let mut man = Command::new("man");
        man.arg("-l").arg(page).env("MANWIDTH", "80").env("MAN_KEEP_FORMATTING", "").env("LC_ALL", "C.UTF-8");
        let output = man.output().expect("runs");
        assert!(output.status.success(), "{output:?}");
        let shown = stdout(&output);
        for example in examples(verb) {
            assert!(shown.lines().any(|line| line.trim() == example), "{verb}: {example}\n{shown}");
        }
    }
}
