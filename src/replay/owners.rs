//! Which L1 holds what a replay has open, where there are several.
//!
//! A trace does not say which L1 its calls mean, and with several of them the manager has to be told. So the L1 that
//! a key was reserved in is remembered until the key is finished, and the L1 that a prefetch locked it in until the
//! locks are released.
//!
//! A key that a trace never finishes, or never releases, is forgotten when its reservation or its lock has run out:
//! what is remembered is bounded by what the L1s can hold open.

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, L1ManagerConfig, StorageManagerConfig};
use crate::storage::ttl_lock::{read_lock_count, ttl_ns};
use crate::storage::{L1Error, L1ManagerId, L1Owners, WriteReservation};

/// So many keys are remembered before anybody looks which of them have run out.
const FIRST_SWEEP: usize = 1024;

/// The keys that are open in several L1s.
#[derive(Debug)]
pub(super) struct OpenKeys {
    writes: OwnerBook,
    reads: OwnerBook,
    /// Says how many locks a call takes at most.
    compat: Compat,
}

impl OpenKeys {
    /// Books for the L1s of `config`; none if there is only one, which needs no telling.
    pub(super) fn of(config: &StorageManagerConfig) -> Option<Self> {
        let of_each = |seconds: fn(&L1ManagerConfig) -> i64| {
            config.l1_managers.iter().map(|l1| ttl_ns(seconds(l1))).collect()
        };
        (config.l1_managers.len() > 1).then(|| Self {
            writes: OwnerBook::new(of_each(|l1| l1.write_ttl_seconds), 1),
            reads: OwnerBook::new(of_each(|l1| l1.read_ttl_seconds), u64::MAX),
            compat: config.compat,
        })
    }

    /// Some of `keys` were reserved.
    pub(super) fn reserved(&mut self, keys: &[ObjectKey], reservation: &WriteReservation, now_ns: u64) {
        for (position, (key, code)) in keys.iter().zip(reservation.codes().as_slice()).enumerate() {
            if *code == L1Error::Success {
                self.writes.open(key, reservation.owner(position), 1, now_ns);
            }
        }
    }

    /// `keys` are finished: returns them in their order, in groups by the L1 that they were reserved in. One that is not
    /// reserved anywhere goes to the first L1, which says so; one that is named again goes where it went before.
    pub(super) fn finished(&mut self, keys: &[ObjectKey], now_ns: u64) -> Vec<(L1ManagerId, Vec<ObjectKey>)> {
        let mut groups: Vec<(L1ManagerId, Vec<ObjectKey>)> = Vec::new();
        let mut owners: HashMap<&ObjectKey, L1ManagerId, foldhash::fast::RandomState> = HashMap::default();
        for key in keys {
            let before = owners.get(key).copied().unwrap_or(0);
            let owner = self.writes.close(key, 1, now_ns).unwrap_or(before);
            owners.insert(key, owner);
            match groups.last_mut() {
                Some((of_group, group)) if *of_group == owner => group.push(key.clone()),
                _ => groups.push((owner, vec![key.clone()])),
            }
        }
        groups
    }

    /// A prefetch took `read_locks` on each of `owners`.
    pub(super) fn locked(&mut self, owners: &[(ObjectKey, L1ManagerId)], read_locks: i64, now_ns: u64) {
        for (key, owner) in owners {
            self.reads.open(key, *owner, u64::from(read_lock_count(read_locks, self.compat)), now_ns);
        }
    }

    /// Whether all of `keys` are locked as far as is known.
    pub(super) fn are_locked(&self, keys: &[ObjectKey], now_ns: u64) -> bool {
        keys.iter().all(|key| self.reads.is_held(key, now_ns))
    }

    /// The L1 to read each of `keys` from; `place` says it of one that is not locked.
    pub(super) fn readers(
        &self,
        keys: &[ObjectKey],
        now_ns: u64,
        place: impl Fn(&ObjectKey) -> L1ManagerId,
    ) -> L1Owners {
        let owner = |key: &ObjectKey| self.reads.owner(key, now_ns).unwrap_or_else(|| place(key));
        keys.iter().map(|key| (key.clone(), owner(key))).collect()
    }

