//! The probe against libraries that pretend to be a CUDA driver.

use std::path::{Path, PathBuf};
use std::process::Command;

use lmcache::device::cuda::functions::REQUIRED_FUNCTIONS;
use lmcache::device::cuda::probe::{MIN_DRIVER_VERSION, ask};
use lmcache::device::cuda::{Driver, NoDevice, NoDeviceReason};

/// A folder for the libraries of a test.
struct Stubs(tempfile::TempDir);

impl Stubs {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// A library with these definitions; `None`, and a line on stderr, where there is no C compiler.
    fn compiled(&self, name: &str, definitions: &[&str]) -> Option<PathBuf> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/device/data/cuda.c");
        let rest = self.0.path().join("rest.c");
        std::fs::write(&rest, rest_of_the_driver()).expect("a file");
        let library = self.0.path().join(format!("lib{name}.so"));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-Wall", "-Werror"]).args(definitions);
        match compiler.arg("-o").arg(&library).arg(&source).arg(&rest).output() {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(library)
            }
            Err(error) => {
                assert!(std::env::var_os("CI").is_none(), "`cc` is needed for this test: {error}");
                eprintln!("skipped: there is no C compiler `cc`: {error}");
                None
            }
        }
    }
}

/// What is looked up and not called: functions that are there, each but for the one that is told to be missing.
fn rest_of_the_driver() -> String {
    let called = ["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"];
    let rest = REQUIRED_FUNCTIONS.iter().filter(|name| !called.contains(name));
    let function = |name: &&str| format!("#ifndef NO_{name}\nint {name}(void) {{ return 999; }}\n#endif\n");
    let functions: String = rest.map(function).collect();
    format!("#ifndef EMPTY\n{functions}#endif\nint rest;\n")
}

fn ask_for(library: &Path) -> Result<Driver, NoDevice> {
    ask(&[library.to_str().expect("a path in UTF-8")])
}

#[test]
fn a_driver_with_devices_is_taken() {
    let stubs = Stubs::new();
    let Some(library) = stubs.compiled("good", &["-DCOUNT=3", "-DVERSION=13010"]) else { return };
    let driver = ask_for(&library).unwrap();
    assert_eq!((driver.device_count(), driver.version()), (3, 13_010));
    assert!(driver.library().ends_with("libgood.so"));
}

#[test]
fn whatever_is_wrong_with_a_driver_is_told_and_no_panic() {
    let stubs = Stubs::new();
    let failed = |function, code| NoDeviceReason::CallFailed { function, code };
    let cases: [(&str, &[&str], NoDeviceReason); 9] = [
        ("empty", &["-DEMPTY"], NoDeviceReason::MissingFunction("cuInit")),
        ("partial", &["-DNO_COUNT"], NoDeviceReason::MissingFunction("cuDeviceGetCount")),
        ("none", &["-DINIT=100"], NoDeviceReason::InitFailed(100)),
        ("stub", &["-DINIT=34"], NoDeviceReason::InitFailed(34)),
        ("version", &["-DGET_VERSION=999"], failed("cuDriverGetVersion", 999)),
        ("count", &["-DGET_COUNT=-7"], failed("cuDeviceGetCount", -7)),
        ("old", &["-DVERSION=11999"], NoDeviceReason::TooOld(11_999)),
        ("zero", &["-DCOUNT=0"], NoDeviceReason::NoneVisible),
        ("negative", &["-DCOUNT=-1"], NoDeviceReason::NoneVisible),
    ];
    for (name, definitions, reason) in cases {
        let Some(library) = stubs.compiled(name, definitions) else { return };
        let none = ask_for(&library).unwrap_err();
        assert_eq!(none.reason, reason);
        // Both forms can be printed, which is what fails elsewhere.
        assert!(format!("{none} {none:?}").contains(&format!("lib{name}.so")), "{none}");
    }
}

#[test]
fn a_driver_that_lacks_any_function_is_none() {
    let stubs = Stubs::new();
    let called = ["cuInit", "cuDriverGetVersion", "cuDeviceGetCount"];
    for name in REQUIRED_FUNCTIONS.iter().filter(|name| !called.contains(name)) {
        let Some(library) = stubs.compiled(&format!("no-{name}"), &[&format!("-DNO_{name}")]) else { return };
        assert_eq!(ask_for(&library).unwrap_err().reason, NoDeviceReason::MissingFunction(name));
    }
}

#[test]
fn the_second_name_is_tried_where_the_first_is_not_there() {
    let stubs = Stubs::new();
    let Some(good) = stubs.compiled("second", &[]) else { return };
    let absent = stubs.0.path().join("libabsent.so");
    let driver = ask(&[absent.to_str().unwrap(), good.to_str().unwrap()]).unwrap();
    assert!(driver.library().ends_with("libsecond.so"));
}

#[test]
fn the_oldest_driver_that_is_taken_is_the_one_that_is_named() {
    let stubs = Stubs::new();
    let Some(oldest) = stubs.compiled("oldest", &[&format!("-DVERSION={MIN_DRIVER_VERSION}")]) else {
        return;
    };
    assert_eq!(ask_for(&oldest).unwrap().version(), MIN_DRIVER_VERSION);
    let Some(older) = stubs.compiled("older", &[&format!("-DVERSION={}", MIN_DRIVER_VERSION - 1)]) else {
        return;
    };
    assert_eq!(ask_for(&older).unwrap_err().reason, NoDeviceReason::TooOld(MIN_DRIVER_VERSION - 1));
}
