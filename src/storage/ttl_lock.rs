//! Locks whose holders may never come back: a count of holders that is forgotten when nobody has taken the lock for
//! a while.
//!
//! LMCache's `TTLLock` has one count. Every lock prolongs the lock of all holders; nothing happens at the moment of
//! expiry; and after it, the first new holder starts the count again at one. Two defects follow. A holder from before
//! expiry who then unlocks takes away the lock of the new one. And a holder who is gone for good keeps the lock alive
//! for as long as others take it. Both are reproduced under [`Compat::Lmcache`].
//!
//! Ours ([`Compat::Native`]) keeps two generations of holders apart. A generation is what took the lock within one
//! time to live of its first holder; what comes later is the next one, and prolongs only itself:
//!
//! ```text
//!   begun            begun + ttl
//!     |--- generation ---|........... older: counts until its last lock runs out, and takes the releases of its
//!                        |--- generation ---     late holders for one time to live more; then it is forgotten
//! ```
//!
//! A release does not say whose it is. It is taken for one of the older generation first, so a late holder never
//! takes away a newer one's lock. If that was wrong, the newer generation counts one too many; it is noted as
//! doubtful, and what is doubtful takes no releases when its generation has become the older one. So a holder who is
//! gone for good is forgotten one time to live after his own.

use crate::clock::NS_PER_S;
use crate::storage::config::Compat;

/// The most read locks that one call takes or releases on a key in LMCache (`MAX_READ_LOCK_COUNT`).
pub const MAX_READ_LOCK_COUNT: u32 = 128;

/// A caller's count of read locks: below 1 is 1. LMCache takes what is above [`MAX_READ_LOCK_COUNT`] for that, so that
/// further readers go unprotected; ours counts them all.
pub fn read_lock_count(read_locks: i64, compat: Compat) -> u32 {
    let most = match compat {
        Compat::Lmcache => MAX_READ_LOCK_COUNT,
        Compat::Native => u32::MAX,
    };
    read_locks.clamp(1, i64::from(most)) as u32
}

/// Nanoseconds of a time to live given in seconds. A negative one is zero: such a lock is never held.
pub fn ttl_ns(ttl_seconds: i64) -> u64 {
    u64::try_from(ttl_seconds).unwrap_or(0).saturating_mul(NS_PER_S)
}

/// A lock with holders and an expiry. Who keeps it brings the time, once per call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TtlLock {
    holders: u32,
    /// How many of them may have released the lock already, in the name of an older holder.
    doubtful: u32,
    /// When the first of them came.
    begun_ns: u64,
    expires_ns: u64,
    /// Holders of the generation before. Mostly there are none.
    older: Option<Box<Older>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Older {
    holders: u32,
    doubtful: u32,
    expires_ns: u64,
}

impl TtlLock {
    /// Takes the lock `count` times at `now_ns`, for `ttl_ns` from then on.
    #[inline]
    pub fn lock(&mut self, count: u32, now_ns: u64, ttl_ns: u64, compat: Compat) {
        if self.older.is_some() {
            self.forget_older(now_ns, ttl_ns);
        }
        let starts_anew = match compat {
            Compat::Lmcache => now_ns >= self.expires_ns,
            Compat::Native => self.holders == 0 || now_ns >= self.begun_ns.saturating_add(ttl_ns),
        };
        if starts_anew {
            if compat == Compat::Native && self.holders > 0 {
                let Self { holders, doubtful, expires_ns, .. } = *self;
                self.older = Some(Box::new(Older { holders, doubtful, expires_ns }));
            }
            (self.holders, self.doubtful, self.begun_ns) = (count, 0, now_ns);
        } else {
            self.holders = self.holders.saturating_add(count);
        }
        self.expires_ns = now_ns.saturating_add(ttl_ns);
    }

    fn forget_older(&mut self, now_ns: u64, ttl_ns: u64) {
        if self.older.as_ref().is_some_and(|older| now_ns >= older.expires_ns.saturating_add(ttl_ns)) {
            self.older = None;
        }
    }

    /// Releases the lock `count` times, never below zero, expired or not.
    #[inline]
    pub fn unlock(&mut self, count: u32) {
        if self.older.is_some() {
            return self.unlock_both(count);
        }
        self.holders = self.holders.saturating_sub(count);
        self.doubtful = self.doubtful.min(self.holders);
    }

