//! What functions return, in C `lmcache_status`: `docs/ffi.md` has the table.

use std::ffi::{CStr, c_char};

use crate::error::ErrorKind;

/// How a call ended: 0 is success, above it are outcomes that are no errors, below it are errors, of which
/// `lmcache_last_error` has the sentence. Numbers never change their meaning; one that a host does not know counts by its sign.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the names in C")]
pub enum Status {
    /// It did what it was asked to.
    LMCACHE_STATUS_OK = 0,
    /// There is nothing more.
    LMCACHE_STATUS_END = 1,
    /// The result is not there yet.
    LMCACHE_STATUS_PENDING = 2,
    /// The call was not recorded: recording is off, the ring was full, or the call was too large. Counted where it was attempted.
    LMCACHE_STATUS_DROPPED = 3,
    /// There was nothing, or not all of it, and so nothing was given.
    LMCACHE_STATUS_MISS = 4,
    /// What was passed can never be right.
    LMCACHE_STATUS_INVALID_ARGUMENT = -1,
    /// A pointer that must not be NULL is.
    LMCACHE_STATUS_NULL_POINTER = -2,
    /// No handle, one of another kind, or one that was freed.
    LMCACHE_STATUS_INVALID_HANDLE = -3,
    /// The handle belongs to another thread.
    LMCACHE_STATUS_WRONG_THREAD = -4,
    /// The handle is in use: by another thread, or by the call that this one came from.
    LMCACHE_STATUS_BUSY = -5,
    /// A call on this handle panicked; only freeing it works.
    LMCACHE_STATUS_POISONED = -6,
    /// The handle was closed.
    LMCACHE_STATUS_CLOSED = -7,
    /// The system refused something.
    LMCACHE_STATUS_IO = -8,
    /// A file or a key is not there.
    LMCACHE_STATUS_NOT_FOUND = -9,
    /// Bytes are not what they claim to be.
    LMCACHE_STATUS_CORRUPT = -10,
    /// Bytes end before what they promise.
    LMCACHE_STATUS_TRUNCATED = -11,
    /// A version of a format or of this interface that is not spoken.
    LMCACHE_STATUS_UNSUPPORTED_VERSION = -12,
    /// This build does not have it.
    LMCACHE_STATUS_UNSUPPORTED = -13,
    /// Memory could not be had.
    LMCACHE_STATUS_OUT_OF_MEMORY = -14,
    /// A policy of the storage manager cannot work as it was asked to.
    LMCACHE_STATUS_POLICY = -15,
    /// It took longer than it was given.
    LMCACHE_STATUS_TIMEOUT = -16,
    /// A limit of this interface: handles, or calls within callbacks.
    LMCACHE_STATUS_TOO_MANY = -17,
    /// There is no device that can be used: no driver, one that does not work, or one that shows no device.
    LMCACHE_STATUS_NO_DEVICE = -18,
    /// A defect of the library; the handle is poisoned.
    LMCACHE_STATUS_PANIC = -128,
}

impl Status {
    /// All of them, in the order of their declaration.
    const ALL: [Self; 24] = [
        Self::LMCACHE_STATUS_OK,
        Self::LMCACHE_STATUS_END,
        Self::LMCACHE_STATUS_PENDING,
        Self::LMCACHE_STATUS_DROPPED,
        Self::LMCACHE_STATUS_MISS,
        Self::LMCACHE_STATUS_INVALID_ARGUMENT,
        Self::LMCACHE_STATUS_NULL_POINTER,
        Self::LMCACHE_STATUS_INVALID_HANDLE,
        Self::LMCACHE_STATUS_WRONG_THREAD,
        Self::LMCACHE_STATUS_BUSY,
        Self::LMCACHE_STATUS_POISONED,
        Self::LMCACHE_STATUS_CLOSED,
        Self::LMCACHE_STATUS_IO,
        Self::LMCACHE_STATUS_NOT_FOUND,
        Self::LMCACHE_STATUS_CORRUPT,
        Self::LMCACHE_STATUS_TRUNCATED,
        Self::LMCACHE_STATUS_UNSUPPORTED_VERSION,
        Self::LMCACHE_STATUS_UNSUPPORTED,
        Self::LMCACHE_STATUS_OUT_OF_MEMORY,
        Self::LMCACHE_STATUS_POLICY,
        Self::LMCACHE_STATUS_TIMEOUT,
        Self::LMCACHE_STATUS_TOO_MANY,
        Self::LMCACHE_STATUS_NO_DEVICE,
        Self::LMCACHE_STATUS_PANIC,
    ];

