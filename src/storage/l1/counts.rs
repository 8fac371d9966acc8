//! How many objects a shard has of each kind, kept up as they change, so that a status looks at none of them.
//!
//! Locks expire without anybody noticing. So what is counted is who is held by somebody, and beside it when the first
//! of those locks can run out: before that moment the count is exact. After it, objects are looked at.

use super::slot::Object;

/// The objects of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) residents: u64,
    pub(super) staged: u64,
    pub(super) temporary: u64,
    /// Logical bytes of the staged objects.
    pub(super) staging_bytes: u64,
    /// Residents that are held.
    pub(super) held_residents: u64,
    /// Staged objects that are held.
    pub(super) held_staged: u64,
    /// No lock that is held runs out earlier.
    first_expiry_ns: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            residents: 0,
            staged: 0,
            temporary: 0,
            staging_bytes: 0,
            held_residents: 0,
            held_staged: 0,
            first_expiry_ns: u64::MAX,
        }
    }
}

impl Counts {
    /// One more object.
    #[inline]
    pub(super) fn add(&mut self, object: &Object) {
        let live_until_ns = object.live_until_ns();
        let held = u64::from(live_until_ns > 0);
        if object.is_resident() {
            self.residents += 1;
            self.held_residents += held;
        } else {
            self.staged += 1;
            self.staging_bytes += object.span.size_bytes;
            self.held_staged += held;
        }
        self.temporary += u64::from(object.is_temporary);
        if held > 0 {
            self.first_expiry_ns = self.first_expiry_ns.min(live_until_ns);
        }
    }

    /// One less; it is as it was when it was added.
    #[inline]
    pub(super) fn remove(&mut self, object: &Object) {
        let held = u64::from(object.live_until_ns() > 0);
        if object.is_resident() {
            self.residents -= 1;
            self.held_residents -= held;
        } else {
            self.staged -= 1;
            self.staging_bytes -= object.span.size_bytes;
            self.held_staged -= held;
        }
        self.temporary -= u64::from(object.is_temporary);
        if self.held_residents + self.held_staged == 0 {
            self.first_expiry_ns = u64::MAX;
        }
    }

    /// The locks of a resident object, which were live until a moment (0 if nobody held one), are so until another.
    #[inline]
    pub(super) fn move_resident(&mut self, from_ns: u64, to_ns: u64) {
        self.held_residents = self.held_residents - u64::from(from_ns > 0) + u64::from(to_ns > 0);
        if to_ns > 0 {
            self.first_expiry_ns = self.first_expiry_ns.min(to_ns);
        } else if self.held_residents + self.held_staged == 0 {
            self.first_expiry_ns = u64::MAX;
        }
    }

    /// Whether no lock that is counted as held has run out.
    pub(super) fn is_exact(&self, now_ns: u64) -> bool {
        now_ns < self.first_expiry_ns
    }

    pub(super) fn set_first_expiry(&mut self, first_expiry_ns: u64) {
        self.first_expiry_ns = first_expiry_ns;
    }

    /// Counts `objects`, of the held ones those whose lock is live; and when the first lock of all held ones runs out.
    pub(super) fn of_live<'a>(objects: impl Iterator<Item = &'a Object>, now_ns: u64) -> (Self, u64) {
        let mut counts = Self::default();
        let mut dead = (0, 0);
        for object in objects {
            counts.add(object);
            if object.live_until_ns() > 0 && !object.is_locked(now_ns) {
                let dead = if object.is_resident() { &mut dead.0 } else { &mut dead.1 };
                *dead += 1;
            }
        }
        let first_expiry_ns = counts.first_expiry_ns;
        counts.held_residents -= dead.0;
        counts.held_staged -= dead.1;
        (counts, first_expiry_ns)
    }

    /// Adds those of another shard.
    pub(super) fn add_all(&mut self, other: &Self) {
        self.residents += other.residents;
        self.staged += other.staged;
        self.temporary += other.temporary;
        self.staging_bytes += other.staging_bytes;
        self.held_residents += other.held_residents;
        self.held_staged += other.held_staged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::config::Compat;
    use crate::storage::l1::slot::ObjectStage;
    use crate::storage::memory::Span;
    use crate::storage::ttl_lock::TtlLock;

    #[test]
    fn locks_that_ran_out_are_found_and_the_others_are_not_looked_at() {
        let span = Span { offset_bytes: 0, phy_size_bytes: 1, size_bytes: 1 };
        let mut object = Object::new(span, ObjectStage::Resident, TtlLock::default(), false);
        let mut counts = Counts::default();
        counts.add(&object);
        assert!(counts.is_exact(u64::MAX - 1) && counts.held_residents == 0);
        counts.remove(&object);
        object.lock.lock(1, 0, 10, Compat::Native);
        counts.add(&object);
        assert!(counts.is_exact(9) && !counts.is_exact(10));
        assert_eq!(Counts::of_live([&object].into_iter(), 9).0.held_residents, 1);
        let (live, first_expiry_ns) = Counts::of_live([&object].into_iter(), 10);
        assert_eq!((live.held_residents, live.residents, first_expiry_ns), (0, 1, 10));
        counts.remove(&object);
        assert_eq!(counts, Counts::default());
    }
}
