//! What is written into room of the caller's.

use std::ffi::c_char;

use crate::ffi::border::args::{copy_text, output};
use crate::ffi::border::boundary::{Ended, Failure, OK};

/// Room for a value each of what a call is about.
pub(super) struct Outputs<T> {
    items: *mut T,
    count: usize,
}

impl<T> Outputs<T> {
    /// Room for `count` values, of which `needed` are written.
    ///
    /// # Safety
    /// `items` points to room for `count` values, if that is not 0.
    pub(super) unsafe fn new(
        items: *mut T,
        count: usize,
        needed: usize,
        what: &str,
    ) -> Result<Self, Failure> {
        if count < needed {
            return Err(Failure::invalid(format!("{what} has room for {count}, and {needed} are needed")));
        }
        if items.is_null() && needed > 0 {
            return Err(Failure::null(what));
        }
        Ok(Self { items, count: needed })
    }

    /// The same, of values that nobody may want: a count of 0 is none.
    ///
    /// # Safety
    /// As for [`Self::new`].
    pub(super) unsafe fn optional(
        items: *mut T,
        count: usize,
        needed: usize,
        what: &str,
    ) -> Result<Option<Self>, Failure> {
        match count == 0 {
            true => Ok(None),
            // SAFETY: passed on.
            false => unsafe { Self::new(items, count, needed, what) }.map(Some),
        }
    }

    /// Writes the values, in order; no more than there is room for.
    pub(super) fn write(self, values: impl Iterator<Item = T>) {
        for (position, value) in values.take(self.count).enumerate() {
            // SAFETY: `new` was promised room for more than `position` values.
            let item = unsafe { self.items.add(position) };
            // SAFETY: as above. It need not be aligned.
            unsafe { item.write_unaligned(value) };
        }
    }
}

/// Copies a text out, with its NUL, cut to `length` bytes; its whole length without the NUL goes to `needed`, unless that is NULL.
///
/// # Safety
/// `buffer` points to room for `length` bytes, if that is not 0; `needed` is NULL or points to room for a number.
pub(super) unsafe fn text(text: &str, buffer: *mut c_char, length: usize, needed: *mut usize) -> Ended {
    if buffer.is_null() && length > 0 {
        return Err(Failure::null("buffer"));
    }
    // SAFETY: passed on.
    unsafe { copy_text(text, buffer, length) };
    if !needed.is_null() {
        // SAFETY: the caller's promise.
        unsafe { output(needed, "needed") }?.write(text.len());
    }
    OK
}
