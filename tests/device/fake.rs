//! The fake driver: how it is built, how a test runs on it, and what it is asked.
//!
//! The driver is found by its name, and a process has one for its life. So a test that needs it runs this very program again, as a child
//! whose loader finds the fake first.
#![allow(unsafe_code, reason = "functions of a shared library are called by address")]

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use lmcache::device::cuda::{CudaDevice, CudaOptions};

/// Set in a child: the folder with the libraries.
const FOLDER: &str = "LMCACHE_FAKE_DRIVER";

/// What the libraries are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// A driver of CUDA 12.8, and no NVRTC.
    Plain,
    /// A driver without a call for many copies.
    NoBatch,
    /// With NVRTC.
    Nvrtc,
    /// With NVRTC that compiles nothing.
    BrokenNvrtc,
    /// With a library of that name that lacks a function.
    PartialNvrtc,
}

fn compile(compiler: &str, arguments: &[&str], sources: &[&str], library: &Path) -> bool {
    if library.exists() {
        return true;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/device/fake_driver");
    let unfinished = library.with_extension(format!("{}.tmp", std::process::id()));
    let mut command = Command::new(compiler);
    command.args(["-shared", "-fPIC", "-Wall", "-Werror", "-O1", "-g"]).args(arguments);
    command.arg("-o").arg(&unfinished).args(sources.iter().map(|source| root.join(source)));
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::rename(&unfinished, library).expect("a library");
            true
        }
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "`{compiler}` is needed for this test: {error}");
            eprintln!("skipped: there is no compiler `{compiler}`: {error}");
            false
        }
    }
}

/// The digest of all sources, so that what was built of others is not taken.
fn sources_digest() -> u64 {
    use std::hash::{Hash, Hasher};
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<PathBuf> = std::fs::read_dir(root.join("tests/device/fake_driver"))
        .expect("a folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    names.push(root.join("src/device/cuda/kernels/move_runs.cu"));
    names.sort();
    let mut hasher = std::hash::DefaultHasher::new();
    names.iter().for_each(|name| std::fs::read(name).expect("a source").hash(&mut hasher));
    hasher.finish()
}

/// A folder with the libraries, built once; `None`, and a line on stderr, where there is no compiler.
pub(crate) fn libraries(variant: Variant) -> Option<&'static Path> {
    static PLAIN: OnceLock<Option<PathBuf>> = OnceLock::new();
    static NO_BATCH: OnceLock<Option<PathBuf>> = OnceLock::new();
    static NVRTC: OnceLock<[Option<PathBuf>; 3]> = OnceLock::new();
    let folder = |name: &str| {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fake-{:x}-{name}", sources_digest()));
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    };
    let driver = |name: &str, definitions: &[&str]| {
        let folder = folder(name);
        let arguments = [&["-std=c++17", "-pthread", "-Wextra"], definitions].concat();
        let sources = ["driver.cpp", "state.cpp", "kernel.cpp"];
        // The name that the bindings try first.
        compile("c++", &arguments, &sources, &folder.join("libcuda.so")).then_some(folder)
    };
    let nvrtc = |name: &str, definitions: &[&str]| {
        let plain = libraries(Variant::Plain)?;
        let folder = folder(name);
        std::fs::copy(plain.join("libcuda.so"), folder.join("libcuda.so")).expect("a library");
        compile("cc", definitions, &["nvrtc.c"], &folder.join("libnvrtc.so")).then_some(folder)
    };
    match variant {
        Variant::Plain => PLAIN.get_or_init(|| driver("plain", &[])).as_deref(),
        Variant::NoBatch => NO_BATCH.get_or_init(|| driver("no-batch", &["-DNO_BATCH"])).as_deref(),
        Variant::Nvrtc | Variant::BrokenNvrtc | Variant::PartialNvrtc => {
            let all = NVRTC.get_or_init(|| {
                [nvrtc("nvrtc", &[]), nvrtc("broken", &["-DCOMPILE=6"]), nvrtc("partial", &["-DNO_DESTROY"])]
            });
            all[variant as usize - Variant::Nvrtc as usize].as_deref()
        }
    }
}

