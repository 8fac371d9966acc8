//! What tells the policies apart, one by one.

use lmcache::error::ErrorKind;
use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction::{self, Demand, EvictionPolicy, PolicyState};

use crate::support::{evict_one, key, keys, name, number, numbers, refs, salted_key};

/// A policy that has seen keys `0..count`, one a call.
fn filled(kind: EvictionPolicyKind, count: u32) -> Box<dyn EvictionPolicy> {
    let mut policy = eviction::create(kind, Compat::Native);
    keys(count).iter().for_each(|key| policy.on_keys_created(&[key]));
    policy
}

fn touch(policy: &mut dyn EvictionPolicy, key_numbers: &[u32]) {
    key_numbers.iter().for_each(|number| policy.on_keys_touched(&[&key(*number)]));
}

#[test]
fn lru_keeps_what_was_used_last() {
    let mut policy = filled(EvictionPolicyKind::Lru, 4);
    touch(&mut *policy, &[0, 2]);
    policy.on_keys_created(&[&key(1)]);
    assert_eq!(name(&mut *policy, 1.0), [3, 0, 2, 1]);
}

#[test]
fn arc_learns_from_what_comes_back() {
    let (mut policy, keys) = (eviction::create(EvictionPolicyKind::Arc, Compat::Lmcache), keys(4));
    policy.on_keys_created(&refs(&keys));
    policy.on_keys_touched(&[&keys[0]]);
    assert_eq!(evict_one(&mut *policy), 3);
    policy.on_keys_created(&[&keys[3]]);
    let PolicyState::Arc { t1, t2, b1, b2, capacity, target_t1_size } = policy.state() else {
        panic!("the state of ARC");
    };
    assert_eq!((numbers(&t1), numbers(&t2)), (vec![2, 1], vec![0, 3]));
    assert!(b1.is_empty() && b2.is_empty());
    assert_eq!((capacity, target_t1_size), (4, 1.0));
}

#[test]
fn isolated_lru_evicts_one_tenant_and_under_lmcache_refuses_to_evict_all() {
    let mut policy = eviction::create(EvictionPolicyKind::IsolatedLru, Compat::Lmcache);
    let tenants = [salted_key(1, "a"), salted_key(1, "b"), salted_key(2, "a")];
    policy.on_keys_created(&refs(&tenants));
    let all = Demand::Ratio(1.0);
    assert_eq!(policy.victims(all, Some("b"), &|_| true).unwrap(), [tenants[1].clone()]);
    assert_eq!(policy.victims(all, Some("c"), &|_| true).unwrap(), []);
    let error = policy.victims(all, None, &|_| true).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Policy);
    policy.on_keys_removed(&[&tenants[1]]);
    policy.on_keys_created(&[&salted_key(3, "c")]);
    let PolicyState::IsolatedLru { per_salt } = policy.state() else { panic!("the state of IsolatedLRU") };
    let salts: Vec<_> = per_salt.iter().map(|(salt, keys)| (salt.as_str(), keys.len())).collect();
    assert_eq!(salts, [("a", 2), ("c", 1)]);
}

/// Tenants with 10, 5 and 1 keys.
fn tenants() -> Box<dyn EvictionPolicy> {
    let mut policy = eviction::create(EvictionPolicyKind::IsolatedLru, Compat::Native);
    for (salt, first, count) in [("a", 0, 10), ("b", 10, 5), ("c", 15, 1)] {
        (first..first + count).for_each(|number| policy.on_keys_created(&[&salted_key(number, salt)]));
    }
    policy
}

#[test]
fn isolated_lru_takes_the_same_share_of_each_tenant() {
    let mut policy = tenants();
    let mut numbers_of = |demand| numbers(&policy.victims(demand, None, &|_| true).unwrap());
    // 3 of 16: one of each ten, of each five, and so on; of the same share, who was used longer ago.
    assert_eq!(numbers_of(Demand::Ratio(0.2)), [0, 1, 10]);
    assert_eq!(numbers_of(Demand::Ratio(0.001)), [0]);
    assert_eq!(numbers_of(Demand::Ratio(0.5)), [0, 1, 10, 2, 3, 11, 4, 5]);
    assert_eq!(numbers_of(Demand::Ratio(1.0)).len(), 16);
    let size_of = |key: &_| if number(key) < 10 { 1 } else { 100 };
    assert_eq!(numbers_of(Demand::Bytes { needed: 102, size_of: &size_of }), [0, 1, 10]);
    assert_eq!(numbers_of(Demand::Bytes { needed: 103, size_of: &size_of }), [0, 1, 10, 2]);
}

