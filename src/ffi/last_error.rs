//! The last error of each thread, in words.

use std::cell::RefCell;
use std::ffi::c_char;

use super::args::copy_text;
use super::boundary::Failure;

/// What is kept of a sentence, in bytes: a path can be long, a chain of causes too.
const MOST_BYTES: usize = 4096;

#[derive(Debug, Default)]
struct Words {
    sentence: String,
    hint: String,
}

thread_local! {
    static LAST: RefCell<Words> = const { RefCell::new(Words { sentence: String::new(), hint: String::new() }) };
}

/// Keeps what went wrong on this thread.
pub(super) fn set(failure: &Failure) {
    // A thread that is ending has nobody who asks any more.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        last.sentence = failure.sentence();
        last.hint = failure.hint().unwrap_or_default().to_owned();
        cut(&mut last.sentence);
        cut(&mut last.hint);
    });
}

fn cut(text: &mut String) {
    if text.len() > MOST_BYTES {
        let end = (0..=MOST_BYTES).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    // C strings end at a NUL; a path can hold none, but a name in a file can.
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
}

/// Copies the sentence of the calling thread's last error into `buffer`, with its NUL, cut to `length` bytes, and returns how long
/// it is without the NUL. With `length` 0 nothing is written and `buffer` may be NULL. Empty if there was no error.
///
/// # Safety
/// `buffer` points to `length` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_last_error(buffer: *mut c_char, length: usize) -> usize {
    // SAFETY: passed on.
    unsafe { copy_out(|last| &last.sentence, buffer, length) }
}

/// Like `lmcache_last_error`, but what to do about it; empty if nobody knows.
///
/// # Safety
/// `buffer` points to `length` bytes that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_last_error_hint(buffer: *mut c_char, length: usize) -> usize {
    // SAFETY: passed on.
    unsafe { copy_out(|last| &last.hint, buffer, length) }
}

/// # Safety
/// `buffer` points to `length` bytes that may be written.
unsafe fn copy_out(which: impl FnOnce(&Words) -> &String, buffer: *mut c_char, length: usize) -> usize {
    let copied = LAST.try_with(|last| {
        let last = last.borrow();
        let text = which(&last);
        if !buffer.is_null() {
            // SAFETY: passed on.
            unsafe { copy_text(text, buffer, length) };
        }
        text.len()
    });
    copied.unwrap_or(0)
}
