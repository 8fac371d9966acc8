//! What a host does wrong with readers and replays gives it a code, and never a crash.

use crate::checkers::check_clean;
use crate::common::{fixtures, unpack_to_file};
use crate::compile::Host;

#[test]
fn every_misuse_of_a_reader_and_of_a_replay_is_a_code() {
    let host = Host::compile("misuse_reader.c");
    let (native, lmcache) = (fixtures().join("native/v1/kinds.lct"), unpack_to_file("traces/tiny.lct"));
    let (native, lmcache) = (native.to_str().expect("UTF-8"), lmcache.path.to_str().expect("UTF-8"));
    let said = host.succeed(&[native, lmcache]);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["nulls", "handles", "numbers", "files", "threads"]);
    for suite in ["nulls", "handles", "numbers"] {
        check_clean("misuse_reader.c", &[native, lmcache, suite]);
    }
}
