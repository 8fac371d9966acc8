//! The rules that hold for every policy; each is tried on each of them.

use std::collections::HashSet;

use lmcache::format::model::ObjectKey;
use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction::Demand;

use crate::support::{Subject, key, keys, present, refs};

macro_rules! tried_by {
    ($subject:ident: $($rule:ident)*) => {$(
        #[test]
        fn $rule() {
            super::$rule(&$subject);
        }
    )*};
}

macro_rules! every_rule_for {
    ($($name:ident: $subject:expr;)*) => {
        const SUBJECTS: &[Subject] = &[$($subject),*];
        $(mod $name {
            use super::*;

            const SUBJECT: Subject = $subject;

            tried_by! { SUBJECT:
                what_is_removed_is_forgotten
                a_ratio_is_of_the_tracked_keys_and_spares_the_locked
                bytes_are_covered_and_no_more
                sizes_that_overflow_are_covered
                nothing_is_named_for_a_demand_of_nothing
                strangers_do_no_harm
                choosing_victims_does_not_remove_them
                what_was_named_may_stay
                the_last_chunk_of_a_prompt_goes_first
                the_same_calls_have_the_same_outcome
                the_state_lists_what_is_tracked
                places_are_used_again
            }
        })*
    };
}

every_rule_for! {
    lru: Subject::native(EvictionPolicyKind::Lru);
    arc: Subject::native(EvictionPolicyKind::Arc);
    isolated_lru_of_lmcache: Subject {
        kind: EvictionPolicyKind::IsolatedLru,
        compat: Compat::Lmcache,
        salt: Some(""),
    };
    isolated_lru: Subject::native(EvictionPolicyKind::IsolatedLru);
    noop: Subject::native(EvictionPolicyKind::Noop);
    fifo: Subject::native(EvictionPolicyKind::Fifo);
    s3_fifo: Subject::native(EvictionPolicyKind::S3Fifo);
    sieve: Subject::native(EvictionPolicyKind::Sieve);
}

#[test]
fn no_policy_is_left_out() {
    for kind in EvictionPolicyKind::ALL {
        assert!(SUBJECTS.iter().any(|subject| subject.kind == kind), "{kind}");
    }
}

fn what_is_removed_is_forgotten(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(20));
    policy.on_keys_reserved(&refs(&keys));
    policy.on_keys_created(&refs(&keys[..15]));
    policy.on_keys_touched(&refs(&keys[3..6]));
    policy.on_keys_removed(&refs(&keys[4..18]));
    let left: HashSet<_> = keys[..4].iter().chain(&keys[18..]).cloned().collect();
    let victims = policy.victims(Demand::Ratio(1.0), subject.salt, &|_| true).unwrap();
    assert_eq!(policy.tracked_keys(), victims.len());
    assert!(!subject.evicts() || HashSet::from_iter(victims.clone()) == left);
    policy.on_keys_removed(&refs(&victims));
    assert_eq!(policy.tracked_keys(), 0);
    assert_eq!(policy.victims(Demand::Ratio(1.0), subject.salt, &|_| true).unwrap(), []);
}

fn a_ratio_is_of_the_tracked_keys_and_spares_the_locked(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(40));
    policy.on_keys_created(&refs(&keys));
    policy.on_keys_touched(&refs(&keys[..9]));
    // 14 of 40.
    let locked: HashSet<_> = keys.iter().step_by(3).collect();
    let expected = [(0.24, 9), (0.25, 10), (0.65, 26), (0.7, 26), (2.0, 26), (0.001, 1), (1e-300, 1)];
    for (ratio, count) in expected {
        let victims =
            policy.victims(Demand::Ratio(ratio), subject.salt, &|key| !locked.contains(key)).unwrap();
        let distinct: HashSet<_> = victims.iter().collect();
        assert_eq!(distinct.len(), victims.len());
        assert!(distinct.is_disjoint(&locked));
        assert_eq!(victims.len(), if subject.evicts() { count } else { 0 }, "{ratio}");
    }
}

