//! Functions of the host: who owns them, who waits for them, and how deep they go within each other.

use crate::checkers::check_clean;
use crate::common::{fixtures, unpack_to_file};
use crate::compile::Host;

#[test]
fn callbacks_are_waited_for_owned_by_one_and_never_endlessly_deep() {
    let host = Host::compile("callbacks.c");
    let (damaged, trace) = (fixtures().join("native/v1/unfinished.lct"), unpack_to_file("traces/tiny.lct"));
    let (damaged, trace) = (damaged.to_str().expect("UTF-8"), trace.path.to_str().expect("UTF-8"));
    let said = host.succeed(&[damaged, trace]);
    let suites = ["owned", "waits", "findings", "progresses", "stops", "logs"];
    assert_eq!(said.lines().collect::<Vec<_>>(), suites);
    for suite in ["owned", "waits", "findings"] {
        check_clean("callbacks.c", &[damaged, trace, suite]);
    }
}