    /// `read_locks` were released on each of `keys`.
    pub(super) fn released<'a>(
        &mut self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        read_locks: i64,
        now_ns: u64,
    ) {
        for key in keys {
            self.reads.close(key, u64::from(read_lock_count(read_locks, self.compat)), now_ns);
        }
    }
}

/// Who holds a key, how often, and how long at most.
#[derive(Debug)]
struct Holding {
    owner: L1ManagerId,
    locks: u64,
    until_ns: u64,
}

/// The position of the oldest whose time is not over; 0 if it is over for all. A book has no key without holdings.
fn oldest(holdings: &[Holding], now_ns: u64) -> usize {
    holdings.iter().position(|holding| holding.until_ns > now_ns).unwrap_or(0)
}

#[derive(Debug)]
struct OwnerBook {
    /// A key can be open in more than one L1: the oldest comes first.
    open: HashMap<ObjectKey, SmallVec<[Holding; 1]>, foldhash::fast::RandomState>,
    /// The time to live in each L1.
    ttls_ns: Vec<u64>,
    /// How many locks an L1 has on a key at most.
    most_locks: u64,
    sweep_at: usize,
}

impl OwnerBook {
    fn new(ttls_ns: Vec<u64>, most_locks: u64) -> Self {
        Self { open: HashMap::default(), ttls_ns, most_locks, sweep_at: FIRST_SWEEP }
    }

    fn open(&mut self, key: &ObjectKey, owner: L1ManagerId, locks: u64, now_ns: u64) {
        self.sweep_if_full(now_ns);
        let until_ns = now_ns.saturating_add(self.ttls_ns.get(owner as usize).copied().unwrap_or(0));
        let holdings = self.open.entry(key.clone()).or_default();
        holdings.retain(|holding| holding.until_ns > now_ns);
        match holdings.iter_mut().find(|holding| holding.owner == owner) {
            Some(holding) => {
                holding.locks = holding.locks.saturating_add(locks).min(self.most_locks);
                holding.until_ns = until_ns;
            }
            None => holdings.push(Holding { owner, locks, until_ns }),
        }
    }

    /// Whether some L1 holds the key, and its time is not over.
    fn is_held(&self, key: &ObjectKey, now_ns: u64) -> bool {
        self.open.get(key).is_some_and(|holdings| holdings.iter().any(|holding| holding.until_ns > now_ns))
    }

    /// The L1 that has held the key for longest, of those whose time is not over; if it is over for all, of all of them.
    fn owner(&self, key: &ObjectKey, now_ns: u64) -> Option<L1ManagerId> {
        let holdings = self.open.get(key)?;
        Some(holdings[oldest(holdings, now_ns)].owner)
    }

    /// Takes locks off [that L1](Self::owner), and returns which one that is.
    fn close(&mut self, key: &ObjectKey, locks: u64, now_ns: u64) -> Option<L1ManagerId> {
        let holdings = self.open.get_mut(key)?;
        let position = oldest(holdings, now_ns);
        let holding = &mut holdings[position];
        let owner = holding.owner;
        holding.locks = holding.locks.saturating_sub(locks);
        holdings.retain(|holding| holding.locks > 0);
        if holdings.is_empty() {
            self.open.remove(key);
        }
        Some(owner)
    }

