//! NVIDIA's compiler, where it is there: it makes the kernel for the very device at hand.
//!
//! As with the driver, the bindings panic where the library or a function is missing, so both are looked up first. Whatever goes wrong here
//! is no error: there is a kernel that was compiled ahead of time.
#![expect(unsafe_code, reason = "functions of a shared library are called")]

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};

use cudarc::nvrtc::sys::{self, nvrtcProgram};

use super::functions::NVRTC_FUNCTIONS;
use crate::sync::{Mutex, OnceLock, lock};

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
    is_usable()?;
    let mut handle: nvrtcProgram = std::ptr::null_mut();
    let (text, none) = (source.as_ptr(), std::ptr::null());
    // SAFETY: both texts end with a NUL, and there are no headers. It writes one handle.
    let code = unsafe { sys::nvrtcCreateProgram(&raw mut handle, text, name.as_ptr(), 0, none, none) };
    outcome("nvrtcCreateProgram", code)?;
    let program = Program(handle);
    let option = CString::new(format!("--gpu-architecture=compute_{capability}"))
        .map_err(|error| error.to_string())?;
    let options: [*const c_char; 1] = [option.as_ptr()];
    // SAFETY: the program is there, and one option that ends with a NUL.
    let code = unsafe { sys::nvrtcCompileProgram(program.0, 1, options.as_ptr()) };
    outcome("nvrtcCompileProgram", code).map_err(|why| format!("{why}: {}", program.log()))?;
    program.ptx()
}

struct Program(nvrtcProgram);

impl Program {
    fn ptx(&self) -> Result<CString, String> {
        let mut bytes = 0;
        // SAFETY: the program is there; it writes one number.
        outcome("nvrtcGetPTXSize", unsafe { sys::nvrtcGetPTXSize(self.0, &raw mut bytes) })?;
        let mut text = vec![0_u8; bytes];
        // SAFETY: it writes as many bytes as it said.
        outcome("nvrtcGetPTX", unsafe { sys::nvrtcGetPTX(self.0, text.as_mut_ptr().cast()) })?;
        CStr::from_bytes_until_nul(&text).map(CStr::to_owned).map_err(|error| error.to_string())
    }

    /// What the compiler said.
    fn log(&self) -> String {
        let mut bytes = 0;
        // SAFETY: the program is there; it writes one number.
        if unsafe { sys::nvrtcGetProgramLogSize(self.0, &raw mut bytes) } as i32 != 0 {
            return String::new();
        }
        let mut text = vec![0_u8; bytes];
        // SAFETY: it writes as many bytes as it said.
        if unsafe { sys::nvrtcGetProgramLog(self.0, text.as_mut_ptr().cast()) } as i32 != 0 {
            return String::new();
        }
        String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is there, and nobody uses it any more.
        unsafe { sys::nvrtcDestroyProgram(&raw mut self.0) };
    }
}

/// The code of a call. Nothing else is done with the bindings' value.
fn outcome(function: &str, code: sys::nvrtcResult) -> Result<(), String> {
    match code as i32 {
        0 => Ok(()),
        code => Err(format!("{function} failed with code {code}")),
    }
}

/// Whether the library that the bindings will load has all that is called of it. It is asked once.
fn is_usable() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(look_up).clone()
}

fn look_up() -> Result<(), String> {
    for name in cudarc::get_lib_name_candidates("nvrtc") {
        // SAFETY: loading runs the library's initialisers. Who puts another library in the place of NVIDIA's vouches for it.
        let Ok(library) = (unsafe { libloading::Library::new(&name) }) else { continue };
        let missing = NVRTC_FUNCTIONS.iter().find(|function| {
            // SAFETY: the symbol is looked for, and nothing is done with it.
            unsafe { library.get::<*const ()>(function.as_bytes()) }.is_err()
        });
        // It stays, as the bindings keep it too.
        std::mem::forget(library);
        return match missing {
            Some(function) => Err(format!("{name} has no {function}")),
            None => Ok(()),
        };
    }
    Err("there is no libnvrtc".to_owned())
}
