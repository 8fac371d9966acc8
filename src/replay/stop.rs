//! The flag that ends a replay early.

use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Shared by a replay and whoever may end it: another thread, or a signal handler.
#[derive(Clone, Debug, Default)]
pub struct StopFlag {
    own: Arc<AtomicBool>,
    /// That of what this is a part of.
    outer: Option<Arc<StopFlag>>,
}

impl StopFlag {
    /// Ends the replay before its next call, at the latest 50 ms from now.
    pub fn set(&self) {
        // Relaxed: the flag is all that is communicated.
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether the replay is to end.
    #[inline]
    pub fn is_set(&self) -> bool {
        // Relaxed: see `set`.
        self.own.load(Ordering::Relaxed) || self.outer.as_ref().is_some_and(|outer| outer.is_set())
    }

    /// A flag for a part of what this one ends: it is set where this one is, and can be set without it.
    pub fn of_part(&self) -> Self {
        Self { own: Arc::default(), outer: Some(Arc::new(self.clone())) }
    }

    /// The flag itself, for a signal handler that sets it.
    pub fn shared(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_the_whole_ends_its_parts_and_not_the_other_way() {
        let whole = StopFlag::default();
        let part = whole.of_part();
        let part_of_it = part.of_part();
        part.set();
        assert!(!whole.is_set() && part.is_set() && part_of_it.is_set());
        let other = whole.of_part().of_part();
        assert!(!other.is_set());
        whole.set();
        assert!(other.is_set());
    }
}
