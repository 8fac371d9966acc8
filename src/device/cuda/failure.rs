//! A call of the driver that failed.
//!
//! Codes are numbers here, and not the bindings' enumeration: a driver may return some that it does not have.

use crate::error::{Error, ErrorKind};

/// `CUDA_ERROR_NOT_INITIALIZED`.
pub(super) const NOT_INITIALIZED: i32 = 3;

/// `CUDA_ERROR_NOT_READY`: not a failure, but "not yet".
pub(super) const NOT_READY: i32 = 600;

/// `CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED`: what is refused of a stream that becomes a graph.
pub(super) const CAPTURED: i32 = 900;

/// The codes after which nothing that is done with the context can succeed: the documentation of `CUresult` says of them that the
/// process must be ended for CUDA to work again. Whatever call gives them, what was under way has ended.
const STOPPED: [i32; 13] = [214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721];

/// The codes that may mean the loss of the device, and say nothing of what is under way on it.
const UNSURE: [i32; 5] = [4, 46, 802, 806, 999];

/// The functions that ask something of a stream, or whether it is done. An unsure code from another one is that call's matter alone.
const OF_STREAMS: [&str; 9] = [
    "cuStreamQuery",
    "cuStreamWaitEvent",
    "cuEventRecord",
    "cuEventQuery",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    super::functions::BATCH_FUNCTION,
    "cuLaunchHostFunc",
    "cuLaunchKernel",
];

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The function, as the driver has it.
    pub(super) function: &'static str,
    /// The code of `CUresult`.
    pub(super) code: i32,
}

impl Failure {
    /// Whether the device is of no use any more.
    pub(super) fn is_loss(self) -> bool {
        self.is_stop() || (UNSURE.contains(&self.code) && OF_STREAMS.contains(&self.function))
    }

    /// Whether nothing is under way on the device any more, because it failed.
    pub(super) fn is_stop(self) -> bool {
        STOPPED.contains(&self.code)
    }

    /// The error of a call that failed, on a device that has not.
    pub(super) fn error(self, what: &'static str) -> Error {
        let kind = match self.code {
            1 | 101 | 400 | 712 => ErrorKind::InvalidArgument,
            2 => ErrorKind::OutOfMemory,
            801 => ErrorKind::Unsupported,
            _ => ErrorKind::Io,
        };
        let error = self.describe(Error::new(kind, what));
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }

    /// The error of everything that is asked of a device that is lost.
    pub(super) fn lost_error(self) -> Error {
        self.describe(Error::new(ErrorKind::Io, "the device is lost"))
            .with_hint("look at nvidia-smi and at the kernel's log (dmesg, Xid), and start the process again")
    }

    fn describe(self, error: Error) -> Error {
        let error = error.with_context("function", self.function.trim_end_matches("_v2"));
        match name(self.code) {
            Some(name) => error.with_context("code", format_args!("{} {name}", self.code)),
            None => error.with_context("code", self.code),
        }
    }

    fn hint(self) -> Option<&'static str> {
        match self.code {
            2 => Some("another process may hold the memory: look at nvidia-smi"),
            201 | 205 | 208 => {
                Some("a handle of another process is opened by that process's peer, never by itself")
            }
            712 => Some(
                "the memory, or a part of it, was registered before: by the engine, or by another library",
            ),
            800 => Some("the container or the system does not allow it: look at its limits, as ulimit -l"),
            900..=908 => Some("the engine's stream is capturing a graph: end the capture first"),
            _ => None,
        }
    }
}

/// The codes that an operator may meet, as the driver's documentation names them.
fn name(code: i32) -> Option<&'static str> {
    Some(match code {
        1 => "invalid value",
        2 => "out of memory",
        3 => "not initialized",
        4 => "driver shutting down",
        46 => "device unavailable",
        101 => "invalid device",
        201 => "invalid context",
        205 => "map failed",
        208 => "already mapped",
        209 => "no binary for this GPU",
        214 => "uncorrectable ECC error",
        218 => "invalid PTX",
        220 => "uncorrectable NVLink error",
        221 => "no JIT compiler",
        222 => "PTX too new for the driver",
        304 => "operating system call failed",
        400 => "invalid handle",
        500 => "not found",
        700 => "illegal address",
        702 => "launch timed out",
        709 => "context destroyed",
        712 => "host memory already registered",
        713 => "host memory not registered",
        716 => "misaligned address",
        719 => "launch failed",
        721 => "contained error",
        800 => "not permitted",
        801 => "not supported",
        900..=908 => "the stream is being captured",
        999 => "unknown",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_reads_the_function_the_code_and_what_to_do() {
        let failure = Failure { function: "cuMemAlloc_v2", code: 2 };
        let error = failure.error("cannot allocate memory of the device");
        let text = "cannot allocate memory of the device (function cuMemAlloc, code 2 out of memory)";
        assert_eq!((error.to_string().as_str(), error.kind()), (text, ErrorKind::OutOfMemory));
        assert!(error.hint().is_some() && !failure.is_loss());
    }

    #[test]
    fn codes_that_nobody_knows_are_told_by_number() {
        let failure = Failure { function: "cuEventQuery", code: -7 };
        assert_eq!(failure.error("cannot wait").to_string(), "cannot wait (function cuEventQuery, code -7)");
        let lost = Failure { function: "cuEventQuery", code: 721 };
        assert!(
            lost.is_loss()
                && lost.is_stop()
                && lost.lost_error().to_string().starts_with("the device is lost (function")
        );
    }

    #[test]
    fn a_code_that_says_nothing_of_the_device_is_no_loss_where_the_call_has_no_stream() {
        for code in UNSURE {
            assert!(!Failure { function: "cuIpcOpenMemHandle_v2", code }.is_loss());
            let failure = Failure { function: "cuEventQuery", code };
            assert!(failure.is_loss() && !failure.is_stop());
        }
        let names = super::super::functions::REQUIRED_FUNCTIONS;
        assert!(OF_STREAMS.iter().all(|name| names.contains(name) || *name == "cuMemcpyBatchAsync"));
    }
}
