//! What a host does wrong gives it a code, and never a crash.

use crate::compile::Host;

#[test]
fn every_misuse_is_a_code() {
    let host = Host::compile("misuse.c");
    let said = host.succeed(&[]);
    let suites = ["nulls", "handles", "numbers", "threads", "races", "limits", "forks"];
    assert_eq!(said.lines().collect::<Vec<_>>(), suites);
}