/// This program again, on the fake driver, or `None` where there is none.
pub(crate) fn child(variant: Variant) -> Option<Command> {
    let folder = libraries(variant)?;
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    // One test at a time: there is one driver.
    command.args(["--test-threads=1"]).env(FOLDER, folder).env("LD_LIBRARY_PATH", folder);
    Some(command)
}

/// Runs the ignored test of this name in a child.
pub(crate) fn run_inside(test: &str, variant: Variant) {
    let Some(mut child) = child(variant) else { return };
    check(child.args(["--ignored", "--exact", test]), 1);
}

/// Runs a child, of which at least so many tests have to pass, and none may fail.
pub(crate) fn check(child: &mut Command, at_least: usize) {
    let output = child.output().expect("this program can be run");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{child:?}: {}\n{stdout}\n{stderr}", output.status);
    let passed = stdout.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    let passed: usize = passed.and_then(|count| count.parse().ok()).expect("a number of tests");
    assert!(passed >= at_least, "{stdout}");
}

/// The driver, seen from behind.
pub(crate) struct Fake(libloading::Library);

/// The driver of this child, if this is one. Nothing is left of what came before.
pub(crate) fn fake() -> Option<Fake> {
    let folder = std::env::var_os(FOLDER)?;
    // SAFETY: a library of our own.
    let library = unsafe { libloading::Library::new(Path::new(&folder).join("libcuda.so")) };
    let fake = Fake(library.expect("the fake driver"));
    fake.reset();
    Some(fake)
}

/// Whether the driver of this child has the call for many copies.
pub(crate) fn has_batch() -> bool {
    let folder = std::env::var_os(FOLDER).expect("a child");
    // SAFETY: a library of our own.
    let library =
        unsafe { libloading::Library::new(Path::new(&folder).join("libcuda.so")) }.expect("the fake driver");
    // SAFETY: the symbol is looked for, and nothing is done with it.
    unsafe { library.get::<*const ()>(b"cuMemcpyBatchAsync") }.is_ok()
}

/// How many programs the fake NVRTC of this child has compiled.
pub(crate) fn compilations() -> c_int {
    let folder = std::env::var_os(FOLDER).expect("a child");
    // SAFETY: a library of our own.
    let library = unsafe { libloading::Library::new(Path::new(&folder).join("libnvrtc.so")) }.expect("NVRTC");
    // SAFETY: the type is that of the function in tests/device/fake_driver.
    let function = unsafe { library.get::<unsafe extern "C" fn() -> c_int>(b"fake_compilations") };
    // SAFETY: it takes nothing.
    unsafe { function.expect("a function of the fake")() }
}

/// In a child.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(FOLDER).is_some()
}

