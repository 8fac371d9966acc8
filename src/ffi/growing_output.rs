//! Outputs that may grow: structs of which a host may know a shorter version.

use super::args::Growing;
use super::boundary::Failure;

/// Room for a struct that begins with its size, as long as the host says.
pub(super) struct GrowingOutput<T> {
    out: *mut T,
    size: usize,
}

/// Where a struct goes that may grow.
///
/// # Safety
/// `out` is NULL or points to a struct that begins with its size in bytes, and has that many, which may be written.
pub(super) unsafe fn growing_output<T: Growing>(
    out: *mut T,
    what: &str,
) -> Result<GrowingOutput<T>, Failure> {
    if out.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: the caller says that there is a size.
    let size = unsafe { out.cast::<u32>().read_unaligned() } as usize;
    match T::SIZES.contains(&size) {
        true => Ok(GrowingOutput { out, size }),
        false => Err(Failure::invalid(format!(
            "{what} says that it has {size} bytes, which is no version of it: set struct_size to its sizeof"
        ))),
    }
}

impl<T: Growing> GrowingOutput<T> {
    /// Writes as much of `value` as there is room for; its size stays as the host has set it.
    pub(super) fn write(self, value: &T) {
        const SIZE_BYTES: usize = size_of::<u32>();
        let from = std::ptr::from_ref(value).cast::<u8>().wrapping_add(SIZE_BYTES);
        let to = self.out.cast::<u8>().wrapping_add(SIZE_BYTES);
        // SAFETY: the host has `size` bytes there, which is a version's size: at most that of `T`, and more than the size itself.
        // `value` is ours, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, to, self.size - SIZE_BYTES) };
    }
}