    /// Forgets what has run out, once the book has twice the keys that the last look left in it.
    fn sweep_if_full(&mut self, now_ns: u64) {
        if self.open.len() < self.sweep_at {
            return;
        }
        self.open.retain(|_, holdings| {
            holdings.retain(|holding| holding.until_ns > now_ns);
            !holdings.is_empty()
        });
        self.sweep_at = (self.open.len() * 2).max(FIRST_SWEEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::storage::config::EvictionPolicyKind;
    use crate::sync::Arc;

    const TTL_NS: u64 = 100;

    fn key(number: u32) -> ObjectKey {
        let scope = KeyScope::new("m", 0, 0, "").expect("a valid scope");
        ObjectKey::new(ChunkHash::new(&number.to_le_bytes()), Arc::new(scope))
    }

    #[test]
    fn the_oldest_holder_comes_first_until_its_locks_are_gone() {
        let mut book = OwnerBook::new(vec![TTL_NS; 3], u64::MAX);
        book.open(&key(1), 2, 2, 0);
        book.open(&key(1), 1, 1, 0);
        book.open(&key(1), 2, 1, 0);
        assert_eq!((book.owner(&key(1), 0), book.owner(&key(7), 0)), (Some(2), None));
        let closed = [1, 2, 1, 1].map(|locks| book.close(&key(1), locks, 0));
        assert_eq!(closed, [Some(2), Some(2), Some(1), None]);
        assert!(book.open.is_empty());
    }

    /// A writer that never finishes, and the next one in another L1.
    #[test]
    fn who_has_run_out_stands_in_nobodys_way() {
        let mut book = OwnerBook::new(vec![TTL_NS; 3], 1);
        book.open(&key(1), 1, 1, 0);
        book.open(&key(1), 0, 1, TTL_NS);
        assert_eq!((book.close(&key(1), 1, TTL_NS), book.open.len()), (Some(0), 0));
        // A reservation that its L1 gave away anew is one reservation.
        book.open(&key(1), 1, 1, 0);
        book.open(&key(1), 1, 1, TTL_NS - 1);
        book.close(&key(1), 1, TTL_NS);
        assert!(book.open.is_empty());
    }

    #[test]
    fn locks_are_counted_as_the_manager_does() {
        let mut config = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
        config.l1_managers.push(config.l1_managers[0].clone());
        for (compat, releases) in [(Compat::Native, 200), (Compat::Lmcache, 128)] {
            config.compat = compat;
            let mut open = OpenKeys::of(&config).expect("two L1s");
            open.locked(&[(key(1), 1)], 200, 0);
            let released = (0..1000).take_while(|_| {
                let is_locked = open.are_locked(&[key(1)], 1);
                open.released(&[key(1)], 1, 1);
                is_locked
            });
            assert_eq!(released.count(), releases, "{compat}");
        }
    }

    #[test]
    fn a_key_that_is_named_twice_is_finished_where_it_was_the_first_time() {
        let mut config = StorageManagerConfig::l1_only(1 << 20, EvictionPolicyKind::Lru);
        config.l1_managers.push(config.l1_managers[0].clone());
        let mut open = OpenKeys::of(&config).expect("two L1s");
        open.writes.open(&key(1), 1, 1, 0);
        let groups = open.finished(&[key(1), key(1), key(2)], 1);
        assert_eq!(groups, [(1, vec![key(1), key(1)]), (0, vec![key(2)])]);
    }

    /// A reader that never releases, and another one in an L1 that came later.
    #[test]
    fn who_still_holds_comes_before_who_has_run_out() {
        let mut book = OwnerBook::new(vec![2 * TTL_NS, TTL_NS], u64::MAX);
        book.open(&key(1), 1, 1, 0);
        book.open(&key(1), 0, 1, TTL_NS / 2);
        assert_eq!(book.owner(&key(1), TTL_NS - 1), Some(1));
        assert_eq!(book.owner(&key(1), TTL_NS), Some(0), "each L1 has a time to live of its own");
        assert_eq!(book.close(&key(1), 1, TTL_NS), Some(0));
        assert!(!book.is_held(&key(1), TTL_NS) && book.owner(&key(1), TTL_NS) == Some(1));
    }

    #[test]
    fn what_is_never_closed_is_forgotten_when_it_has_run_out() {
        let mut book = OwnerBook::new(vec![TTL_NS; 3], 1);
        let most = (0..100_000_u32)
            .map(|number| {
                book.open(&key(number), 0, 1, u64::from(number));
                book.open.len()
            })
            .max();
        assert_eq!(most, Some(FIRST_SWEEP));
    }
}
