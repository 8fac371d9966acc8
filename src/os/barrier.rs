//! A barrier that costs nothing where it is passed often, and a system call where it is passed seldom.
//!
//! Two threads that each store and then load must not both miss the other's store. A full fence on both sides forbids it, and
//! costs each of them some twenty cycles. With `membarrier(2)` the rare side makes every other thread of the process pass a full
//! fence wherever it is, so that the frequent side only has to keep its compiler from swapping store and load.

use crate::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

const UNKNOWN: u8 = 0;
const EXPEDITED: u8 = 1;
const FENCES: u8 = 2;

/// `MEMBARRIER_CMD_PRIVATE_EXPEDITED` and its registration, Linux 4.14.
const CMD_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const CMD_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

/// Which way both sides go. It never changes once it is known, and it is known before anything is published that a barrier guards.
static WAY: AtomicU8 = AtomicU8::new(UNKNOWN);

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes numbers and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Chooses the way; to be called before the first [`light`] that has a partner.
pub fn prepare() {
    // Relaxed: threads that see the choice late have nothing to guard yet; see `WAY`.
    if WAY.load(Ordering::Relaxed) == UNKNOWN {
        let way = if membarrier(CMD_REGISTER_PRIVATE_EXPEDITED) { EXPEDITED } else { FENCES };
        WAY.store(way, Ordering::Release);
    }
}

/// The frequent side, between its store and its load.
#[inline(always)]
pub fn light() {
    // Relaxed: whoever was handed what the barrier guards has seen the choice with it.
    if WAY.load(Ordering::Relaxed) == EXPEDITED {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The rare side, between its store and its load. False if the kernel refuses what it has granted before, as it does once a filter
/// of system calls forbids it: then this thread has passed a fence, and others may not have.
#[must_use = "without it nobody can be sure of what it guards"]
pub fn heavy() -> bool {
    fence(Ordering::SeqCst);
    // Relaxed: see `light`.
    if WAY.load(Ordering::Relaxed) != EXPEDITED {
        return true;
    }
    // A child of `fork` may have to ask anew.
    membarrier(CMD_PRIVATE_EXPEDITED)
        || (membarrier(CMD_REGISTER_PRIVATE_EXPEDITED) && membarrier(CMD_PRIVATE_EXPEDITED))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicBool, AtomicU64};

    /// Store, barrier, load on both sides, many times: they never both miss the other's store.
    #[test]
    fn two_sides_never_both_miss_the_other() {
        const ROUNDS: u64 = 20_000;
        // On a busy machine two threads meet seldom.
        const AT_MOST_NS: u64 = 5_000_000_000;
        prepare();
        let (often, seldom, lost) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let met = AtomicU64::new(0);
        // Both have come so many times.
        let meet = |times: u64| {
            met.fetch_add(1, Ordering::SeqCst);
            while met.load(Ordering::SeqCst) < 2 * times {
                std::thread::yield_now();
            }
        };
        let (seen_by_seldom, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
        let end_ns = crate::os::time::monotonic_ns() + AT_MOST_NS;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    meet(2 * round - 1);
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    often.store(round, Ordering::Relaxed);
                    light();
                    let seen = seldom.load(Ordering::Relaxed);
                    meet(2 * round);
                    let is_missed = seen != round && seen_by_seldom.load(Ordering::Relaxed) != round;
                    lost.fetch_add(u64::from(is_missed), Ordering::Relaxed);
                }
            });
            for round in 1..=ROUNDS {
                is_over.store(crate::os::time::monotonic_ns() > end_ns, Ordering::SeqCst);
                meet(2 * round - 1);
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                seldom.store(round, Ordering::Relaxed);
                assert!(heavy());
                seen_by_seldom.store(often.load(Ordering::Relaxed), Ordering::Relaxed);
                meet(2 * round);
            }
        });
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }
}