#[test]
fn isolated_lru_asks_others_where_a_tenant_cannot_give() {
    let mut policy = tenants();
    let victims = policy.victims(Demand::Ratio(0.3), None, &|key| number(key) >= 10).unwrap();
    assert_eq!(numbers(&victims), [10, 11, 12, 13]);
    let victims = policy.victims(Demand::Ratio(0.3), None, &|key| number(key) == 15).unwrap();
    assert_eq!(numbers(&victims), [15]);
}

#[test]
fn fifo_is_not_impressed_by_use() {
    let mut policy = filled(EvictionPolicyKind::Fifo, 4);
    touch(&mut *policy, &[0, 0, 1]);
    policy.on_keys_created(&[&key(0)]);
    assert_eq!(name(&mut *policy, 0.75), [0, 1, 2]);
    policy.on_keys_removed(&[&key(0)]);
    policy.on_keys_created(&[&key(0)]);
    assert_eq!(name(&mut *policy, 1.0), [1, 2, 3, 0]);
}

/// The queue's keys with their marks, the hand, and what is named.
fn sieve_state(policy: &dyn EvictionPolicy) -> (Vec<(u32, bool)>, Option<u32>, Vec<u32>) {
    let PolicyState::Sieve { queue, hand, named } = policy.state() else { panic!("the state of SIEVE") };
    let queue = queue.iter().map(|(key, is_visited)| (number(key), *is_visited)).collect();
    (queue, hand.as_ref().map(number), numbers(&named))
}

#[test]
fn the_hand_of_sieve_stays_where_it_was_while_the_queue_grows() {
    let mut policy = filled(EvictionPolicyKind::Sieve, 5);
    touch(&mut *policy, &[0, 1, 3]);
    assert_eq!(evict_one(&mut *policy), 2);
    policy.on_keys_created(&[&key(5)]);
    let queue = vec![(0, false), (1, false), (3, true), (4, false), (5, false)];
    assert_eq!(sieve_state(&*policy), (queue, Some(3), vec![]));
    assert_eq!([evict_one(&mut *policy), evict_one(&mut *policy)], [4, 5]);
    // It has been at the newest, and starts from the oldest.
    assert_eq!(sieve_state(&*policy).1, None);
    policy.on_keys_created(&[&key(6)]);
    touch(&mut *policy, &[0]);
    assert_eq!([evict_one(&mut *policy), evict_one(&mut *policy)], [1, 3]);
}

#[test]
fn the_hand_of_sieve_lets_go_of_what_is_removed() {
    let mut policy = filled(EvictionPolicyKind::Sieve, 4);
    assert_eq!(evict_one(&mut *policy), 0);
    policy.on_keys_removed(&[&key(1)]);
    assert_eq!(sieve_state(&*policy), (vec![(2, false), (3, false)], Some(2), vec![]));
    policy.on_keys_removed(&[&key(3), &key(2)]);
    assert_eq!(sieve_state(&*policy), (vec![], None, vec![]));
}

#[test]
fn what_sieve_named_is_new_when_it_is_used_after_all() {
    let mut policy = filled(EvictionPolicyKind::Sieve, 4);
    assert_eq!(name(&mut *policy, 0.5), [0, 1]);
    assert_eq!(sieve_state(&*policy), (vec![(2, false), (3, false)], Some(2), vec![0, 1]));
    touch(&mut *policy, &[0]);
    assert_eq!(sieve_state(&*policy), (vec![(2, false), (3, false), (0, false)], Some(2), vec![1]));
    assert_eq!(name(&mut *policy, 1.0), [1, 2, 3, 0]);
}

#[derive(Debug, PartialEq)]
struct S3Fifo {
    small: Vec<(u32, u8)>,
    main: Vec<(u32, u8)>,
    ghost: Vec<u32>,
}

