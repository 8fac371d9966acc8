//! Which objects leave first.
//!
//! A policy hears of every key as it is reserved, written, touched and removed, and names victims when the
//! eviction controller asks. It never deletes: what it named may be locked by the time, so it waits to hear
//! of the removal. One file per policy. Four are LMCache's, and give the victims, and the order, that LMCache's
//! give; three are ours:
//!
//! * [`lru`]: least recently used first. * [`arc`]: recency and frequency, balanced by what came back.
//! * [`isolated_lru`]: one LRU order per `cache_salt`. * [`noop`]: nothing, for an L1 that only buffers.
//! * [`fifo`]: oldest first. * [`sieve`]: oldest first, but what is used stays. * [`s3_fifo`]: what is used once
//!   goes soon.
//!
//! All of them keep their keys in `key_lists`: every event costs the same, however many keys are tracked. What a
//! call is to name, and what it has named, is in [`demand`].
//!
//! Two rules hold for all. Keys of one call are taken in reverse: a prompt's last chunk goes first, because
//! without the first chunk the others are of no use. And a ratio is of the tracked keys, unless the caller asks for
//! bytes ([`demand`]). A policy has no lock of its own: who owns it, an L1 or an adapter's order, calls it under one.

pub mod arc;
pub mod demand;
pub mod fifo;
pub mod isolated_lru;
mod key_lists;
pub mod lru;
pub mod noop;
pub mod s3_fifo;
pub mod sieve;

use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::{Compat, EvictionPolicyKind};

pub use demand::Demand;

/// The state of a cache tier's keys, and the choice of victims among them.
pub trait EvictionPolicy: Send + std::fmt::Debug {
    /// Keys for which a write was reserved. They count as present, so that an abandoned reservation goes
    /// like any other object.
    fn on_keys_reserved(&mut self, keys: &[&ObjectKey]) {
        self.on_keys_created(keys);
    }

    /// Keys that are readable from here on.
    fn on_keys_created(&mut self, keys: &[&ObjectKey]);

    /// Keys that somebody used. Those that are not tracked are passed over.
    fn on_keys_touched(&mut self, keys: &[&ObjectKey]);

    /// Keys that are gone.
    fn on_keys_removed(&mut self, keys: &[&ObjectKey]);

    /// The next victims among the keys that `is_evictable` lets through, first to go first, until `demand` is
    /// met or there are no more. `cache_salt` narrows the choice, and the keys that a ratio is taken of, to one tenant,
    /// for a policy that keeps tenants apart; the others ignore it.
    ///
    /// # Errors
    /// [`ErrorKind::Policy`](crate::error::ErrorKind::Policy) if the policy needs a `cache_salt` and got none.
    fn victims(
        &mut self,
        demand: Demand<'_>,
        cache_salt: Option<&str>,
        is_evictable: &dyn Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>>;

    /// How many keys could be victims, locked ones included.
    fn tracked_keys(&self) -> usize;

    /// A copy of the order, for tests and diagnostics.
    fn state(&self) -> PolicyState;
}

/// The order in which a policy holds its keys, the next to go first.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyState {
    /// See [`lru`].
    Lru {
        /// Least recently used first.
        order: Vec<ObjectKey>,
    },
    /// See [`arc`].
    Arc {
        /// Used once.
        t1: Vec<ObjectKey>,
        /// Used more than once.
        t2: Vec<ObjectKey>,
        /// Gone from `t1`.
        b1: Vec<ObjectKey>,
        /// Gone from `t2`.
        b2: Vec<ObjectKey>,
        /// The most keys that were ever present at once.
        capacity: usize,
        /// How many of them `t1` should have.
        target_t1_size: f64,
    },
    /// See [`isolated_lru`].
    IsolatedLru {
        /// Each `cache_salt` that has keys, with its keys, least recently used first.
        per_salt: Vec<(String, Vec<ObjectKey>)>,
    },
    /// See [`noop`].
    Noop,
    /// See [`fifo`].
    Fifo {
        /// Oldest first.
        order: Vec<ObjectKey>,
    },
    /// See [`s3_fifo`]. Each queue is oldest first, its keys with their uses as far as they are counted.
    S3Fifo {
        /// New ones.
        small: Vec<(ObjectKey, u8)>,
        /// Those that were used twice while they were new, or came back.
        main: Vec<(ObjectKey, u8)>,
        /// Gone from `small`.
        ghost: Vec<ObjectKey>,
        /// Named as victims, and still here.
        named: Vec<ObjectKey>,
        /// The most keys that were ever present at once.
        capacity: usize,
    },
    /// See [`sieve`].
    Sieve {
        /// Oldest first, each with whether it was used since the hand last came by.
        queue: Vec<(ObjectKey, bool)>,
        /// Whom the hand looks at next; nobody if it starts anew.
        hand: Option<ObjectKey>,
        /// Named as victims, and still here.
        named: Vec<ObjectKey>,
    },
}

/// A policy that has seen no key. `compat` says whose behaviour it shows where LMCache's is a known defect, which
/// is in [`isolated_lru`] only.
pub fn create(kind: EvictionPolicyKind, compat: Compat) -> Box<dyn EvictionPolicy> {
    match kind {
        EvictionPolicyKind::Lru => Box::<lru::LruPolicy>::default(),
        EvictionPolicyKind::Arc => Box::<arc::ArcPolicy>::default(),
        EvictionPolicyKind::IsolatedLru => Box::new(isolated_lru::IsolatedLruPolicy::new(compat)),
        EvictionPolicyKind::Noop => Box::<noop::NoopPolicy>::default(),
        EvictionPolicyKind::Fifo => Box::<fifo::FifoPolicy>::default(),
        EvictionPolicyKind::S3Fifo => Box::<s3_fifo::S3FifoPolicy>::default(),
        EvictionPolicyKind::Sieve => Box::<sieve::SievePolicy>::default(),
    }
}
