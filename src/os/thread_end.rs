//! The end of a thread, as late as the C library tells of it.

use std::ffi::c_void;

use crate::sync::atomic::{AtomicU64, Ordering};

/// Set in the address that a thread has, when its destructors have been called once.
const HAS_BEEN_CALLED: usize = 1;

/// What is done at the end of threads that ask for it.
///
/// A thread that ends runs the destructors of its thread-locals, and then, round after round, those that hosts gave to
/// `pthread_key_create`. This is done in the second round: whatever a host does in the first comes before.
#[repr(align(8))]
#[derive(Debug)]
pub struct ThreadEnd {
    then: fn(),
    /// The number of the key and 1, or 0. No lock, which a child of `fork` could find locked.
    key: AtomicU64,
}

impl ThreadEnd {
    /// Has `then` be called on the thread that ends. It must not panic.
    pub const fn new(then: fn()) -> Self {
        Self { then, key: AtomicU64::new(0) }
    }

    /// Has it be done at the end of the calling thread. False if it cannot be: the system has only so many keys.
    pub fn watch(&'static self) -> bool {
        self.set(std::ptr::from_ref(self).expose_provenance())
    }

    fn set(&self, value: usize) -> bool {
        let Some(key) = self.key() else { return false };
        // SAFETY: the key is one, and is never deleted; the value is looked at by `end` alone.
        unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(value)) == 0 }
    }

    fn key(&self) -> Option<libc::pthread_key_t> {
        // Relaxed, here and below: the number is all there is.
        match self.key.load(Ordering::Relaxed) {
            0 => self.make_key(),
            key => Some((key - 1) as libc::pthread_key_t),
        }
    }

    #[cold]
    fn make_key(&self) -> Option<libc::pthread_key_t> {
        let mut key = 0;
        // SAFETY: the key is written to room for one; the function stays as long as the library, which cannot be unloaded.
        if unsafe { libc::pthread_key_create(&mut key, Some(end)) } != 0 {
            return None;
        }
        match self.key.compare_exchange(0, u64::from(key) + 1, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Some(key),
            Err(others) => {
                // SAFETY: nobody has a value under it: another thread was first.
                unsafe { libc::pthread_key_delete(key) };
                Some((others - 1) as libc::pthread_key_t)
            }
        }
    }
}

extern "C" fn end(value: *mut c_void) {
    let address = value.addr() & !HAS_BEEN_CALLED;
    // SAFETY: `watch` put the address of one there, which stays for ever.
    let end = unsafe { &*std::ptr::with_exposed_provenance::<ThreadEnd>(address) };
    let is_first = value.addr() & HAS_BEEN_CALLED == 0;
    if !(is_first && end.set(address | HAS_BEEN_CALLED)) {
        (end.then)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::atomic::AtomicU32;

    static ENDS: AtomicU32 = AtomicU32::new(0);
    static WATCH: ThreadEnd = ThreadEnd::new(|| {
        ENDS.fetch_add(1, Ordering::Relaxed);
    });

    /// Of a host: looks whether the end has come, and is called in one round only.
    extern "C" fn hosts_own(_: *mut c_void) {
        assert_eq!(ENDS.load(Ordering::Relaxed), 0, "before the host's destructors");
    }

    #[test]
    fn the_end_comes_once_and_after_the_destructors_of_hosts() {
        let mut keys = [0; 2];
        let mut make = |place: usize| {
            // SAFETY: the key is written to room for one.
            let made = unsafe { libc::pthread_key_create(&mut keys[place], Some(hosts_own)) };
            assert_eq!(made, 0);
        };
        // One with a smaller number, one with a larger: they are gone through in order.
        make(0);
        assert!(WATCH.key().is_some());
        make(1);
        let thread = std::thread::spawn(move || {
            for key in keys {
                // SAFETY: the key was made above.
                assert_eq!(unsafe { libc::pthread_setspecific(key, std::ptr::without_provenance(1)) }, 0);
            }
            assert!(WATCH.watch() && WATCH.watch());
        });
        thread.join().expect("no panic");
        assert_eq!(ENDS.load(Ordering::Relaxed), 1);
    }
}
