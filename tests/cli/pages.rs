//! Completions and man pages.

use crate::{command, stdout};

#[test]
fn completions_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&command(&format!("completions {shell}")).output().expect("runs"));
        for verb in ["info", "dump", "replay", "verify", "repair", "completions", "man"] {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn man_pages_are_written_for_every_verb() {
    let page = stdout(&command("man").output().expect("runs"));
    assert!(page.contains(".TH lmcache-trace 1"), "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    let output = command("man --output-dir").arg(folder.path()).output().expect("runs");
    assert_eq!(output.status.code(), Some(0));
    for page in ["lmcache-trace.1", "lmcache-trace-info.1", "lmcache-trace-replay.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    assert_eq!(command("man --output-dir /nonexistent/man").output().expect("runs").status.code(), Some(2));
}
