//! The flag that ends a replay early.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Shared by a replay and whoever may end it: another thread, or a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Ends the replay before its next call, at the latest 50 ms from now.
    pub fn set(&self) {
        // Relaxed: the flag is all that is communicated.
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the replay is to end.
    #[inline]
    pub fn is_set(&self) -> bool {
        // Relaxed: see `set`.
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler that sets it.
    pub fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}
