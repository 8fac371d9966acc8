//! What a host does wrong gives it a code, and never a crash.

use crate::common::fixtures;
use crate::compile::Host;

#[test]
fn every_misuse_is_a_code() {
    let host = Host::compile("misuse.c");
    let said = host.succeed(&[]);
    let suites = ["nulls", "handles", "numbers", "threads", "races", "limits", "forks"];
    assert_eq!(said.lines().collect::<Vec<_>>(), suites);
}

#[test]
fn a_handle_of_one_kind_is_none_of_another() {
    let trace = fixtures().join("native/v1/kinds.lct");
    let trace = trace.to_str().expect("UTF-8");
    assert_eq!(Host::compile("misuse_kinds.c").succeed(&[trace]), "264 refusals\n");
}
