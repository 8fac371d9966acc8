//! What lets library and hosts grow apart, and the bounds of what one call takes.

use crate::checkers::check_clean;
use crate::compile::Host;

#[test]
fn versions_sizes_and_bounds_are_those_of_the_contract() {
    let said = Host::compile("interface.c").succeed(&[]);
    let suites = ["versions", "sizes", "reserved", "rows", "owners", "panics", "memory"];
    assert_eq!(said.lines().collect::<Vec<_>>(), suites);
    for suite in ["versions", "sizes", "reserved"] {
        check_clean("interface.c", &[suite]);
    }
}
