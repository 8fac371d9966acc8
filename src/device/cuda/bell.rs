//! How the driver wakes the thread of a device: by a function of the host at the end of a transfer, which may call nothing of CUDA and must
//! not wait.
#![expect(unsafe_code, reason = "the driver passes an address back")]

use std::ffi::c_void;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, OnceLock, lock};

/// What a thread sleeps on.
#[derive(Debug, Default)]
pub(super) struct Bell {
    is_rung: Mutex<bool>,
    changed: Condvar,
}

/// A bell, for as long as a device has use for it. It is never freed, because the driver of a device that was lost may still ring it: it goes
/// to the next device, which looks up once for nothing.
#[derive(Debug)]
pub(super) struct LentBell(&'static Bell);

fn free_bells() -> &'static Mutex<Vec<&'static Bell>> {
    static FREE: OnceLock<Mutex<Vec<&'static Bell>>> = OnceLock::new();
    FREE.get_or_init(Mutex::default)
}

impl LentBell {
    pub(super) fn new() -> Self {
        let free = lock(free_bells()).pop();
        Self(free.unwrap_or_else(|| Box::leak(Box::default())))
    }

    pub(super) fn ring(&self) {
        self.0.ring();
    }

    /// Sleeps until it was rung since the last time, or for `longest`.
    pub(super) fn wait(&self, longest: Option<Duration>) {
        let is_rung = lock(&self.0.is_rung);
        let is_asleep = |is_rung: &mut bool| !*is_rung;
        let woken = match longest {
            Some(longest) => self
                .0
                .changed
                .wait_timeout_while(is_rung, longest, is_asleep)
                .map(|(is_rung, _)| is_rung)
                .ok(),
            None => self.0.changed.wait_while(is_rung, is_asleep).ok(),
        };
        if let Some(mut is_rung) = woken {
            *is_rung = false;
        }
    }

    /// What [`ring()`] takes.
    pub(super) fn data(&self) -> *mut c_void {
        std::ptr::from_ref(self.0).cast_mut().cast()
    }
}

impl Drop for LentBell {
    fn drop(&mut self) {
        lock(free_bells()).push(self.0);
    }
}

impl Bell {
    /// No panic comes out of it: its caller may be the driver.
    fn ring(&self) {
        if let Ok(mut is_rung) = self.is_rung.lock() {
            *is_rung = true;
        }
        self.changed.notify_one();
    }
}

/// The function for the driver.
///
/// # Safety
/// `data` is that of a bell.
pub(super) unsafe extern "C" fn ring(data: *mut c_void) {
    // SAFETY: as the caller promises; bells are never freed.
    let bell = unsafe { &*data.cast::<Bell>() };
    bell.ring();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_that_was_rung_before_wakes_once_and_a_late_ring_harms_nobody() {
        let bell = LentBell::new();
        let data = bell.data();
        bell.ring();
        bell.wait(None);
        bell.wait(Some(Duration::from_millis(1)));
        drop(bell);
        // SAFETY: the data of a bell.
        unsafe { ring(data) };
    }
}