fn bytes_are_covered_and_no_more(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(10));
    policy.on_keys_created(&refs(&keys));
    policy.on_keys_touched(&refs(&keys[..2]));
    let size_of = |_: &ObjectKey| 100;
    for (needed, count) in [(1, 1), (99, 1), (100, 1), (101, 2), (900, 9), (901, 10), (1000, 10), (1001, 10)]
    {
        let demand = Demand::Bytes { needed, size_of: &size_of };
        let victims = policy.victims(demand, subject.salt, &|_| true).unwrap();
        assert_eq!(victims.len(), if subject.evicts() { count } else { 0 }, "{needed}");
    }
    // What is locked is not counted in.
    let demand = Demand::Bytes { needed: 300, size_of: &size_of };
    let victims = policy.victims(demand, subject.salt, &|key| *key != keys[9] && *key != keys[4]).unwrap();
    assert_eq!(victims.len(), if subject.evicts() { 3 } else { 0 });
    assert!(!victims.contains(&keys[9]) && !victims.contains(&keys[4]));
}

fn sizes_that_overflow_are_covered(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(3));
    policy.on_keys_created(&refs(&keys));
    for (size_bytes, count) in [(u64::MAX, 1), (u64::MAX - 1, 2), (0, 3)] {
        let demand = Demand::Bytes { needed: u64::MAX, size_of: &|_| size_bytes };
        let victims = policy.victims(demand, subject.salt, &|_| true).unwrap();
        assert_eq!(victims.len(), if subject.evicts() { count } else { 0 }, "{size_bytes}");
    }
}

fn nothing_is_named_for_a_demand_of_nothing(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(3));
    let nothing = Demand::Bytes { needed: 0, size_of: &|_| 1 };
    let everything = Demand::Bytes { needed: u64::MAX, size_of: &|_| 1 };
    // There are no keys.
    for demand in [nothing, everything, Demand::Ratio(0.0), Demand::Ratio(1.0)] {
        assert_eq!(policy.victims(demand, subject.salt, &|_| true).unwrap(), [], "{demand:?}");
    }
    policy.on_keys_created(&refs(&keys));
    policy.on_keys_touched(&refs(&keys));
    let before = policy.state();
    for demand in [nothing, Demand::Ratio(0.0), Demand::Ratio(-1.0), Demand::Ratio(f64::NAN)] {
        assert_eq!(policy.victims(demand, subject.salt, &|_| true).unwrap(), [], "{demand:?}");
    }
    assert_eq!(policy.state(), before);
    // None may go.
    assert_eq!(policy.victims(everything, subject.salt, &|_| false).unwrap(), []);
    assert_eq!(policy.tracked_keys(), if subject.evicts() { 3 } else { 0 });
}

fn strangers_do_no_harm(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(3));
    policy.on_keys_touched(&refs(&keys));
    policy.on_keys_removed(&refs(&keys));
    assert_eq!(policy.tracked_keys(), 0);
    assert_eq!(policy.victims(Demand::Ratio(1.0), subject.salt, &|_| true).unwrap(), []);
    policy.on_keys_created(&[&keys[0]]);
    policy.on_keys_touched(&refs(&keys[1..]));
    policy.on_keys_removed(&refs(&keys[1..]));
    // Written again, and twice in one call, a key is still one key.
    policy.on_keys_created(&[&keys[0], &keys[0]]);
    policy.on_keys_reserved(&[&keys[0], &keys[0]]);
    assert_eq!(policy.tracked_keys(), usize::from(subject.evicts()));
    policy.on_keys_removed(&[&keys[0], &keys[0]]);
    assert_eq!(policy.tracked_keys(), 0);
    policy.on_keys_reserved(&[]);
    policy.on_keys_created(&[]);
    policy.on_keys_touched(&[]);
    policy.on_keys_removed(&[]);
    assert_eq!(policy.tracked_keys(), 0);
}

