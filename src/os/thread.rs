//! What the kernel and the C library know of the calling thread.

use std::marker::PhantomData;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

/// The kernel's number of the calling thread.
pub fn current_id() -> u64 {
    // SAFETY: gettid has no arguments and cannot fail.
    let id = unsafe { libc::gettid() };
    id as u64
}

/// Whether `thread` is the calling one. std cannot say so in a thread that is ending, and panics.
pub fn is_current<T>(thread: &JoinHandle<T>) -> bool {
    // SAFETY: pthread_self has no arguments and cannot fail.
    let own = unsafe { libc::pthread_self() };
    // SAFETY: both are threads that nobody has joined.
    unsafe { libc::pthread_equal(thread.as_pthread_t(), own) != 0 }
}

/// The name of the calling thread, up to 15 bytes of it: what `pthread_setname_np` or Rust gave it, else that of the program.
pub fn name() -> String {
    // 15 bytes and a NUL, as the kernel writes them.
    let mut name = [0_u8; 16];
    // SAFETY: the kernel writes 16 bytes, for which there is room.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    String::from_utf8_lossy(&name[..end]).into_owned()
}

/// A number that no other living thread of the process has; of x86-64 and AArch64 the register in which the C library keeps it,
/// which is read in one instruction.
#[inline(always)]
pub fn pointer() -> usize {
    let pointer: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the ABI of x86-64 has the address of the thread's control block there, which holds it itself.
    unsafe {
        std::arch::asm!("mov {}, fs:0", out(reg) pointer, options(nostack, preserves_flags, readonly))
    };
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the register can be read by every process.
    unsafe {
        std::arch::asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nostack, nomem, preserves_flags))
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        // SAFETY: the call has no arguments and cannot fail.
        pointer = unsafe { libc::pthread_self() } as usize;
    }
    pointer
}

unsafe extern "C" {
    /// The libc crate does not have it for Linux. Both C libraries there have these numbers for the states.
    fn pthread_setcancelstate(state: libc::c_int, before: *mut libc::c_int) -> libc::c_int;
}

const PTHREAD_CANCEL_DISABLE: libc::c_int = 1;

/// As long as this is there, a `pthread_cancel` of its thread waits: a thread is cancelled by unwinding its stack, which functions that
/// Rust has made for C do not stand.
#[derive(Debug)]
pub struct Uncancellable {
    before: libc::c_int,
    /// It is of the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl Uncancellable {
    /// From now on.
    #[inline(always)]
    #[expect(clippy::new_without_default, reason = "it is not a value, but does something")]
    pub fn new() -> Self {
        let mut before = 0;
        // SAFETY: the state is one; the one before is written to room for it.
        unsafe { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut before) };
        Self { before, _not_send: PhantomData }
    }
}

impl Drop for Uncancellable {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the state is the one before; the present one is written to room for it.
        unsafe { pthread_setcancelstate(self.before, &mut 0) };
    }
}

/// The shortest time slice that the kernel gives (`SCHED_OTHER`, Linux 6.12).
const SHORTEST_SLICE_NS: u64 = 100_000;

/// Asks the kernel for the shortest time slices for the calling thread: whoever has those runs sooner after a wake-up, and
/// shares a CPU in smaller parts. A kernel that knows no slices of a thread's own, or refuses, leaves it as it was.
pub fn request_short_slices() {
    let mut attr = std::mem::MaybeUninit::<libc::sched_attr>::zeroed();
    let size = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: thread 0 is the caller; the kernel writes at most `size` bytes, for all of which zero is a value.
    let status = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attr.as_mut_ptr(), size, 0) };
    // SAFETY: zeroed above, which is a value of every field.
    let mut attr = unsafe { attr.assume_init() };
    if status != 0 || attr.sched_policy != libc::SCHED_OTHER as u32 {
        return;
    }
    attr.sched_runtime = SHORTEST_SLICE_NS;
    // SAFETY: thread 0 is the caller; the kernel reads the structure, which says how long it is.
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attr, 0) };
}

/// Tells the kernel that the calling thread works in the background: it does not take a CPU from another when it wakes.
pub fn yield_to_others_on_wakeup() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: thread 0 is the caller; the kernel reads the parameters. A kernel that refuses leaves the thread as it was.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &parameters) };
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_has_its_name_as_far_as_the_kernel_keeps_it() {
        for (name, kept) in [("worker", "worker"), ("a name of 18 bytes", "a name of 18 by")] {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(super::name);
            assert_eq!(thread.expect("a thread").join().expect("no panic"), kept);
        }
    }

    #[test]
    fn a_thread_knows_itself() {
        let (send, receive) = crossbeam::channel::bounded(1);
        let (tell, told) = crossbeam::channel::bounded(1);
        let thread = std::thread::spawn(move || {
            let own: std::thread::JoinHandle<()> = receive.recv().expect("it is sent");
            tell.send(super::is_current(&own)).expect("somebody listens");
        });
        assert!(!super::is_current(&thread));
        send.send(thread).expect("it listens");
        assert!(told.recv().expect("it tells"));
    }
}
