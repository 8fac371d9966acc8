//! Outputs that may grow: structs of which a host may know a shorter version, or a longer one.

use crate::ffi::border::args::{Growing, size_of_growing};
use crate::ffi::border::boundary::Failure;

/// Room for a struct that begins with its size, as long as the host says.
pub(in crate::ffi) struct GrowingOutput<T> {
    out: *mut T,
    size: usize,
}

/// Where a struct goes that may grow.
///
/// # Safety
/// `out` is NULL or points to a struct that begins with its size in bytes, and has that many, which may be written.
pub(in crate::ffi) unsafe fn growing_output<T: Growing>(
    out: *mut T,
    what: &str,
) -> Result<GrowingOutput<T>, Failure> {
    if out.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: the caller says that there is a size.
    let struct_size = unsafe { out.cast::<u32>().read_unaligned() };
    Ok(GrowingOutput { out, size: size_of_growing::<T>(struct_size, what)? })
}

/// The same, of a struct that nobody may want.
///
/// # Safety
/// As for [`growing_output`].
pub(in crate::ffi) unsafe fn optional_growing_output<T: Growing>(
    out: *mut T,
    what: &str,
) -> Result<Option<GrowingOutput<T>>, Failure> {
    match out.is_null() {
        true => Ok(None),
        // SAFETY: passed on.
        false => unsafe { growing_output(out, what) }.map(Some),
    }
}

impl<T: Growing> GrowingOutput<T> {
    /// Writes as much of `value` as there is room for, and zeroes behind it where there is more; its size stays as the host has set it.
    pub(in crate::ffi) fn write(self, value: &T) {
        const SIZE_BYTES: usize = size_of::<u32>();
        let known = self.size.min(size_of::<T>());
        let from = std::ptr::from_ref(value).cast::<u8>().wrapping_add(SIZE_BYTES);
        let to = self.out.cast::<u8>();
        // SAFETY: the host has `size` bytes there, which are more than the size itself, and `known` is no more than that, nor than those of
        // `T`. `value` is ours, so the two do not overlap.
        unsafe {
            std::ptr::copy_nonoverlapping(from, to.wrapping_add(SIZE_BYTES), known - SIZE_BYTES);
        }
        // SAFETY: as above.
        unsafe { to.wrapping_add(known).write_bytes(0, self.size - known) };
    }
}
