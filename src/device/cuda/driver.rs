//! The driver's library, and the functions of it that are called.
#![expect(unsafe_code, reason = "functions of a shared library are called by address")]

use std::ffi::{c_int, c_uint};
use std::mem::ManuallyDrop;

#[cfg(feature = "cuda")]
use super::batch::Batch;
#[cfg(feature = "cuda")]
use super::functions::Functions;
use super::no_device::{NoDevice, NoDeviceReason};

/// The driver's library, as its installer names it.
const USUAL_NAME: &str = "libcuda.so.1";

/// `CUDA_SUCCESS`.
const SUCCESS: c_int = 0;

type InitFn = unsafe extern "C" fn(flags: c_uint) -> c_int;
type NumberFn = unsafe extern "C" fn(number: *mut c_int) -> c_int;

/// A driver that works, and has a device or more.
#[derive(Debug)]
pub struct Driver {
    version: i32,
    device_count: u32,
    library: String,
    #[cfg(feature = "cuda")]
    batch: Option<Batch>,
    #[cfg(feature = "cuda")]
    functions: Functions,
}

/// The library, loaded, with all that is called of it.
#[derive(Debug)]
pub(super) struct Library {
    init: InitFn,
    get_version: NumberFn,
    get_count: NumberFn,
    #[cfg(feature = "cuda")]
    functions: Functions,
    name: String,
    /// Keeps the functions where they are. It is not unloaded: a driver that was started may have threads.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "it is there so that the library is"))]
    code: ManuallyDrop<libloading::Library>,
}

impl Driver {
    /// The driver of a library that was started, with what it said of itself.
    pub(super) fn new(version: i32, device_count: u32, library: &Started) -> Self {
        Self {
            version,
            device_count,
            library: library.name().to_owned(),
            #[cfg(feature = "cuda")]
            batch: Batch::find(&library.0.code),
            #[cfg(feature = "cuda")]
            functions: library.0.functions,
        }
    }

    /// The call for many copies, if it has one.
    #[cfg(feature = "cuda")]
    pub(super) fn batch(&self) -> Option<Batch> {
        self.batch
    }

    /// All that it must have.
    #[cfg(feature = "cuda")]
    pub(super) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// The version of CUDA that the driver speaks: 1000 times the major number and 10 times the minor one.
    pub fn version(&self) -> i32 {
        self.version
    }

    /// How many devices it shows this process; at least one.
    pub fn device_count(&self) -> u32 {
        self.device_count
    }

    /// The library, as it was found.
    pub fn library(&self) -> &str {
        &self.library
    }
}

impl Library {
    /// The first of `names` that can be loaded.
    pub(super) fn open(names: &[impl AsRef<str>]) -> Result<Self, NoDevice> {
        let mut refusals: Vec<String> = Vec::new();
        for name in names.iter().map(AsRef::as_ref) {
            // SAFETY: loading runs the library's initialisers. Who names another library than NVIDIA's, or puts one in its
            // place, vouches for it.
            match unsafe { libloading::Library::new(name) } {
                Ok(code) => return Self::of(code, name),
                Err(error) => refusals.push(words(&error)),
            }
        }
        Err(not_found(names.iter().map(AsRef::as_ref).zip(refusals)))
    }

    fn of(code: libloading::Library, name: &str) -> Result<Self, NoDevice> {
        // SAFETY: the type is that of the function in `cuda.h`, of every version.
        let init = unsafe { function::<InitFn>(&code, "cuInit", name) }?;
        // SAFETY: as above.
        let get_version = unsafe { function::<NumberFn>(&code, "cuDriverGetVersion", name) }?;
        // SAFETY: as above.
        let get_count = unsafe { function::<NumberFn>(&code, "cuDeviceGetCount", name) }?;
        Ok(Self {
            init,
            get_version,
            get_count,
            #[cfg(feature = "cuda")]
            functions: Functions::look_up(&code, name)?,
            name: name.to_owned(),
            code: ManuallyDrop::new(code),
        })
    }

    /// Starts the driver.
    pub(super) fn start(self) -> Result<Started, NoDevice> {
        let library = Started(self);
        // SAFETY: the function takes 0, and no memory.
        let code = unsafe { (library.0.init)(0) };
        match code {
            SUCCESS => Ok(library),
            code => Err(library.none(NoDeviceReason::InitFailed(code))),
        }
    }
}

/// A library whose `cuInit` succeeded. It is never unloaded.
#[derive(Debug)]
pub(super) struct Started(Library);

impl Started {
    pub(super) fn version(&self) -> Result<i32, NoDevice> {
        self.number("cuDriverGetVersion", self.0.get_version)
    }

    pub(super) fn device_count(&self) -> Result<i32, NoDevice> {
        self.number("cuDeviceGetCount", self.0.get_count)
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn none(&self, reason: NoDeviceReason) -> NoDevice {
        NoDevice::new(reason, &self.0.name)
    }

    fn number(&self, name: &'static str, function: NumberFn) -> Result<i32, NoDevice> {
        let mut number = 0;
        // SAFETY: the function writes one number, and there is the place for it; its library is there.
        let code = unsafe { function(&raw mut number) };
        match code {
            SUCCESS => Ok(number),
            code => Err(self.none(NoDeviceReason::CallFailed { function: name, code })),
        }
    }
}

/// Nothing of these names could be loaded, for these reasons. Of many names, what the driver's installer calls it is told of, not all.
fn not_found<'a>(refused: impl Iterator<Item = (&'a str, String)>) -> NoDevice {
    let mut refused: Vec<_> = refused.collect();
    let is_usual = |name: &str| name == USUAL_NAME;
    if refused.iter().any(|(name, _)| is_usual(name)) {
        refused.retain(|(name, _)| is_usual(name));
    }
    let (names, reasons): (Vec<_>, Vec<_>) = refused.into_iter().unzip();
    let none = NoDevice::new(NoDeviceReason::NoLibrary, &names.join(", "));
    NoDevice { detail: Some(reasons.join("; ")), ..none }
}

/// The function of that name, of the library that was found under `library`.
///
/// # Safety
/// Its type is `T`.
pub(super) unsafe fn function<T: Copy>(
    code: &libloading::Library,
    name: &'static str,
    library: &str,
) -> Result<T, NoDevice> {
    // SAFETY: as the caller promises.
    let found = unsafe { code.get::<T>(name) };
    match found {
        Ok(function) => Ok(*function),
        Err(error) => {
            let none = NoDevice::new(NoDeviceReason::MissingFunction(name), library);
            Err(NoDevice { detail: Some(words(&error)), ..none })
        }
    }
}

/// What the system's loader said: libloading keeps it one level below its own words.
fn words(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
