//! NVIDIA's compiler, where it is there: it makes the kernel for the very device at hand.
//!
//! The library and its functions are looked up here, as those of the driver are: the bindings panic where one is missing, and take codes that
//! they do not know for those they do. Whatever goes wrong here is no error: there is a kernel that was compiled ahead of time.
#![expect(unsafe_code, reason = "functions of a shared library are called")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};

use cudarc::nvrtc::sys::nvrtcProgram;

use crate::sync::{Mutex, OnceLock, lock};

/// A text, of the program or of what the compiler said: its length, and then itself.
type LengthFn = unsafe extern "C" fn(nvrtcProgram, *mut usize) -> c_int;
type TextFn = unsafe extern "C" fn(nvrtcProgram, *mut c_char) -> c_int;

macro_rules! functions {
    ($($function:ident: $kind:ty;)*) => {
        /// What is called, of a library that is never unloaded.
        #[derive(Clone, Copy, Debug)]
        #[expect(non_snake_case, reason = "they are called as NVRTC calls them")]
        struct Functions {
            $($function: $kind,)*
        }

        impl Functions {
            /// All of them, or the name of one that is missing.
            fn look_up(library: &libloading::Library) -> Result<Self, &'static str> {
                Ok(Self {
                    // SAFETY: the types are those of the functions in `nvrtc.h`; it returns an `int`-sized enumeration.
                    $($function: *unsafe { library.get::<$kind>(stringify!($function)) }
                        .map_err(|_| stringify!($function))?,)*
                })
            }
        }
    };
}

functions! {
    nvrtcCreateProgram: unsafe extern "C" fn(
        *mut nvrtcProgram, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char,
    ) -> c_int;
    nvrtcCompileProgram: unsafe extern "C" fn(nvrtcProgram, c_int, *const *const c_char) -> c_int;
    nvrtcGetPTXSize: LengthFn;
    nvrtcGetPTX: TextFn;
    nvrtcGetProgramLogSize: LengthFn;
    nvrtcGetProgramLog: TextFn;
    nvrtcDestroyProgram: unsafe extern "C" fn(*mut nvrtcProgram) -> c_int;
}

/// What came of compiling, by the capability of the device.
type Compiled = HashMap<i32, Result<CString, String>>;

/// The kernel compiled for devices of this capability (10 times the major number, and the minor one), or why not. It is compiled once in a
/// process.
pub(super) fn kernel(source: &CStr, name: &CStr, capability: i32) -> Result<CString, String> {
    static COMPILED: OnceLock<Mutex<Compiled>> = OnceLock::new();
    let mut compiled = lock(COMPILED.get_or_init(Mutex::default));
    compiled.entry(capability).or_insert_with(|| compile(source, name, capability)).clone()
}

fn compile(source: &CStr, name: &CStr, capability: i32) -> Result<CString, String> {
    let all = functions()?;
    let mut handle: nvrtcProgram = std::ptr::null_mut();
    let (text, none) = (source.as_ptr(), std::ptr::null());
    // SAFETY: both texts end with a NUL, and there are no headers. It writes one handle.
    let code = unsafe { (all.nvrtcCreateProgram)(&raw mut handle, text, name.as_ptr(), 0, none, none) };
    outcome("nvrtcCreateProgram", code)?;
    let program = Program { handle, all };
    let option = CString::new(format!("--gpu-architecture=compute_{capability}"))
        .map_err(|error| error.to_string())?;
    let options: [*const c_char; 1] = [option.as_ptr()];
    // SAFETY: the program is there, and one option that ends with a NUL.
    let code = unsafe { (all.nvrtcCompileProgram)(program.handle, 1, options.as_ptr()) };
    outcome("nvrtcCompileProgram", code).map_err(|why| format!("{why}: {}", program.log()))?;
    program.ptx()
}

struct Program {
    handle: nvrtcProgram,
    all: Functions,
}

impl Program {
    fn ptx(&self) -> Result<CString, String> {
        let mut bytes = 0;
        // SAFETY: the program is there; it writes one number.
        outcome("nvrtcGetPTXSize", unsafe { (self.all.nvrtcGetPTXSize)(self.handle, &raw mut bytes) })?;
        let mut text = vec![0_u8; bytes];
        // SAFETY: it writes as many bytes as it said.
        outcome("nvrtcGetPTX", unsafe { (self.all.nvrtcGetPTX)(self.handle, text.as_mut_ptr().cast()) })?;
        CStr::from_bytes_until_nul(&text).map(CStr::to_owned).map_err(|error| error.to_string())
    }

    /// What the compiler said.
    fn log(&self) -> String {
        let mut bytes = 0;
        // SAFETY: the program is there; it writes one number.
        if unsafe { (self.all.nvrtcGetProgramLogSize)(self.handle, &raw mut bytes) } != 0 {
            return String::new();
        }
        let mut text = vec![0_u8; bytes];
        // SAFETY: it writes as many bytes as it said.
        if unsafe { (self.all.nvrtcGetProgramLog)(self.handle, text.as_mut_ptr().cast()) } != 0 {
            return String::new();
        }
        String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is there, and nobody uses it any more.
        unsafe { (self.all.nvrtcDestroyProgram)(&raw mut self.handle) };
    }
}

fn outcome(function: &str, code: c_int) -> Result<(), String> {
    match code {
        0 => Ok(()),
        code => Err(format!("{function} failed with code {code}")),
    }
}

/// What is called, if it is there. It is looked up once.
fn functions() -> Result<Functions, String> {
    static ANSWER: OnceLock<Result<Functions, String>> = OnceLock::new();
    ANSWER.get_or_init(look_up).clone()
}

fn look_up() -> Result<Functions, String> {
    for name in cudarc::get_lib_name_candidates("nvrtc") {
        // SAFETY: loading runs the library's initialisers. Who puts another library in the place of NVIDIA's vouches for it.
        let Ok(library) = (unsafe { libloading::Library::new(&name) }) else { continue };
        let found = Functions::look_up(&library);
        // It stays, since functions of it do.
        std::mem::forget(library);
        return found.map_err(|function| format!("{name} has no {function}"));
    }
    Err("there is no libnvrtc".to_owned())
}
