//! Arguments from C: nothing is believed before it was looked at, and nothing is looked at that the caller did not promise.

use std::ffi::{CStr, c_char};

use crate::ffi::border::boundary::Failure;
use crate::ffi::border::status::Status;
use crate::ffi::version::LMCACHE_MAX_STRUCT_BYTES;

/// The longest string that is taken, in bytes: a path, a name, a configuration.
pub(in crate::ffi) const MOST_STRING_BYTES: usize = 1 << 24;

/// A string of C.
///
/// # Safety
/// `text` is NULL or points to bytes that end in NUL and stay until this value is gone.
pub(in crate::ffi) unsafe fn string<'a>(text: *const c_char, what: &str) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::null(what));
    }
    // SAFETY: passed on.
    let text = unsafe { CStr::from_ptr(text) };
    if text.count_bytes() > MOST_STRING_BYTES {
        return Err(Failure::invalid(format!("{what} is longer than {MOST_STRING_BYTES} bytes")));
    }
    text.to_str().map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))
}

/// A string of C that may be NULL.
///
/// # Safety
/// As for [`string`].
pub(in crate::ffi) unsafe fn optional_string<'a>(
    text: *const c_char,
    what: &str,
) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: passed on.
    unsafe { string(text, what) }.map(Some)
}

/// A yes or a no.
pub(in crate::ffi) fn flag(name: &str, value: u32) -> Result<bool, Failure> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(Failure::invalid(format!("{name} is {other}; it is 0 or 1"))),
    }
}

/// Copies a text out, with its NUL, cut to `length` bytes, between two characters; nothing if that is 0. However large `length` is, no more
/// than the text and its NUL is written.
///
/// # Safety
/// `buffer` points to room for `length` bytes, if that is not 0.
pub(in crate::ffi) unsafe fn copy_text(text: &str, buffer: *mut c_char, length: usize) {
    let Some(most) = length.checked_sub(1) else { return };
    let count = text.floor_char_boundary(most);
    // SAFETY: the caller has `length` bytes there, more than `count`; the text is ours, so they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, count) };
    // SAFETY: as above.
    let end = unsafe { buffer.add(count) };
    // SAFETY: as above.
    unsafe { end.write(0) };
}

/// A list of C; of length 0 the pointer is not looked at.
///
/// # Safety
/// `items` points to `count` values, if that is not 0, which stay until this value is gone and are changed by nobody.
#[inline(always)]
pub(in crate::ffi) unsafe fn slice<'a, T>(
    items: *const T,
    count: usize,
    most: usize,
    what: &str,
) -> Result<&'a [T], Failure> {
    if count == 0 {
        return Ok(&[]);
    }
    if items.is_null() || count > most || !items.is_aligned() {
        return Err(wrong_list(items.is_null(), count, align_of::<T>(), most, what));
    }
    // SAFETY: the caller says that they are there; the pointer is no NULL and aligned, and `most` is far below what a slice can have.
    Ok(unsafe { std::slice::from_raw_parts(items, count) })
}

#[cold]
#[inline(never)]
fn wrong_list(is_null: bool, count: usize, align: usize, most: usize, what: &str) -> Failure {
    match !is_null && count > most {
        true => Failure::invalid(format!("{what}: {count} are too many; {most} are the most")),
        false => wrong_pointer(is_null, align, what),
    }
}

/// A struct of C.
///
/// # Safety
/// `item` is NULL or points to a value, which stays until this value is gone and is changed by nobody.
#[inline(always)]
pub(in crate::ffi) unsafe fn reference<'a, T>(item: *const T, what: &str) -> Result<&'a T, Failure> {
    if item.is_null() || !item.is_aligned() {
        return Err(wrong_pointer(item.is_null(), align_of::<T>(), what));
    }
    // SAFETY: the caller says that it is there; the pointer is no NULL and aligned.
    Ok(unsafe { &*item })
}

#[cold]
#[inline(never)]
fn wrong_pointer(is_null: bool, align: usize, what: &str) -> Failure {
    match is_null {
        true => Failure::null(what),
        false => Failure::invalid(format!("{what} is not aligned to {align} bytes")),
    }
}

/// Where an output goes.
///
/// # Safety
/// `out` is NULL or points to room for a value.
pub(in crate::ffi) unsafe fn output<'a, T>(out: *mut T, what: &str) -> Result<Output<'a, T>, Failure> {
    match out.is_null() {
        true => Err(Failure::null(what)),
        false => Ok(Output(out, std::marker::PhantomData)),
    }
}

/// Room for an output, which is written when all has gone well.
pub(in crate::ffi) struct Output<'a, T>(*mut T, std::marker::PhantomData<&'a mut T>);

impl<T> Output<'_, T> {
    pub(in crate::ffi) fn write(self, value: T) {
        // SAFETY: `output` was promised room for a value. It need not be aligned.
        unsafe { self.0.write_unaligned(value) };
    }
}

/// What is kept for later, and must be nothing until then.
pub(in crate::ffi) fn reserved(name: &str, value: u32) -> Result<(), Failure> {
    match value {
        0 => Ok(()),
        other => Err(Failure::invalid(format!("{name} is {other}; it is kept for later, and has to be 0"))),
    }
}

/// A struct that may grow, which begins with its own size.
///
/// # Safety
/// Values of the type may be any bytes that C writes into one, and all zero bytes are one; the first field is a `u32`, its size.
pub(in crate::ffi) unsafe trait Growing: Copy {
    /// The sizes that its versions had, the present one last.
    const SIZES: &'static [usize];
}

/// The size that a struct of the host's says it has: that of a version, or of a later one than this library knows.
pub(in crate::ffi) fn size_of_growing<T: Growing>(struct_size: u32, what: &str) -> Result<usize, Failure> {
    let size = struct_size as usize;
    let is_later =
        size > size_of::<T>() && size <= LMCACHE_MAX_STRUCT_BYTES && size.is_multiple_of(align_of::<T>());
    match T::SIZES.contains(&size) || is_later {
        true => Ok(size),
        false => Err(Failure::invalid(format!(
            "{what} says that it has {size} bytes, which is no version of it: set struct_size to its sizeof"
        ))),
    }
}

/// Reads a struct of an older, of this or of a later version. What an older one does not have is zero; what a later one has more must be.
///
/// # Safety
/// `options` is NULL or points to a struct that begins with its size in bytes, and has that many.
pub(in crate::ffi) unsafe fn growing<T: Growing>(options: *const T, what: &str) -> Result<T, Failure> {
    if options.is_null() || !options.is_aligned() {
        return Err(wrong_pointer(options.is_null(), align_of::<T>(), what));
    }
    // SAFETY: the caller says that there is a size.
    let struct_size = unsafe { options.cast::<u32>().read_unaligned() };
    let size = size_of_growing::<T>(struct_size, what)?;
    let known = size.min(size_of::<T>());
    let more = options.cast::<u8>().wrapping_add(known);
    // SAFETY: the caller has `size` bytes there, of which `known` come before.
    let more = unsafe { std::slice::from_raw_parts(more, size - known) };
    if more.iter().any(|byte| *byte != 0) {
        return Err(Failure::misuse(
            Status::LMCACHE_STATUS_UNSUPPORTED_VERSION,
            format!("{what} asks for something that this library does not know: it needs a newer one"),
        ));
    }
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the caller has `size` bytes, and `known` is no more than that, nor than those of `T`.
    unsafe { std::ptr::copy_nonoverlapping(options.cast::<u8>(), value.as_mut_ptr().cast(), known) };
    // SAFETY: zeroed, and then bytes of C: the trait's promise.
    Ok(unsafe { value.assume_init() })
}