macro_rules! functions {
    ($($name:ident as $symbol:literal ($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        impl Fake {
            $(
                pub(crate) fn $name(&self, $($argument: $kind),*) -> $result {
                    // SAFETY: the type is that of the function in tests/device/fake_driver.
                    let function = unsafe { self.0.get::<unsafe extern "C" fn($($kind),*) -> $result>($symbol.as_bytes()) };
                    // SAFETY: what the tests pass lives as long as the call, or as the driver needs it.
                    unsafe { function.expect("a function of the fake")($($argument),*) }
                }
            )*
        }
    };
}

functions! {
    fail_raw as "fake_fail"(name: *const c_char, call: u64, code: c_int) -> ();
    calls_raw as "fake_calls"(name: *const c_char) -> u64;
    lose as "fake_lose"(code: c_int) -> ();
    hold as "fake_hold"(is_held: c_int) -> ();
    capture as "fake_capture"(is_capturing: c_int) -> ();
    capture_stream as "fake_capture_stream"(stream: *mut c_void, capture: c_int) -> ();
    stall_raw as "fake_stall"(name: *const c_char, is_stalled: c_int) -> ();
    exchange_capture_mode as "cuThreadExchangeStreamCaptureMode"(mode: *mut c_int) -> c_int;
    delay as "fake_delay"(us: c_int) -> ();
    newest_ptx as "fake_newest_ptx"(version: c_int) -> ();
    can_use_host_pointer as "fake_can_use_host_pointer"(can: c_int) -> ();
    count as "fake_count"(what: c_int) -> c_int;
    image_raw as "fake_image"(out: *mut c_char, bytes: usize) -> ();
    reset as "fake_reset"() -> ();
    sweep as "fake_sweep"() -> ();
    misuse_raw as "fake_misuse"(out: *mut c_char, bytes: usize) -> usize;
    left_raw as "fake_left"(out: *mut c_char, bytes: usize) -> usize;
    // What an engine calls.
    retain as "cuDevicePrimaryCtxRetain"(context: *mut *mut c_void, device: c_int) -> c_int;
    release as "cuDevicePrimaryCtxRelease_v2"(device: c_int) -> c_int;
    push as "cuCtxPushCurrent_v2"(context: *mut c_void) -> c_int;
    pop as "cuCtxPopCurrent_v2"(context: *mut *mut c_void) -> c_int;
    allocate as "cuMemAlloc_v2"(address: *mut u64, bytes: usize) -> c_int;
    free as "cuMemFree_v2"(address: u64) -> c_int;
    allocate_host as "cuMemHostAlloc"(address: *mut *mut c_void, bytes: usize, flags: u32) -> c_int;
    free_host as "cuMemFreeHost"(address: *mut c_void) -> c_int;
    create_stream as "cuStreamCreate"(stream: *mut *mut c_void, flags: u32) -> c_int;
    destroy_stream as "cuStreamDestroy_v2"(stream: *mut c_void) -> c_int;
    synchronize as "cuStreamSynchronize"(stream: *mut c_void) -> c_int;
    to_device as "cuMemcpyHtoDAsync_v2"(to: u64, from: *const c_void, bytes: usize, stream: *mut c_void) -> c_int;
    to_host as "cuMemcpyDtoHAsync_v2"(to: *mut c_void, from: u64, bytes: usize, stream: *mut c_void) -> c_int;
}

impl Fake {
    /// Lets the `call`th call from now on fail.
    pub(crate) fn fail(&self, name: &str, call: u64, code: i32) {
        self.fail_raw(CString::new(name).expect("a name").as_ptr(), call, code);
    }

    /// Lets calls of this name not return, or lets them go.
    pub(crate) fn stall(&self, name: &str, is_stalled: bool) {
        self.stall_raw(CString::new(name).expect("a name").as_ptr(), c_int::from(is_stalled));
    }

    pub(crate) fn calls(&self, name: &str) -> u64 {
        self.calls_raw(CString::new(name).expect("a name").as_ptr())
    }

    fn words(fill: impl FnOnce(*mut c_char, usize)) -> String {
        let mut text = vec![0_u8; 4_096];
        fill(text.as_mut_ptr().cast(), text.len());
        let end = text.iter().position(|byte| *byte == 0).expect("a NUL");
        String::from_utf8_lossy(&text[..end]).into_owned()
    }

    pub(crate) fn image(&self) -> String {
        Self::words(|out, bytes| self.image_raw(out, bytes))
    }

    /// Nothing is held, and nothing was done that must not be.
    pub(crate) fn assert_clean(&self, when: &str) {
        let left = Self::words(|out, bytes| {
            self.left_raw(out, bytes);
        });
        assert_eq!(left, "", "left {when}");
        self.assert_no_misuse(when);
    }

    /// As [`Fake::assert_clean`], where a thread of a device ends by itself.
    pub(crate) fn assert_clean_soon(&self, when: &str) {
        let deadline_ns = lmcache::clock::monotonic_ns() + 10_000_000_000;
        while self.left_raw([0; 1].as_mut_ptr(), 1) > 0 && lmcache::clock::monotonic_ns() < deadline_ns {
            std::thread::yield_now();
        }
        self.assert_clean(when);
    }

    pub(crate) fn assert_no_misuse(&self, when: &str) {
        let misuse = Self::words(|out, bytes| {
            self.misuse_raw(out, bytes);
        });
        assert_eq!(misuse, "", "misuse {when}");
    }

    pub(crate) fn device(&self, options: CudaOptions) -> std::sync::Arc<CudaDevice> {
        CudaDevice::open_with(0, options).expect("the fake device")
    }
}
