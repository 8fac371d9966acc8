//! Children of `fork`: they have the memory of their parent, and none of its threads but the one that forked. What those threads had
//! locked stays locked, what they were about to do is never done.

use std::marker::PhantomData;

use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Who has something that a child of this process must not inherit.
pub(in crate::ffi) struct ForkWatch(AtomicBool);

impl ForkWatch {
    pub(in crate::ffi) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Has `forget` called in children, before `fork` returns there: it stores, and does nothing that could wait. To be called before
    /// anything is made that they must not inherit.
    #[inline]
    pub(in crate::ffi) fn watch(&self, forget: extern "C" fn()) {
        // Relaxed, both: registering twice does no harm.
        if !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed) {
            crate::os::host::in_forked_children(forget);
        }
    }
}

/// A value of which a child has its own, made when it is first asked for.
pub(in crate::ffi) struct PerProcess<T: 'static> {
    /// The address of a leaked box, or 0.
    address: AtomicUsize,
    _value: PhantomData<&'static T>,
}

impl<T: Default + Sync + 'static> PerProcess<T> {
    pub(in crate::ffi) const fn new() -> Self {
        Self { address: AtomicUsize::new(0), _value: PhantomData }
    }

    pub(in crate::ffi) fn get(&self) -> &'static T {
        // Acquire, with the release below.
        match self.address.load(Ordering::Acquire) {
            0 => self.make(),
            // SAFETY: the address of a box that was leaked as such a value.
            address => unsafe { &*(address as *const T) },
        }
    }

    #[cold]
    fn make(&self) -> &'static T {
        let made = Box::into_raw(Box::<T>::default());
        // Release, with the acquire above and below: who sees the address sees the value.
        match self.address.compare_exchange(0, made as usize, Ordering::Release, Ordering::Acquire) {
            // SAFETY: leaked here.
            Ok(_) => unsafe { &*made },
            Err(others) => {
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: as in `get`.
                unsafe { &*(others as *const T) }
            }
        }
    }

    /// Whether `value` is the one of this process.
    pub(in crate::ffi) fn is(&self, value: &'static T) -> bool {
        // Relaxed: only compared.
        self.address.load(Ordering::Relaxed) == std::ptr::from_ref(value) as usize
    }

    /// In a child: the parent's is left alone.
    pub(in crate::ffi) fn forget(&self) {
        // Relaxed: there is no other thread.
        self.address.store(0, Ordering::Relaxed);
    }
}
