//! What the process does when it gets a signal, and how it sends one.

/// Whether whoever started this process had it ignore `signal`, as `nohup` does with SIGHUP.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: no action is set; the pointer is to room for one.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: a call that succeeded has filled it in.
    read == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Asks a child of this process, which has not been waited for, to end.
///
/// # Errors
/// If the number is that of no process.
pub fn terminate(child: u32) -> std::io::Result<()> {
    let no_process = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    // 0 and what is negative are groups of processes, ours among them.
    let child = libc::pid_t::try_from(child).ok().filter(|child| *child > 0).ok_or_else(no_process)?;
    // SAFETY: no memory is passed.
    match unsafe { libc::kill(child, libc::SIGTERM) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
