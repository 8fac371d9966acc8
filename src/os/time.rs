//! Clocks and sleeping, by `clock_gettime` and `clock_nanosleep`.

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

fn read_ns(clock_id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec that outlives the call; both clocks used here exist on every Linux.
    let status = unsafe { libc::clock_gettime(clock_id, &mut now) };
    debug_assert_eq!(status, 0, "clock_gettime of a clock that always exists");
    now.tv_sec as u64 * NS_PER_S + now.tv_nsec as u64
}

/// Nanoseconds on `CLOCK_MONOTONIC`.
#[inline]
pub fn monotonic_ns() -> u64 {
    read_ns(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since the epoch, on `CLOCK_REALTIME`.
#[inline]
pub fn wall_ns() -> u64 {
    read_ns(libc::CLOCK_REALTIME)
}

/// Sleeps until `deadline_ns` on `CLOCK_MONOTONIC`; returns at once if that is past. A signal may end the
/// sleep early: callers look at the clock and come back.
pub fn sleep_until_ns(deadline_ns: u64) {
    let deadline = libc::timespec {
        tv_sec: (deadline_ns / NS_PER_S) as libc::time_t,
        tv_nsec: (deadline_ns % NS_PER_S) as libc::c_long,
    };
    // SAFETY: `deadline` is a valid timespec; with TIMER_ABSTIME the remainder pointer is not used.
    unsafe {
        libc::clock_nanosleep(libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME, &deadline, std::ptr::null_mut())
    };
}

/// Asks the kernel to wake the calling thread as close to its deadlines as it can, instead of within the
/// default slack of 50 us. A kernel that refuses leaves the thread as it was.
pub fn request_exact_wakeups() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize) };
}
