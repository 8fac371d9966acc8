//! Whether this machine has a CUDA device.
//!
//! The functions of the bindings that know all of CUDA panic where the driver is missing, where it lacks one, and where one of its
//! errors is printed. In the process of an engine that is the end of the engine. So the driver is asked here first, by
//! three calls of our own, and all functions that will be called are looked up, to be called by address.

use super::driver::{Driver, Library};
use super::no_device::{NoDevice, NoDeviceReason};
use crate::sync::OnceLock;

/// The oldest driver that is taken, as `cuDriverGetVersion` counts: CUDA 12.0.
pub const MIN_DRIVER_VERSION: i32 = 12_000;

/// The names by which the bindings look for the driver, in their order.
#[cfg(feature = "cuda")]
fn library_names() -> Vec<String> {
    ["cuda", "nvcuda"].into_iter().flat_map(cudarc::get_lib_name_candidates).collect()
}

/// The driver's library, as its installer names it, and as developers' machines have it.
#[cfg(not(feature = "cuda"))]
fn library_names() -> [&'static str; 2] {
    ["libcuda.so.1", "libcuda.so"]
}

/// The driver of this machine, if it works and has a device. It is asked once; the answer stays, for a driver that failed
/// once fails in this process for ever. It cannot be used in a child of `fork`.
///
/// # Errors
/// Why there is no device, and what to do about it.
pub fn probe() -> Result<&'static Driver, NoDevice> {
    static ANSWER: OnceLock<Result<Driver, NoDevice>> = OnceLock::new();
    ANSWER.get_or_init(|| ask_any(&library_names())).as_ref().map_err(Clone::clone)
}

/// Asks a driver that lies elsewhere: the first of `names`, as the system's loader takes them, that can be loaded. Who names
/// a library vouches for it: its code runs in this process. The answer is not kept, but a library that was started is
/// never unloaded.
///
/// # Errors
/// As [`probe`].
pub fn ask(names: &[&str]) -> Result<Driver, NoDevice> {
    ask_any(names)
}

fn ask_any(names: &[impl AsRef<str>]) -> Result<Driver, NoDevice> {
    let library = Library::open(names)?.start()?;
    let version = library.version()?;
    if version < MIN_DRIVER_VERSION {
        return Err(library.none(NoDeviceReason::TooOld(version)));
    }
    let count = library.device_count()?;
    match u32::try_from(count) {
        Ok(count) if count > 0 => Ok(Driver::new(version, count, &library)),
        _ => Err(library.none(NoDeviceReason::NoneVisible)),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn ask_for(library: &Path) -> Result<Driver, NoDevice> {
        ask(&[library.to_str().unwrap()])
    }

    #[test]
    fn a_library_that_is_not_there_or_is_none_is_told_with_the_loaders_words() {
        let folder = tempfile::tempdir().unwrap();
        let (absent, text) = (folder.path().join("libabsent.so"), folder.path().join("libtext.so"));
        std::fs::write(&text, "no library").unwrap();
        for library in [&absent, &text, &folder.path().to_owned()] {
            let none = ask_for(library).unwrap_err();
            assert_eq!(none.reason, NoDeviceReason::NoLibrary);
            assert!(none.detail.as_ref().is_some_and(|detail| !detail.is_empty()), "{none}");
        }
        let both = [absent.to_str().unwrap(), text.to_str().unwrap()];
        let none = ask(&both).unwrap_err();
        assert!(none.library.contains("libabsent.so, ") && none.library.contains("libtext.so"), "{none}");
    }

    #[test]
    fn the_driver_of_this_machine_is_there_or_the_reason_is_and_the_answer_stays() {
        match (probe(), probe()) {
            (Ok(driver), Ok(again)) => {
                assert!(std::ptr::eq(driver, again) && driver.device_count() > 0);
            }
            (Err(none), Err(again)) => {
                assert_eq!(none, again);
                assert!(none.to_string().len() < 200, "{none}");
            }
            (first, again) => panic!("{first:?}, and then {again:?}"),
        }
    }
}
