//! Why there is no device, and what to do.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Why there is no device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoDeviceReason {
    /// The driver's library cannot be loaded: there is none, or it is none.
    NoLibrary,
    /// The library has no function of this name.
    MissingFunction(&'static str),
    /// `cuInit` failed, with this code of `CUresult`.
    InitFailed(i32),
    /// A later call failed.
    CallFailed {
        /// The function.
        function: &'static str,
        /// Its code of `CUresult`.
        code: i32,
    },
    /// The driver's version, as `cuDriverGetVersion` gives it, is below [`MIN_DRIVER_VERSION`](super::probe::MIN_DRIVER_VERSION).
    TooOld(i32),
    /// The driver works, and shows this process no device.
    NoneVisible,
}

/// There is no device that can be used. Cheap to copy and kept for the life of the process; it becomes an [`Error`] by `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoDevice {
    /// Why.
    pub reason: NoDeviceReason,
    /// The library that was loaded, or all those that were tried.
    pub library: String,
    /// What the system's loader said, where it was the one that failed.
    pub detail: Option<String>,
}

impl NoDevice {
    pub(super) fn new(reason: NoDeviceReason, library: &str) -> Self {
        Self { reason, library: library.to_owned(), detail: None }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.reason {
            NoDeviceReason::NoLibrary => {
                "install the NVIDIA driver, or give the container its libraries (--gpus all)"
            }
            NoDeviceReason::MissingFunction(_) => {
                "a library of that name that is no driver is found first: look at LD_LIBRARY_PATH"
            }
            NoDeviceReason::InitFailed(code) | NoDeviceReason::CallFailed { code, .. } => hint_of(code),
            NoDeviceReason::TooOld(_) => "install a driver for CUDA 12.0 or later (525 or later)",
            NoDeviceReason::NoneVisible => "look at CUDA_VISIBLE_DEVICES, and at nvidia-smi",
        }
    }
}

/// What the codes mean that a driver gives before it has a device; from the documentation of `CUresult`.
fn hint_of(code: i32) -> &'static str {
    match code {
        // CUDA_ERROR_STUB_LIBRARY.
        34 => {
            "the toolkit's stub is found first, and hides the libcuda.so.1 of a driver that may work: take lib64/stubs out of LD_LIBRARY_PATH"
        }
        // CUDA_ERROR_NO_DEVICE.
        100 => "the driver sees no device: look at CUDA_VISIBLE_DEVICES, and at nvidia-smi",
        // CUDA_ERROR_SYSTEM_NOT_READY.
        802 => "the system is not ready: start nvidia-fabricmanager",
        // CUDA_ERROR_SYSTEM_DRIVER_MISMATCH.
        803 => {
            "library and kernel module are of different versions: reload the module, or restart the machine"
        }
        // CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE.
        804 => "the compatibility package does not fit this device: take it out of LD_LIBRARY_PATH",
        _ => "look at nvidia-smi and at the kernel's log",
    }
}

impl fmt::Display for NoDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let library = &self.library;
        match self.reason {
            NoDeviceReason::NoLibrary => write!(f, "no device: cannot load the CUDA driver ({library})"),
            NoDeviceReason::MissingFunction(name) => {
                write!(f, "no device: the CUDA driver has no {name} ({library})")
            }
            NoDeviceReason::InitFailed(code) => {
                write!(f, "no device: cuInit failed with code {code} ({library})")
            }
            NoDeviceReason::CallFailed { function, code } => {
                write!(f, "no device: {function} failed with code {code} ({library})")
            }
            NoDeviceReason::TooOld(version) => {
                write!(f, "no device: the CUDA driver is of version {version}, which is too old ({library})")
            }
            NoDeviceReason::NoneVisible => write!(f, "no device: the CUDA driver shows none ({library})"),
        }?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl std::error::Error for NoDevice {}

impl From<NoDevice> for Error {
    fn from(none: NoDevice) -> Self {
        Self::new(ErrorKind::NoDevice, none.to_string()).with_hint(none.hint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_what_is_missing_where_and_what_to_do() {
        let mut none = NoDevice::new(NoDeviceReason::InitFailed(803), "libcuda.so.1");
        assert_eq!(none.to_string(), "no device: cuInit failed with code 803 (libcuda.so.1)");
        assert!(none.hint().contains("kernel module"));
        let stub = NoDevice::new(NoDeviceReason::InitFailed(34), "libcuda.so");
        assert!(stub.hint().contains("hides the libcuda.so.1"), "{}", stub.hint());
        none.detail = Some("the loader's words".to_owned());
        let error = Error::from(none);
        assert_eq!(error.kind(), ErrorKind::NoDevice);
        assert!(error.to_string().ends_with("(libcuda.so.1): the loader's words") && error.hint().is_some());
    }

    #[test]
    fn every_reason_says_that_there_is_no_device() {
        let failed = NoDeviceReason::CallFailed { function: "cuDeviceGetCount", code: 999 };
        for reason in [
            NoDeviceReason::NoLibrary,
            NoDeviceReason::MissingFunction("cuInit"),
            NoDeviceReason::InitFailed(-1),
            failed,
            NoDeviceReason::TooOld(11_080),
            NoDeviceReason::NoneVisible,
        ] {
            let none = NoDevice::new(reason, "lib");
            assert!(none.to_string().starts_with("no device: ") && !none.hint().is_empty());
        }
    }
}