fn s3_fifo(policy: &dyn EvictionPolicy) -> S3Fifo {
    let PolicyState::S3Fifo { small, main, ghost, .. } = policy.state() else {
        panic!("the state of S3-FIFO");
    };
    let queue = |keys: Vec<(_, u8)>| keys.iter().map(|(key, uses)| (number(key), *uses)).collect();
    S3Fifo { small: queue(small), main: queue(main), ghost: numbers(&ghost) }
}

#[test]
fn a_tenth_is_the_small_queue_of_s3_fifo_from_the_first_eviction_on() {
    for (count, small) in [(9, 0), (10, 1), (19, 1), (20, 2)] {
        let mut policy = filled(EvictionPolicyKind::S3Fifo, count);
        // Nothing is wanted, or nobody is there to go: it has not begun.
        policy.victims(Demand::Ratio(0.0), None, &|_| true).unwrap();
        assert_eq!(s3_fifo(&*policy).small, []);
        policy.victims(Demand::Ratio(1.0), None, &|_| false).unwrap();
        assert_eq!(s3_fifo(&*policy).small.len(), small, "of {count}");
        policy.on_keys_created(&[&key(count)]);
        assert_eq!(s3_fifo(&*policy).small.last(), Some(&(count, 0)));
    }
}

#[test]
fn a_demand_on_an_empty_s3_fifo_does_not_begin_it() {
    let mut policy = eviction::create(EvictionPolicyKind::S3Fifo, Compat::Native);
    policy.victims(Demand::Bytes { needed: 1, size_of: &|_| 1 }, None, &|_| true).unwrap();
    policy.on_keys_created(&[&key(0)]);
    assert_eq!(s3_fifo(&*policy).main, [(0, 0)]);
}

#[test]
fn two_uses_lead_to_the_main_queue_of_s3_fifo_and_one_does_not() {
    let mut policy = filled(EvictionPolicyKind::S3Fifo, 20);
    touch(&mut *policy, &[0, 1, 0]);
    assert_eq!(evict_one(&mut *policy), 1);
    let state = s3_fifo(&*policy);
    assert_eq!((state.small, state.main.last().copied(), state.ghost), (vec![], Some((0, 0)), vec![1]));
    // A ghost that comes back goes to the main queue, and is a ghost no more.
    policy.on_keys_created(&[&key(1)]);
    let state = s3_fifo(&*policy);
    assert_eq!((state.main.last().copied(), state.ghost), (Some((1, 0)), vec![]));
}

#[test]
fn a_use_buys_a_round_in_the_main_queue_of_s3_fifo_and_the_fourth_buys_none() {
    let mut policy = filled(EvictionPolicyKind::S3Fifo, 10);
    evict_one(&mut *policy);
    touch(&mut *policy, &[1, 1, 1, 1, 2, 2, 2, 3, 3]);
    assert_eq!(s3_fifo(&*policy).main[..4], [(1, 3), (2, 3), (3, 2), (4, 0)]);
    let order: Vec<_> = (1..10).map(|_| evict_one(&mut *policy)).collect();
    assert_eq!(order, [4, 5, 6, 7, 8, 9, 3, 1, 2]);
    // What goes from the main queue leaves no ghost.
    assert_eq!(s3_fifo(&*policy).ghost, [0]);
}

#[test]
fn s3_fifo_remembers_nine_tenths() {
    let mut policy = filled(EvictionPolicyKind::S3Fifo, 10);
    for number in 10..30 {
        assert!(evict_one(&mut *policy) < number);
        policy.on_keys_created(&[&key(number)]);
        let ghosts = s3_fifo(&*policy).ghost.len();
        assert_eq!(ghosts, usize::try_from(number - 9).unwrap().min(9));
    }
    // Removed by others than the policy, a key is not remembered; and a ghost can be forgotten.
    let state = s3_fifo(&*policy);
    let (waiting, ghost) = (state.small[0].0, state.ghost[0]);
    policy.on_keys_removed(&[&key(waiting), &key(ghost)]);
    let ghosts = s3_fifo(&*policy).ghost;
    assert!(ghosts.len() == 8 && !ghosts.contains(&waiting) && !ghosts.contains(&ghost));
}
