//! What the library has to say by itself.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};

use super::border::boundary::{Failure, OK, guard};
use super::border::status::Status;
use super::callbacks;
use super::handles::forks::{ForkWatch, PerProcess};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// Told a sentence: a warning of something that no call returned. Called on threads of the library and of the host; on several at once, if
/// several have something to say. `text` ends in NUL and is borrowed for the time of the call. It must return. `lmcache_set_log_callback` is
/// BUSY in it, and so is what waits for threads of the library, as in every callback: `lmcache_recorder_close` and
/// `lmcache_recorder_flush` among them. What it makes the library say is said to nobody.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_log_callback = Option<unsafe extern "C" fn(text: *const c_char, user_data: *mut c_void)>;

struct Log {
    callback: unsafe extern "C" fn(*const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the host says that its callback may be called from any thread with its data.
unsafe impl Send for Log {}
// SAFETY: as above, from several at once.
unsafe impl Sync for Log {}

/// References are taken and given up under the lock, so that their number is that of the calls under way, and one.
#[derive(Default)]
struct Logs {
    current: Option<Arc<Log>>,
    /// Those that were set before, while calls of them are under way.
    retired: Vec<Arc<Log>>,
}

#[derive(Default)]
struct State {
    logs: Mutex<Logs>,
    /// A call has ended.
    ended: Condvar,
}

static STATE: PerProcess<State> = PerProcess::new();

static FORKS: ForkWatch = ForkWatch::new();

thread_local! {
    /// This thread is in the callback.
    static IS_SAYING: Cell<bool> = const { Cell::new(false) };
}

/// Has `callback` be told what the library has to say by itself, for instance that a recording stopped because the disk is full.
/// NULL ends that; when this returns, no call of a callback that was set before is under way. Without one nothing is said anywhere. A
/// child of `fork` has none until it sets one.
///
/// # Safety
/// `callback` may be called from any thread with `user_data`, and from several at once, until this is called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_set_log_callback(
    callback: lmcache_log_callback,
    user_data: *mut c_void,
) -> Status {
    guard(|| {
        if IS_SAYING.get() {
            let sentence = "the log callback cannot be changed within itself";
            return Err(
                Failure::misuse(Status::LMCACHE_STATUS_BUSY, sentence).with_hint(callbacks::RETURN_FIRST)
            );
        }
        FORKS.watch(forget);
        let state = STATE.get();
        let mut logs = lock(&state.logs);
        let before = std::mem::replace(
            &mut logs.current,
            callback.map(|callback| Arc::new(Log { callback, user_data })),
        );
        logs.retired.extend(before);
        loop {
            logs.retired.retain(|log| Arc::strong_count(log) > 1);
            if logs.retired.is_empty() {
                return OK;
            }
            logs = state.ended.wait(logs).expect("nothing panics under this lock");
        }
    })
}

/// A call of the callback that is under way.
struct Call {
    state: &'static State,
    /// There until the call ends.
    log: Option<Arc<Log>>,
}

impl Call {
    /// Begins one, if there is a callback and this thread is not in it already.
    fn begin() -> Option<Self> {
        let state = STATE.get();
        let log = Arc::clone(lock(&state.logs).current.as_ref()?);
        IS_SAYING.set(true);
        Some(Self { state, log: Some(log) })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        IS_SAYING.set(false);
        // In a child that was forked within the callback nobody waits, and the parent's lock may be held for ever.
        if !STATE.is(self.state) {
            return;
        }
        let logs = lock(&self.state.logs);
        self.log = None;
        drop(logs);
        self.state.ended.notify_all();
    }
}

/// Says something. No lock is held while the host's function runs: it may wait for another thread that has something to say.
pub(super) fn say(sentence: &str) {
    let Ok(text) = CString::new(sentence.replace('\0', "\u{fffd}")) else { return };
    if IS_SAYING.get() {
        return;
    }
    let Some(call) = Call::begin() else { return };
    let Some(log) = &call.log else { return };
    // SAFETY: the host's promise; the text stays for the time of the call.
    callbacks::call_host([0, 0], || unsafe { (log.callback)(text.as_ptr(), log.user_data) });
}

/// In the child of a `fork`: what the parent's threads have locked stays locked, so it has another state.
extern "C" fn forget() {
    STATE.forget();
    IS_SAYING.set(false);
}
