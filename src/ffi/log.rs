//! What the library has to say by itself.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};

use super::boundary::{Failure, OK, guard};
use super::callbacks::call_host;
use super::status::Status;
use crate::sync::{Mutex, lock};

/// Told a sentence: a warning of something that no call returned. Called on threads of the library, one call at a time. `text` ends in
/// NUL and is borrowed for the time of the call. It must return. `lmcache_set_log_callback` is BUSY in it, and what it makes the library
/// say is said to nobody.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_log_callback = Option<unsafe extern "C" fn(text: *const c_char, user_data: *mut c_void)>;

struct Log {
    callback: unsafe extern "C" fn(*const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the host says that its callback may be called from any thread with its data.
unsafe impl Send for Log {}

static LOG: Mutex<Option<Log>> = Mutex::new(None);

thread_local! {
    /// This thread is in the callback, and holds the lock.
    static IS_SAYING: Cell<bool> = const { Cell::new(false) };
}

/// Has `callback` be told what the library has to say by itself, for instance that a recording stopped because the disk is full.
/// NULL ends that; when this returns, no call of the callback before is under way. Without one nothing is said anywhere.
///
/// # Safety
/// `callback` may be called from any thread with `user_data`, until this is called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_set_log_callback(
    callback: lmcache_log_callback,
    user_data: *mut c_void,
) -> Status {
    guard(|| {
        if IS_SAYING.with(Cell::get) {
            let sentence = "the log callback cannot be changed within itself";
            return Err(Failure::misuse(Status::LMCACHE_STATUS_BUSY, sentence));
        }
        *lock(&LOG) = callback.map(|callback| Log { callback, user_data });
        OK
    })
}

/// Says something.
pub(super) fn say(sentence: &str) {
    let Ok(text) = CString::new(sentence.replace('\0', "\u{fffd}")) else { return };
    if IS_SAYING.replace(true) {
        return;
    }
    if let Some(log) = &*lock(&LOG) {
        // SAFETY: the host's promise; the text stays for the time of the call.
        call_host([0, 0], || unsafe { (log.callback)(text.as_ptr(), log.user_data) });
    }
    IS_SAYING.set(false);
}
