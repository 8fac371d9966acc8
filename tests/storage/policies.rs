//! What every eviction policy keeps to, and what tells them apart.

use std::collections::HashSet;

use lmcache::error::ErrorKind;
use lmcache::format::model::ObjectKey;
use lmcache::storage::config::EvictionPolicyKind;
use lmcache::storage::eviction::{self, EvictionPolicy, PolicyState};

use crate::support::{keys, salted_key};

fn refs(keys: &[ObjectKey]) -> Vec<&ObjectKey> {
    keys.iter().collect()
}

fn victims(policy: &mut dyn EvictionPolicy, ratio: f64) -> Vec<ObjectKey> {
    policy.victims(ratio, Some(""), &|_| true).unwrap()
}

/// The rules that hold for every policy; each test is run on each of them.
macro_rules! conformance {
    ($($name:ident: $kind:expr;)*) => {$(
        mod $name {
            use super::*;

            #[test]
            fn what_is_removed_is_never_a_victim() {
                let (mut policy, keys) = (eviction::create($kind), keys(0, 20));
                policy.on_keys_reserved(&refs(&keys));
                policy.on_keys_created(&refs(&keys[..15]));
                policy.on_keys_touched(&refs(&keys[3..6]));
                policy.on_keys_removed(&refs(&keys[4..18]));
                let left: HashSet<_> = keys[..4].iter().chain(&keys[18..]).cloned().collect();
                let victims = victims(&mut *policy, 1.0);
                assert_eq!(policy.tracked_keys(), victims.len());
                assert!(victims.len() == left.len() || $kind == EvictionPolicyKind::Noop);
                assert!(victims.iter().all(|victim| left.contains(victim)));
            }

            #[test]
            fn victims_are_distinct_evictable_and_no_more_than_asked_for() {
                let (mut policy, keys) = (eviction::create($kind), keys(0, 40));
                policy.on_keys_created(&refs(&keys));
                policy.on_keys_touched(&refs(&keys[..9]));
                let locked: HashSet<_> = keys.iter().step_by(3).collect();
                for (ratio, most) in [(0.5, 20), (2.0, 40), (0.001, 1), (0.0, 0), (-1.0, 0)] {
                    let victims = policy.victims(ratio, Some(""), &|key| !locked.contains(key)).unwrap();
                    let distinct: HashSet<_> = victims.iter().collect();
                    assert!(victims.len() <= most && distinct.len() == victims.len());
                    assert!(distinct.is_disjoint(&locked));
                }
            }

            #[test]
            fn strangers_are_passed_over() {
                let (mut policy, keys) = (eviction::create($kind), keys(0, 3));
                policy.on_keys_touched(&refs(&keys));
                policy.on_keys_removed(&refs(&keys));
                assert_eq!(policy.tracked_keys(), 0);
                assert!(victims(&mut *policy, 1.0).is_empty());
            }

            #[test]
            fn choosing_victims_does_not_remove_them() {
                let (mut policy, keys) = (eviction::create($kind), keys(0, 10));
                policy.on_keys_created(&refs(&keys));
                let tracked = policy.tracked_keys();
                assert_eq!(victims(&mut *policy, 0.3), victims(&mut *policy, 0.3));
                assert_eq!(policy.tracked_keys(), tracked);
            }

            #[test]
            fn nodes_are_used_again() {
                let mut policy = eviction::create($kind);
                for round in 0..50 {
                    let keys = keys(round * 7, 7);
                    policy.on_keys_reserved(&refs(&keys));
                    policy.on_keys_created(&refs(&keys));
                    policy.on_keys_removed(&refs(&keys));
                    assert_eq!(policy.tracked_keys(), 0);
                }
            }
        }
    )*};
}

conformance! {
    lru: EvictionPolicyKind::Lru;
    arc: EvictionPolicyKind::Arc;
    isolated_lru: EvictionPolicyKind::IsolatedLru;
    noop: EvictionPolicyKind::Noop;
}

#[test]
fn the_last_chunk_of_a_prompt_goes_first() {
    for kind in [EvictionPolicyKind::Lru, EvictionPolicyKind::Arc, EvictionPolicyKind::IsolatedLru] {
        let (mut policy, keys) = (eviction::create(kind), keys(0, 4));
        policy.on_keys_created(&refs(&keys));
        assert_eq!(victims(&mut *policy, 0.5), [keys[3].clone(), keys[2].clone()], "{kind}");
    }
}

#[test]
fn arc_learns_from_what_comes_back() {
    let (mut policy, keys) = (eviction::create(EvictionPolicyKind::Arc), keys(0, 4));
    policy.on_keys_created(&refs(&keys));
    policy.on_keys_touched(&[&keys[0]]);
    let gone = victims(&mut *policy, 0.25);
    assert_eq!(gone, [keys[3].clone()]);
    policy.on_keys_removed(&refs(&gone));
    policy.on_keys_created(&refs(&gone));
    let PolicyState::Arc { t1, t2, b1, b2, capacity, target_t1_size } = policy.state() else {
        panic!("the state of ARC");
    };
    assert_eq!(t1, [keys[2].clone(), keys[1].clone()]);
    assert_eq!(t2, [keys[0].clone(), keys[3].clone()]);
    assert!(b1.is_empty() && b2.is_empty());
    assert_eq!((capacity, target_t1_size), (4, 1.0));
}

#[test]
fn isolated_lru_evicts_one_tenant_and_refuses_to_evict_all() {
    let mut policy = eviction::create(EvictionPolicyKind::IsolatedLru);
    let tenants = [salted_key(1, "a"), salted_key(1, "b"), salted_key(2, "a")];
    policy.on_keys_created(&refs(&tenants));
    assert_eq!(policy.victims(1.0, Some("b"), &|_| true).unwrap(), [tenants[1].clone()]);
    assert_eq!(policy.victims(1.0, Some("c"), &|_| true).unwrap(), []);
    let error = policy.victims(1.0, None, &|_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Policy);
}
