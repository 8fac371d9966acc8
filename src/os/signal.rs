//! What the process does when it gets a signal.

/// Whether whoever started this process had it ignore `signal`, as `nohup` does with SIGHUP.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no action is set; the pointer is to room for one.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: a call that succeeded has filled it in.
    read == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}
