//! Which objects leave first.
//!
//! A policy hears of every key as it is reserved, written, touched and removed, and names victims when the
//! eviction controller asks. It never deletes: what it named may be locked by the time, so it waits to hear
//! of the removal. One file per policy, each of which gives the victims, and the order, that LMCache's gives:
//!
//! * [`lru`]: least recently used first. * [`arc`]: recency and frequency, balanced by what came back.
//! * [`isolated_lru`]: one LRU order per `cache_salt`. * [`noop`]: nothing, for an L1 that only buffers.
//!
//! All of them keep their keys in [`key_lists`]: every event costs the same, however many keys are tracked.
//!
//! Two rules hold for all. Keys of one call are taken in reverse: a prompt's last chunk goes first, because
//! without the first chunk the others are of no use. And the ratio counts keys, not bytes. A policy is called
//! under the L1 manager's mutex and has no lock of its own.

pub mod arc;
pub mod isolated_lru;
mod key_lists;
pub mod lru;
pub mod noop;

use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::EvictionPolicyKind;

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

    /// The next victims among the keys that `is_evictable` lets through, first to go first: `ratio` of the
    /// tracked keys, rounded down, but at least one where `ratio` is above zero. `cache_salt` narrows the
    /// choice to one tenant, for a policy that keeps tenants apart; the others ignore it.
    ///
    /// # Errors
    /// [`ErrorKind::Policy`](crate::error::ErrorKind::Policy) if the policy needs a `cache_salt` and got none.
    fn victims(
        &mut self,
        ratio: f64,
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
}

/// A policy that has seen no key.
pub fn create(kind: EvictionPolicyKind) -> Box<dyn EvictionPolicy> {
    match kind {
        EvictionPolicyKind::Lru => Box::<lru::LruPolicy>::default(),
        EvictionPolicyKind::Arc => Box::<arc::ArcPolicy>::default(),
        EvictionPolicyKind::IsolatedLru => Box::<isolated_lru::IsolatedLruPolicy>::default(),
        EvictionPolicyKind::Noop => Box::<noop::NoopPolicy>::default(),
    }
}

/// How many of `tracked` keys one pass takes: LMCache's `int(n * ratio)`, at least one if the ratio is above
/// zero. The ratio counts as 0 below 0 and as 1 above 1.
fn victim_count(tracked: usize, ratio: f64) -> usize {
    let ratio = ratio.clamp(0.0, 1.0);
    let count = (tracked as f64 * ratio) as usize;
    if count == 0 && ratio > 0.0 { tracked.min(1) } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_takes_the_ratio_rounded_down_but_at_least_one() {
        let counts = [(10, 0.25), (10, 0.0), (10, -1.0), (10, 0.01), (0, 0.5), (10, 1.5), (10, f64::NAN)];
        assert_eq!(counts.map(|(tracked, ratio)| victim_count(tracked, ratio)), [2, 0, 0, 1, 0, 10, 0]);
    }
}
