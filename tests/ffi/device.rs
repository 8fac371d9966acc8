//! Devices from C and C++: what goes wrong is a code, and what an engine stores it gets back.

use crate::checkers::check_clean;
use crate::compile::Host;
use crate::layer::WAYS;

#[test]
fn every_misuse_of_a_device_is_a_code() {
    let suites = ["nulls", "handles", "numbers", "cuda", "callbacks", "races", "limits", "forks"];
    let said = Host::compile("misuse_device.c").succeed(&[]);
    assert_eq!(said.lines().collect::<Vec<_>>(), suites);
    // So many handles take valgrind minutes. A child of `fork` leaves alone what it inherited, which counts as lost there.
    check_clean("misuse_device.c", &suites[..6]);
}

#[test]
fn an_engine_in_c_stores_and_retrieves_pages_of_its_own() {
    assert_eq!(Host::compile("device.c").succeed(&[]), "stored and retrieved 3 chunks\n");
    check_clean("device.c", &[]);
}

#[test]
fn an_engine_in_cpp_stores_and_retrieves_pages_of_the_library() {
    for way in WAYS {
        Host::compile_with("device.cc", way).succeed(&[]);
    }
    check_clean("device.cc", &[]);
}

/// On a driver of ours, which does on memory of the host what a GPU's does on its own.
#[cfg(feature = "cuda")]
#[test]
fn an_engine_in_c_stores_and_retrieves_pages_of_a_gpu() {
    let Some(folder) = crate::fake::libraries(crate::fake::Variant::Plain) else { return };
    let host = Host::compile("device_cuda.c");
    std::os::unix::fs::symlink(folder.join("libcuda.so"), host.folder().join("libcuda.so")).expect("a link");
    assert_eq!(host.succeed(&[]), "stored and retrieved\n");
}
