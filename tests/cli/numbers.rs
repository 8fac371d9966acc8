//! Flags whose values are numbers: what is said of values that are none, or that are out of range.

use crate::common::unpack_to_file;
use crate::{command, stderr};

/// What is said of a replay with these flags, which is refused.
fn refused(flags: &[&str]) -> String {
    let trace = unpack_to_file("traces/tiny.lct");
    let mut replay = command("replay --l1-size-gb 0.1 --eviction-policy LRU --no-csv -q");
    let output = replay.args(flags).arg(&trace.path).output().expect("runs");
    assert_eq!(output.status.code(), Some(2), "{flags:?}");
    assert!(output.stdout.is_empty(), "{flags:?}");
    stderr(&output)
}

#[test]
fn negative_values_are_told_the_range() {
    for (flag, value, range) in [
        ("--speed", "-1", "from 0.000001 to 1000000"),
        ("--rate", "-1", "from 0.000001 to 1000000000"),
        ("--workers", "-1", "from 1 to 256"),
        ("--from", "-1", "not below 0"),
        ("--to", "-0.5", "not below 0"),
        ("--loop", "-1", "from 1 to 10000"),
        ("--tenants", "-2", "from 1 to 10000"),
        ("--prefetch-timeout-ms", "-5", "from 0 to 86400000"),
        ("--store-queue-keys", "-1", "from 1 to 67108864"),
        ("--store-retries", "-1", "from 0 to 100"),
        ("--l1-numa-node", "-1", "from 0 to 1023"),
        ("--prometheus-port", "-1", "from 0 to 65535"),
        ("--event-bus-queue-size", "-1", "from 1 to 1000000"),
    ] {
        let said = refused(&[flag, value]);
        assert!(said.contains(flag) && said.contains(range) && said.contains(value), "{said}");
        assert!(!said.contains("tip: to pass"), "{said}");
    }
    let output = command("dump -n -1 none.lct").output().expect("runs");
    assert!(stderr(&output).contains("whole number"), "{}", stderr(&output));
}

#[test]
fn numbers_out_of_range_are_told_the_range_and_not_the_machine_s() {
    for flag in ["--loop", "--tenants"] {
        for value in ["0", "10001", "1000000000000", "99999999999999999999999"] {
            let said = refused(&[flag, value]);
            assert!(said.contains("from 1 to 10000") && said.contains(flag), "{said}");
        }
    }
    for value in ["0", "257", "99999999999999999999999"] {
        assert!(refused(&["--workers", value]).contains("from 1 to 256"), "{value}");
    }
}

#[test]
fn what_is_no_number_is_told_what_one_looks_like() {
    for (flag, value, example) in [
        ("--speed", "10x", "10 or 0.5"),
        ("--from", "1m", "60 or 1.5"),
        ("--to", "", "60 or 1.5"),
        ("--rate", "fast", "5000 or 5000/s"),
        ("--workers", "2.5", "a whole number from 1 to 256"),
        ("--loop", "ten", "a whole number from 1 to 10000"),
        ("--l1-size-gb", "4G", "4 or 0.5"),
        ("--eviction-ratio", "20%", "0.2"),
        ("--l1-align-bytes", "4k", "4096"),
    ] {
        let said = refused(&[flag, value]);
        assert!(said.contains(example) && said.contains(flag), "{said}");
        assert!(!said.contains("literal") && !said.contains("digit found"), "{said}");
    }
}
