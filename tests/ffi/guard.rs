//! Outputs and inputs that end where memory does.

use crate::common::unpack_to_file;
use crate::compile::Host;

#[test]
fn nothing_is_written_or_read_past_the_end() {
    let host = Host::compile("guard.c");
    let damaged = unpack_to_file("traces/bad_frame20.lct");
    let said = host.succeed(&[damaged.path.to_str().expect("UTF-8")]);
    assert_eq!(said, "nothing past the end\n");
}