    /// The status of an error.
    pub(in crate::ffi) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => Self::LMCACHE_STATUS_INVALID_ARGUMENT,
            ErrorKind::Io => Self::LMCACHE_STATUS_IO,
            ErrorKind::NotFound => Self::LMCACHE_STATUS_NOT_FOUND,
            ErrorKind::Corrupt => Self::LMCACHE_STATUS_CORRUPT,
            ErrorKind::Truncated => Self::LMCACHE_STATUS_TRUNCATED,
            ErrorKind::UnsupportedVersion => Self::LMCACHE_STATUS_UNSUPPORTED_VERSION,
            ErrorKind::Unsupported => Self::LMCACHE_STATUS_UNSUPPORTED,
            ErrorKind::OutOfMemory => Self::LMCACHE_STATUS_OUT_OF_MEMORY,
            ErrorKind::Closed => Self::LMCACHE_STATUS_CLOSED,
            ErrorKind::Policy => Self::LMCACHE_STATUS_POLICY,
            ErrorKind::Timeout => Self::LMCACHE_STATUS_TIMEOUT,
            ErrorKind::NoDevice => Self::LMCACHE_STATUS_NO_DEVICE,
        }
    }

    fn name(self) -> &'static CStr {
        match self {
            Self::LMCACHE_STATUS_OK => c"OK",
            Self::LMCACHE_STATUS_END => c"END",
            Self::LMCACHE_STATUS_PENDING => c"PENDING",
            Self::LMCACHE_STATUS_DROPPED => c"DROPPED",
            Self::LMCACHE_STATUS_MISS => c"MISS",
            Self::LMCACHE_STATUS_INVALID_ARGUMENT => c"INVALID_ARGUMENT",
            Self::LMCACHE_STATUS_NULL_POINTER => c"NULL_POINTER",
            Self::LMCACHE_STATUS_INVALID_HANDLE => c"INVALID_HANDLE",
            Self::LMCACHE_STATUS_WRONG_THREAD => c"WRONG_THREAD",
            Self::LMCACHE_STATUS_BUSY => c"BUSY",
            Self::LMCACHE_STATUS_POISONED => c"POISONED",
            Self::LMCACHE_STATUS_CLOSED => c"CLOSED",
            Self::LMCACHE_STATUS_IO => c"IO",
            Self::LMCACHE_STATUS_NOT_FOUND => c"NOT_FOUND",
            Self::LMCACHE_STATUS_CORRUPT => c"CORRUPT",
            Self::LMCACHE_STATUS_TRUNCATED => c"TRUNCATED",
            Self::LMCACHE_STATUS_UNSUPPORTED_VERSION => c"UNSUPPORTED_VERSION",
            Self::LMCACHE_STATUS_UNSUPPORTED => c"UNSUPPORTED",
            Self::LMCACHE_STATUS_OUT_OF_MEMORY => c"OUT_OF_MEMORY",
            Self::LMCACHE_STATUS_POLICY => c"POLICY",
            Self::LMCACHE_STATUS_TIMEOUT => c"TIMEOUT",
            Self::LMCACHE_STATUS_TOO_MANY => c"TOO_MANY",
            Self::LMCACHE_STATUS_NO_DEVICE => c"NO_DEVICE",
            Self::LMCACHE_STATUS_PANIC => c"PANIC",
        }
    }
}

/// The name of a status, for instance "INVALID_HANDLE", and "UNKNOWN" for a number that is none: static, never NULL, not to be
/// freed. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_status_name(status: i32) -> *const c_char {
    let known = Status::ALL.into_iter().find(|known| *known as i32 == status);
    known.map_or(c"UNKNOWN", Status::name).as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_name_and_a_number_of_its_own() {
        let numbers: std::collections::HashSet<i32> = Status::ALL.map(|status| status as i32).into();
        let names: std::collections::HashSet<_> = Status::ALL.map(Status::name).into();
        assert_eq!((numbers.len(), names.len()), (Status::ALL.len(), Status::ALL.len()));
        assert_eq!(lmcache_status_name(77), c"UNKNOWN".as_ptr());
        assert_eq!(lmcache_status_name(-128), c"PANIC".as_ptr());
    }

    /// The table of docs/ffi.md is what hosts are promised.
    #[test]
    fn the_numbers_are_those_of_the_contract() {
        let contract = include_str!("../../../docs/ffi.md");
        for status in Status::ALL.into_iter().filter(|status| *status as i32 != 0) {
            let row = format!("\n| {} | `{}` |", status as i32, status.name().to_str().unwrap());
            assert!(contract.contains(&row), "{row}");
        }
    }
}
