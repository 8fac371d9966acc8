//! The command line: one file per verb.

pub(crate) mod replay;
pub(crate) mod storage_flags;

use std::path::Path;

use lmcache::error::Result;
use lmcache::trace::{ReadMode, TraceReader};

/// Opens a trace for a verb that reads it once.
#[expect(unsafe_code, reason = "maps a file that the user named")]
pub(crate) fn open_trace(path: &Path, no_mmap: bool) -> Result<TraceReader> {
    if no_mmap {
        return TraceReader::open(path, ReadMode::buffered());
    }
    // SAFETY: the help of --no-mmap tells the user who would have to keep the file as it is.
    TraceReader::open(path, unsafe { ReadMode::mapped() })
}
