//! Many copies in one call, which drivers have from CUDA 12.8 on. The bindings are of 12.0, so the types are written out here.
#![expect(unsafe_code, reason = "a function of a shared library is called by address")]

use std::ffi::{c_int, c_uint};

use cudarc::driver::sys::CUstream;

use super::context::Entered;
use super::failure::Failure;
use super::functions::BATCH_FUNCTION;
use super::kernel::Move;

/// Copies of one call. The driver keeps the list until it is done.
const MOST_COPIES: usize = 1_024;

/// `CU_MEMCPY_SRC_ACCESS_ORDER_STREAM`: sources are read in the stream's order.
const IN_STREAM_ORDER: c_int = 1;

/// `CUmemLocation`; a type of 0 gives no hint.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Location {
    kind: c_int,
    id: c_int,
}

/// `CUmemcpyAttributes`.
#[repr(C)]
struct Attributes {
    source_order: c_int,
    source: Location,
    target: Location,
    flags: c_uint,
}

/// `cuMemcpyBatchAsync`.
type BatchFn = unsafe extern "C" fn(
    targets: *mut u64,
    sources: *mut u64,
    sizes: *mut usize,
    count: usize,
    attributes: *mut Attributes,
    attribute_starts: *mut usize,
    attribute_count: usize,
    failed: *mut usize,
    stream: CUstream,
) -> c_int;

/// The function, of a library that is never unloaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch(BatchFn);

impl Batch {
    /// What a driver has, if it has it.
    pub(super) fn find(library: &libloading::Library) -> Option<Self> {
        // SAFETY: the type is that of the function in `cuda.h` of 12.8 and later; 13.0 has one with fewer arguments under another name.
        unsafe { library.get::<BatchFn>(BATCH_FUNCTION.as_bytes()) }.ok().map(|function| Self(*function))
    }

    /// Lets `stream` make `moves`, in any order.
    ///
    /// # Safety
    /// All that is named stays until the stream has done it.
    pub(super) unsafe fn copy(
        &self,
        entered: &Entered<'_>,
        stream: CUstream,
        moves: &[Move],
    ) -> Result<(), Failure> {
        for moves in moves.chunks(MOST_COPIES) {
            let mut targets: Vec<u64> = moves.iter().map(|row| row.to).collect();
            let mut sources: Vec<u64> = moves.iter().map(|row| row.from).collect();
            let mut sizes: Vec<usize> = moves.iter().map(|row| row.bytes as usize).collect();
            let (source, target) = (Location::default(), Location::default());
            let mut attributes = Attributes { source_order: IN_STREAM_ORDER, source, target, flags: 0 };
            let (mut start, mut failed, count) = (0, 0, moves.len());
            let lists = (targets.as_mut_ptr(), sources.as_mut_ptr(), sizes.as_mut_ptr());
            let (attributes, start, failed) = (&raw mut attributes, &raw mut start, &raw mut failed);
            // SAFETY: the lists are as long as they are said to be, and are read before the call returns; the rest is the caller's promise.
            let code =
                unsafe { (self.0)(lists.0, lists.1, lists.2, count, attributes, start, 1, failed, stream) };
            if code != 0 {
                return entered.outcome(Err(Failure { function: BATCH_FUNCTION, code }));
            }
        }
        Ok(())
    }
}
