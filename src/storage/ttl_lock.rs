//! LMCache's `TTLLock`: a count of holders that is forgotten when nobody has taken the lock for a while.
//!
//! The rules are LMCache's, with what follows from them: every lock prolongs the lock of all holders; nothing
//! happens at the moment of expiry; and after it, the first new holder starts the count again at one, so that
//! a holder from before who then unlocks takes away the lock of the new one.

use crate::clock::NS_PER_S;

/// The most read locks that one call takes or releases on a key (`MAX_READ_LOCK_COUNT`).
pub const MAX_READ_LOCK_COUNT: u32 = 128;

/// A caller's count of read locks as LMCache takes it: below 1 is 1, above [`MAX_READ_LOCK_COUNT`] is that.
pub fn clamp_read_locks(read_locks: i64) -> u32 {
    read_locks.clamp(1, i64::from(MAX_READ_LOCK_COUNT)) as u32
}

/// Nanoseconds of a time to live given in seconds. A negative one is zero: such a lock is never held.
pub fn ttl_ns(ttl_seconds: i64) -> u64 {
    u64::try_from(ttl_seconds).unwrap_or(0).saturating_mul(NS_PER_S)
}

/// A lock with holders and an expiry. Who keeps it brings the time, once per call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TtlLock {
    holders: u32,
    expires_ns: u64,
}

impl TtlLock {
    /// Takes the lock `count` times at `now_ns`, for `ttl_ns` from then on.
    pub fn lock(&mut self, count: u32, now_ns: u64, ttl_ns: u64) {
        let forgotten = now_ns >= self.expires_ns;
        self.holders = if forgotten { count } else { self.holders.saturating_add(count) };
        self.expires_ns = now_ns.saturating_add(ttl_ns);
    }

    /// Releases the lock `count` times, never below zero, expired or not.
    pub fn unlock(&mut self, count: u32) {
        self.holders = self.holders.saturating_sub(count);
    }

    /// Whether anybody holds the lock at `now_ns`.
    pub fn is_locked(&self, now_ns: u64) -> bool {
        self.holders > 0 && now_ns < self.expires_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lock_prolongs_all_and_expiry_forgets_all() {
        let mut lock = TtlLock::default();
        lock.lock(2, 0, 10);
        lock.lock(1, 9, 10);
        assert!(lock.is_locked(18));
        assert!(!lock.is_locked(19));
        lock.unlock(1);
        lock.lock(1, 19, 10);
        lock.unlock(1);
        assert!(!lock.is_locked(20), "the holder from before expiry released the new holder's lock");
        lock.unlock(5);
        lock.lock(1, 20, 10);
        assert!(lock.is_locked(20));
    }

    #[test]
    fn a_lock_without_a_time_to_live_is_never_held() {
        let mut lock = TtlLock::default();
        lock.lock(3, 7, ttl_ns(0));
        assert!(!lock.is_locked(7));
        assert_eq!((ttl_ns(-1), ttl_ns(2), ttl_ns(i64::MAX)), (0, 2_000_000_000, u64::MAX));
    }

    #[test]
    fn counts_are_clamped_at_both_ends() {
        let clamped = [i64::MIN, 0, 1, 128, 129, i64::MAX].map(clamp_read_locks);
        assert_eq!(clamped, [1, 1, 1, 128, 128, 128]);
    }
}