fn choosing_victims_does_not_remove_them(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(10));
    policy.on_keys_created(&refs(&keys));
    policy.on_keys_touched(&refs(&keys[4..]));
    let tracked = policy.tracked_keys();
    let first = policy.victims(Demand::Ratio(0.7), subject.salt, &|_| true).unwrap();
    assert_eq!(policy.victims(Demand::Ratio(0.7), subject.salt, &|_| true).unwrap(), first);
    assert_eq!(policy.tracked_keys(), tracked);
}

fn what_was_named_may_stay(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(10));
    policy.on_keys_created(&refs(&keys));
    let named = policy.victims(Demand::Ratio(0.3), subject.salt, &|_| true).unwrap();
    // It was locked before it could be removed: others go in its place.
    let others = policy.victims(Demand::Ratio(0.3), subject.salt, &|key| !named.contains(key)).unwrap();
    assert_eq!(others.len(), named.len());
    assert!(others.iter().all(|key| !named.contains(key)));
    policy.on_keys_removed(&refs(&others));
    policy.on_keys_touched(&refs(&named));
    policy.on_keys_created(&refs(&named));
    assert_eq!(policy.tracked_keys(), if subject.evicts() { 7 } else { 0 });
    let all = policy.victims(Demand::Ratio(1.0), subject.salt, &|_| true).unwrap();
    assert_eq!(all.len(), policy.tracked_keys());
    assert!(named.iter().all(|key| all.contains(key)));
}

fn the_last_chunk_of_a_prompt_goes_first(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(4));
    policy.on_keys_reserved(&refs(&keys));
    policy.on_keys_created(&refs(&keys));
    let victims = policy.victims(Demand::Ratio(0.5), subject.salt, &|_| true).unwrap();
    let last_chunks = if subject.evicts() { vec![key(3), key(2)] } else { Vec::new() };
    assert_eq!(victims, last_chunks);
}

fn the_same_calls_have_the_same_outcome(subject: &Subject) {
    let keys = keys(100);
    let run = || {
        let (mut policy, mut outcomes) = (subject.create(), Vec::new());
        for round in 0..50 {
            let at = round * 37 % 90;
            policy.on_keys_reserved(&refs(&keys[at..at + 10]));
            policy.on_keys_created(&refs(&keys[at..at + 7]));
            policy.on_keys_touched(&refs(&keys[at / 2..at / 2 + 9]));
            let is_evictable = |key: &ObjectKey| *key != keys[at];
            let victims = policy.victims(Demand::Ratio(0.1), subject.salt, &is_evictable).unwrap();
            policy.on_keys_removed(&refs(&victims));
            outcomes.push((victims, policy.state()));
        }
        outcomes
    };
    assert_eq!(run(), run());
}

fn the_state_lists_what_is_tracked(subject: &Subject) {
    let (mut policy, keys) = (subject.create(), keys(60));
    for prompt in keys.chunks(6) {
        policy.on_keys_reserved(&refs(prompt));
        policy.on_keys_created(&refs(&prompt[..5]));
        policy.on_keys_touched(&refs(&prompt[2..4]));
        let victims = policy.victims(Demand::Ratio(0.2), subject.salt, &|_| true).unwrap();
        // One that was named is not removed.
        policy.on_keys_removed(&refs(&victims[..victims.len().saturating_sub(1)]));
        let present = present(policy.state());
        let distinct: HashSet<_> = present.iter().cloned().collect();
        assert_eq!((distinct.len(), present.len()), (policy.tracked_keys(), policy.tracked_keys()));
        let all = policy.victims(Demand::Ratio(1.0), subject.salt, &|_| true).unwrap();
        assert_eq!(HashSet::from_iter(all), distinct);
    }
}

fn places_are_used_again(subject: &Subject) {
    let mut policy = subject.create();
    for round in 0..50 {
        let keys: Vec<_> = (round * 7..round * 7 + 7).map(key).collect();
        policy.on_keys_reserved(&refs(&keys));
        policy.on_keys_created(&refs(&keys));
        policy.on_keys_removed(&refs(&keys));
        assert_eq!(policy.tracked_keys(), 0);
    }
}
