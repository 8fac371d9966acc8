//! Memory of the host that a device is told of.
//!
//! A driver copies memory that it knows at full speed and without a thread that waits, and a kernel can read it where it lies. What
//! tells it is a [`PageRegistrar`]; who owns the memory does not know which. The owner keeps the [`Registration`] and drops it
//! before it unmaps the pages.

use std::fmt;
use std::ptr::NonNull;

use crate::error::Result;

/// What a registration makes of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationKind {
    /// They stay where they are, and no device knows of them.
    Locked,
    /// The driver of a device knows them: copies from and to them are asynchronous, and kernels may use them.
    Registered,
}

/// What makes pages of the host fit for a device.
pub trait PageRegistrar: fmt::Debug + Send + Sync {
    /// What it makes of them.
    fn kind(&self) -> RegistrationKind;

    /// Registers the pages that hold the `len_bytes` at `base`, which are mapped, and which no other registration of this registrar
    /// holds. They stay mapped until the [`Registration`] is dropped. It can take some tens of milliseconds for 64 MiB, since pages
    /// that were not there are brought in.
    ///
    /// # Errors
    /// If the kernel or the driver refuses. The memory is then as it was, and works as any other.
    fn register(&self, base: NonNull<u8>, len_bytes: usize) -> Result<Registration>;
}

/// Pages that are registered until this is dropped. It may be dropped by any thread, and after the device was lost.
#[must_use = "dropping it undoes the registration"]
pub struct Registration(Option<Undo>);

type Undo = Box<dyn FnOnce() + Send + Sync>;

impl Registration {
    /// A registration that `undo` undoes. There is nobody to tell if it fails, so it must not panic.
    pub fn new(undo: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(undo)))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(undo) = self.0.take() {
            undo();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registration")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Arc;
    use crate::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_registration_is_undone_once_when_it_is_dropped_by_whatever_thread() {
        let undone = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&undone);
        let registration = Registration::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(undone.load(Ordering::Relaxed), 0);
        std::thread::spawn(move || drop(registration)).join().unwrap();
        assert_eq!(undone.load(Ordering::Relaxed), 1);
    }
}
