//! The last error of each thread, in words.

use std::cell::RefCell;
use std::ffi::c_char;

use crate::ffi::border::args::copy_text;
use crate::ffi::border::boundary::Failure;

/// Bytes of a sentence that are kept, at most: a path can be long, a chain of causes too. `docs/ffi.md` and the header promise it.
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
pub(in crate::ffi) fn set(failure: &Failure) {
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
    // C strings end at a NUL; a path can hold none, but a name in a file can.
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    text.truncate(text.floor_char_boundary(MOST_BYTES));
}

/// Copies the sentence of the calling thread's last error into `buffer`, with its NUL, cut to `length` bytes between two characters of UTF-8,
/// and returns how long it is without the NUL: at most 4096 bytes, which is all that is kept of a longer one. With `length` 0 nothing is
/// written and `buffer` may be NULL. Empty if there was no error.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::border::status::Status;

    /// What a host reads of the last error into a buffer of so many bytes, and how long it is said to be.
    fn read(length: usize) -> (String, usize) {
        let mut buffer = vec![0x7f_u8; length + 1];
        // SAFETY: the buffer is longer than it is said to be.
        let whole = unsafe { lmcache_last_error(buffer.as_mut_ptr().cast(), length) };
        assert_eq!(buffer[length], 0x7f, "behind the end");
        let end = buffer.iter().position(|byte| *byte == 0).expect("a NUL");
        (String::from_utf8(buffer[..end].to_vec()).expect("UTF-8"), whole)
    }

    #[test]
    fn a_sentence_is_cut_between_characters() {
        set(&Failure::invalid("a\u{e9}b\u{1f980}"));
        let read_by_length: Vec<_> = (1..=9).map(|length| read(length).0).collect();
        let (cafe, crab) = ("a\u{e9}", "a\u{e9}b\u{1f980}");
        assert_eq!(read_by_length[..4], ["", "a", "a", cafe]);
        assert_eq!(read_by_length[4..8], [&crab[..4]; 4]);
        assert_eq!(read(9), (crab.to_owned(), 8));
    }

    #[test]
    fn of_a_long_sentence_the_beginning_is_kept_and_its_length_is_said() {
        set(&Failure::misuse(Status::LMCACHE_STATUS_BUSY, "x".repeat(MOST_BYTES)));
        assert_eq!(read(2 * MOST_BYTES).1, MOST_BYTES);
        set(&Failure::misuse(Status::LMCACHE_STATUS_BUSY, "\0\u{e9}".repeat(MOST_BYTES)));
        let (kept, whole) = read(2 * MOST_BYTES);
        // Five bytes each: what stands for a NUL, and the character.
        assert_eq!((kept.len(), whole), (MOST_BYTES - 1, MOST_BYTES - 1));
    }
}
