//! Completion scripts: what a shell offers where somebody presses Tab.

use std::process::Command;

use crate::{command, stdout};

/// Every verb of the program.
pub(crate) const VERBS: [&str; 10] =
    ["info", "dump", "replay", "compare", "convert", "compact", "verify", "repair", "completions", "man"];

/// What bash offers for the last of `words`: the function that the script names is called as bash calls it.
fn offered_by_bash(words: &[&str]) -> Vec<String> {
    const CALL: &str = r#"
        program=$1; shift
        source <("$program" completions bash)
        function=$(complete -p lmcache-trace | sed 's/.* -F \([^ ]*\) .*/\1/')
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        "$function" lmcache-trace "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", CALL, "bash", env!("CARGO_BIN_EXE_lmcache-trace"), "lmcache-trace"])
        .args(words);
    let output = bash.output().expect("bash is there");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    stdout(&output).lines().map(str::to_owned).collect()
}

/// The long flags that the help of a verb lists.
fn flags_of(verb: &str) -> Vec<String> {
    let help = stdout(&command(verb).arg("--help").output().expect("runs"));
    // Further in, a hyphen is one of the text.
    let is_flag =
        |line: &&str| line.trim_start_matches(' ').starts_with('-') && !line.starts_with("        ");
    let lines = help.lines().take_while(|line| !line.starts_with("Example")).filter(is_flag);
    let flag = |line: &str| {
        let (_, name) = line.split_once("--")?;
        let end = name.find(|c: char| c != '-' && !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        Some(format!("--{}", &name[..end]))
    };
    lines.filter_map(flag).collect()
}

#[test]
fn scripts_know_every_verb() {
    for shell in ["bash", "zsh", "fish"] {
        let script = stdout(&command(&format!("completions {shell}")).output().expect("runs"));
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
}

#[test]
fn bash_offers_verbs_their_flags_and_the_values_of_flags() {
    let verbs = offered_by_bash(&[""]);
    for verb in VERBS {
        assert!(verbs.iter().any(|offered| offered == verb), "{verb}: {verbs:?}");
        let (offered, flags) = (offered_by_bash(&[verb, "--"]), flags_of(verb));
        assert!(flags.len() > 1 || ["completions", "repair"].contains(&verb), "{verb}: {flags:?}");
        for flag in flags {
            assert!(offered.contains(&flag), "{verb} {flag}: {offered:?}");
        }
    }
    let eviction = ["--eviction-policy", "--eviction-trigger-watermark", "--eviction-ratio", "--eviction-by"];
    assert_eq!(offered_by_bash(&["replay", "--evic"]), eviction);
    assert_eq!(offered_by_bash(&["replay", "server.lct", "--asap", "--evic"]), eviction);
    assert_eq!(offered_by_bash(&["dump", "--format", ""]), ["text", "jsonl"]);
    assert_eq!(offered_by_bash(&["completions", "z"]), ["zsh"]);
}