    /// The older generation's own first, then this one's, then what was doubtful of the older one.
    fn unlock_both(&mut self, count: u32) {
        let Some(older) = &mut self.older else { return };
        let of_older = count.min(older.holders - older.doubtful);
        older.holders -= of_older;
        self.doubtful = self.doubtful.saturating_add(of_older);
        let of_this = (count - of_older).min(self.holders);
        self.holders -= of_this;
        self.doubtful = self.doubtful.min(self.holders);
        let of_doubtful = (count - of_older - of_this).min(older.holders);
        older.holders -= of_doubtful;
        older.doubtful = older.doubtful.min(older.holders);
        if older.holders == 0 {
            self.older = None;
        }
    }

    /// When the last holder's lock runs out, or ran out; 0 if nobody holds it.
    #[inline]
    pub fn live_until_ns(&self) -> u64 {
        if self.holders > 0 {
            return self.expires_ns;
        }
        self.older.as_ref().map_or(0, |older| older.expires_ns)
    }

    /// Whether anybody holds the lock at `now_ns`.
    #[inline]
    pub fn is_locked(&self, now_ns: u64) -> bool {
        now_ns < self.live_until_ns()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u64 = 10;

    fn lock_at(lock: &mut TtlLock, now_ns: u64) {
        lock.lock(1, now_ns, TTL, Compat::Native);
    }

    #[test]
    fn in_lmcache_every_lock_prolongs_all_and_expiry_forgets_all() {
        let mut lock = TtlLock::default();
        lock.lock(2, 0, TTL, Compat::Lmcache);
        lock.lock(1, 9, TTL, Compat::Lmcache);
        assert!(lock.is_locked(18));
        assert!(!lock.is_locked(19));
        lock.unlock(1);
        lock.lock(1, 19, TTL, Compat::Lmcache);
        lock.unlock(1);
        assert!(!lock.is_locked(20), "the holder from before expiry released the new holder's lock");
        lock.unlock(5);
        lock.lock(1, 20, TTL, Compat::Lmcache);
        assert!(lock.is_locked(20));
    }

    #[test]
    fn a_late_holder_does_not_take_away_a_newer_lock() {
        let mut lock = TtlLock::default();
        lock_at(&mut lock, 0);
        assert!(!lock.is_locked(TTL));
        lock_at(&mut lock, TTL);
        lock.unlock(1);
        assert!(lock.is_locked(2 * TTL - 1), "that was the late one's release");
        lock.unlock(1);
        assert!(!lock.is_locked(TTL));
    }

    #[test]
    fn a_holder_who_is_gone_for_good_is_forgotten_though_others_come_and_go() {
        let mut lock = TtlLock::default();
        lock_at(&mut lock, 0);
        let mut locked_until = 0;
        for now_ns in (5..200).step_by(5) {
            lock_at(&mut lock, now_ns);
            lock.unlock(1);
            if lock.is_locked(now_ns) {
                locked_until = now_ns;
            }
        }
        assert!((TTL..3 * TTL).contains(&locked_until), "{locked_until}");
    }

    #[test]
    fn a_new_holder_is_safe_for_his_whole_time_whatever_is_doubtful() {
        let mut lock = TtlLock::default();
        lock_at(&mut lock, 0);
        lock_at(&mut lock, 10);
        lock_at(&mut lock, 19);
        lock.unlock(1);
        lock_at(&mut lock, 20);
        lock.unlock(1);
        assert!(lock.is_locked(28), "one of those from 10 and 19 is left");
        lock.unlock(2);
        assert!(!lock.is_locked(28));
    }

    #[test]
    fn a_lock_without_a_time_to_live_is_never_held() {
        for compat in Compat::ALL {
            let mut lock = TtlLock::default();
            lock.lock(3, 7, ttl_ns(0), compat);
            assert!(!lock.is_locked(7));
        }
        assert_eq!((ttl_ns(-1), ttl_ns(2), ttl_ns(i64::MAX)), (0, 2_000_000_000, u64::MAX));
    }

    #[test]
    fn counts_end_at_128_in_lmcache_and_have_32_bits_here() {
        let counts = [i64::MIN, 0, 1, 128, 129, i64::MAX];
        assert_eq!(counts.map(|count| read_lock_count(count, Compat::Lmcache)), [1, 1, 1, 128, 128, 128]);
        assert_eq!(counts.map(|count| read_lock_count(count, Compat::Native)), [1, 1, 1, 128, 129, u32::MAX]);
    }
}
