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

/// Has the process that `command` starts be asked to end when the calling thread, which has to be the one that starts it, is gone:
/// after `kill -9` of this process nobody else would.
pub fn end_with_this_thread(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    let ask = || {
        // SAFETY: the call takes numbers and touches no memory of ours.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
        Ok(())
    };
    // SAFETY: what runs between fork and exec is one system call.
    unsafe { command.pre_exec(ask) };
}
