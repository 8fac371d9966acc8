//! Gates of recorders as hosts see them: words that stay for as long as the process, since a host looks at them without asking.

use crate::ffi::handles::forks::ForkWatch;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

struct Gate {
    is_open: AtomicU32,
    /// The address of the one that was added before, or 0.
    next: AtomicUsize,
}

/// The address of the one that was added last. No lock: a child of `fork` shuts them all, and whoever looks for memory that was lost
/// finds them here.
static FIRST: AtomicUsize = AtomicUsize::new(0);

static FORKS: ForkWatch = ForkWatch::new();

/// A new gate, shut.
pub(in crate::ffi) fn add() -> &'static AtomicU32 {
    FORKS.watch(shut_all);
    let gate: &'static Gate =
        Box::leak(Box::new(Gate { is_open: AtomicU32::new(0), next: AtomicUsize::new(0) }));
    // Relaxed: the exchange decides.
    let mut first = FIRST.load(Ordering::Relaxed);
    loop {
        // Relaxed: published by the exchange.
        gate.next.store(first, Ordering::Relaxed);
        let address = std::ptr::from_ref(gate) as usize;
        // Release, with the acquire in `shut_all`.
        match FIRST.compare_exchange(first, address, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => return &gate.is_open,
            Err(other) => first = other,
        }
    }
}

/// In the child of a `fork`: nobody records there what its parent records.
extern "C" fn shut_all() {
    // Acquire, with the release in `add`.
    let mut next = FIRST.load(Ordering::Acquire);
    // SAFETY: the address is that of a leaked box, or 0.
    while let Some(gate) = unsafe { (next as *const Gate).as_ref() } {
        // Relaxed, both: a host looks at the gate alone, and `next` never changes any more.
        gate.is_open.store(0, Ordering::Relaxed);
        next = gate.next.load(Ordering::Relaxed);
    }
}
