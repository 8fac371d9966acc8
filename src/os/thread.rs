//! What the kernel knows of the calling thread.

/// The kernel's number of the calling thread.
pub fn current_id() -> u64 {
    // SAFETY: gettid has no arguments and cannot fail.
    let id = unsafe { libc::gettid() };
    id as u64
}

/// Turns SIGXFSZ off for the calling thread, for good: a write past the process's file-size limit is then an error
/// of the call, and not the end of the process.
pub fn survive_file_size_limit() {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset fills in the whole set that it is given.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was filled in above; the signal exists on every Linux.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGXFSZ) };
    // SAFETY: the set is valid, and the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) };
}
