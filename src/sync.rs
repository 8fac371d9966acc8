//! The only door to shared-memory primitives.
//!
//! The rest of the crate takes atomics, locks and reference counts from here, so that a model checker can
//! stand in for them and a reader knows where to look. The test `house` shuts the other doors.
//!
//! Locks are std's. A poisoned lock means that a thread of ours panicked while it held the lock; the state
//! behind it may be half changed, so [`lock`] lets the panic go on instead of guessing.
//!
//! Under `--cfg loom` the atomics are loom's, for the test `loom`, which takes in the files that it checks, and has
//! loom's locks too. The rest of the crate compiles with the atomics and runs nowhere.

#[cfg(all(loom, test))]
pub use loom::sync::{Condvar, Mutex, MutexGuard};
pub use std::sync::{Arc, OnceLock};
#[cfg(not(all(loom, test)))]
pub use std::sync::{Condvar, Mutex, MutexGuard};

/// Atomic types and orderings.
pub mod atomic {
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(loom))]
    pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
    // For `os::barrier`, which no model knows.
    pub use std::sync::atomic::{AtomicU8, compiler_fence, fence};
}

/// Takes `mutex` if nobody has it. Whoever meets a poisoned one by [`lock`] panics; here it is one that is not to be had.
#[cfg(not(all(loom, test)))]
#[inline]
pub fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    mutex.try_lock().ok()
}

/// Takes `mutex`, or panics if a thread of ours panicked while it held it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(_) => panic!("a thread panicked while it held this lock; its state cannot be trusted"),
    }
}
