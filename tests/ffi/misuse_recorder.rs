//! What a host does wrong with recorders, threads and forks gives it a code, and never a crash, a hang, or a wrong count.

use crate::checkers::check_clean;
use crate::compile::Host;

const SUITES: [&str; 9] =
    ["callbacks", "closes", "losses", "completions", "ends", "forks", "alignments", "hints", "cancels"];

#[test]
fn every_misuse_of_a_recorder_is_a_code() {
    let host = Host::compile("misuse_recorder.c");
    assert_eq!(host.succeed(&[]).lines().collect::<Vec<_>>(), SUITES);
    for suite in ["callbacks", "completions", "ends", "alignments"] {
        check_clean("misuse_recorder.c", &[suite]);
    }
}

#[test]
fn a_sandbox_that_forbids_the_barrier_harms_nobody() {
    assert_eq!(Host::compile("misuse_sandbox.c").succeed(&[]), "all freed\n");
}
