//! The hosts under valgrind, and with AddressSanitizer: no byte is read that is not there, none is lost.

use std::process::Command;

use crate::compile::Host;
use crate::storage::SUITES;

const VALGRIND: [&str; 6] = [
    "valgrind",
    "--error-exitcode=9",
    "--leak-check=full",
    "--show-leak-kinds=definite",
    "--errors-for-leak-kinds=definite",
    "--quiet",
];

/// Whether valgrind is there; where everything is checked it has to be.
fn is_there() -> bool {
    let is_there = Command::new(VALGRIND[0]).arg("--version").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "valgrind is needed for this test");
    is_there
}

#[test]
fn hosts_are_clean_under_valgrind() {
    if !is_there() {
        return;
    }
    check(&Host::compile("record.c"), &VALGRIND, &[]);
    let misuse = Host::compile("misuse.c");
    for suite in ["nulls", "handles", "numbers", "threads", "races"] {
        check(&misuse, &VALGRIND, &[suite]);
    }
    check(&Host::compile("engine.cc"), &VALGRIND, &[]);
    let storage = Host::compile("misuse_storage.c");
    // Valgrind has no addresses for more memory than any machine has.
    let suites: Vec<&str> = SUITES.into_iter().filter(|suite| !["forks", "pins"].contains(suite)).collect();
    check(&storage, &VALGRIND, &suites);
    // A child of `fork` leaves alone what it inherited, which counts as lost there.
    let of_children = VALGRIND.map(|word| if word == "--leak-check=full" { "--leak-check=no" } else { word });
    check(&misuse, &of_children, &["forks"]);
    check(&storage, &of_children, &["forks"]);
}

/// Runs a host under valgrind, where that is there, and once more with AddressSanitizer in it.
pub(crate) fn check_clean(name: &str, arguments: &[&str]) {
    if is_there() {
        check(&Host::compile(name), &VALGRIND, arguments);
    }
    check(&Host::compile_with(name, &SANITIZERS), &[], arguments);
}

const SANITIZERS: [&str; 2] = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

/// The hosts alone are instrumented; memory of the library is watched as far as it comes from `malloc`.
#[test]
fn hosts_are_clean_with_address_sanitizer() {
    let compile = |name| Host::compile_with(name, &SANITIZERS);
    check(&compile("record.c"), &[], &[]);
    check(&compile("engine.cc"), &[], &[]);
    check(&compile("misuse_storage.c"), &[], &[]);
    let misuse = compile("misuse.c");
    for suite in ["nulls", "handles", "numbers", "threads", "races", "limits"] {
        check(&misuse, &[], &[suite]);
    }
}

fn check(host: &Host, valgrind: &[&str], arguments: &[&str]) {
    let output = host.run_under(valgrind, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{arguments:?}: {}\n{said}", output.status);
}
