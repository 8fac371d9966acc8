//! What the kernel knows of the standard output.

/// Whether the standard output is a pipe or a socket that nobody reads any more. Whoever has nothing to write for a
/// while learns it only by asking.
pub fn is_output_abandoned() -> bool {
    // POLLERR, which says so, is reported without being asked for.
    let mut output = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
    // SAFETY: the pointer is to one pollfd that lives through the call, which does not wait.
    let ready = unsafe { libc::poll(&raw mut output, 1, 0) };
    ready > 0 && output.revents & libc::POLLERR != 0
}
