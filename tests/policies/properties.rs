//! A policy and its model go through the same calls in any order; after each, both name the same victims and are in
//! the same state.

use std::collections::HashSet;

use lmcache::format::model::ObjectKey;
use lmcache::storage::config::{Compat, EvictionPolicyKind};
use lmcache::storage::eviction::{self, Demand, EvictionPolicy};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::models::{self, Amount, Model, Request, SALTS, salt_of, size_of};
use crate::support::{number, numbers, refs, salted_key};

const KEYS: u32 = 40;

#[derive(Clone, Debug)]
enum Operation {
    Reserve(Vec<u32>),
    Create(Vec<u32>),
    Touch(Vec<u32>),
    Remove(Vec<u32>),
    /// Victims are asked for, and those at places whose bit in `kept` is set stay.
    Evict {
        amount: Amount,
        salt: Option<&'static str>,
        locked: HashSet<u32>,
        kept: u64,
    },
}

fn some_keys() -> impl Strategy<Value = Vec<u32>> {
    vec(0..KEYS, 0..6)
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![
        2 => (-10..=120).prop_map(Amount::Percent),
        2 => (1..30).prop_map(Amount::Percent),
        1 => (0..120_u64).prop_map(Amount::Bytes),
        1 => Just(Amount::Bytes(10)),
        1 => Just(Amount::Bytes(u64::MAX)),
    ]
}

fn evict() -> impl Strategy<Value = Operation> {
    let salt = prop_oneof![Just(None), prop::sample::select(&SALTS[..]).prop_map(Some)];
    let locked = prop_oneof![
        2 => Just(HashSet::new()),
        2 => prop::collection::hash_set(0..KEYS, 0..10),
        1 => Just((0..KEYS).collect()),
    ];
    let kept = prop_oneof![2 => Just(0), 1 => any::<u64>()];
    (amount(), salt, locked, kept).prop_map(|(amount, salt, locked, kept)| Operation::Evict {
        amount,
        salt,
        locked,
        kept,
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => some_keys().prop_map(Operation::Reserve),
        4 => some_keys().prop_map(Operation::Create),
        4 => some_keys().prop_map(Operation::Touch),
        1 => some_keys().prop_map(Operation::Remove),
        4 => evict(),
    ]
}

struct Pair {
    policy: Box<dyn EvictionPolicy>,
    model: Box<dyn Model>,
    /// A tenant has to be named.
    names_salts: bool,
}

impl Pair {
    fn new(kind: EvictionPolicyKind, compat: Compat) -> Self {
        let names_salts = kind == EvictionPolicyKind::IsolatedLru && compat == Compat::Lmcache;
        Self { policy: eviction::create(kind, compat), model: models::of(kind, compat), names_salts }
    }

    fn apply(&mut self, operation: Operation) {
        let keys = |numbers: &[u32]| -> Vec<ObjectKey> {
            numbers.iter().map(|number| salted_key(*number, salt_of(*number))).collect()
        };
        match operation {
            Operation::Reserve(numbers) => {
                self.policy.on_keys_reserved(&refs(&keys(&numbers)));
                numbers.iter().rev().for_each(|number| self.model.reserve(*number));
            }
            Operation::Create(numbers) => {
                self.policy.on_keys_created(&refs(&keys(&numbers)));
                numbers.iter().rev().for_each(|number| self.model.create(*number));
            }
            Operation::Touch(numbers) => {
                self.policy.on_keys_touched(&refs(&keys(&numbers)));
                numbers.iter().rev().for_each(|number| self.model.touch(*number));
            }
            Operation::Remove(numbers) => {
                self.policy.on_keys_removed(&refs(&keys(&numbers)));
                numbers.iter().for_each(|number| self.model.remove(*number));
            }
            Operation::Evict { amount, salt, locked, kept } => {
                let salt = if self.names_salts { salt.or(Some(SALTS[0])) } else { salt };
                self.evict(&Request { amount, salt, locked }, kept);
            }
        }
    }

    fn evict(&mut self, request: &Request, kept: u64) {
        let size_of = |key: &ObjectKey| size_of(number(key));
        let demand = match request.amount {
            Amount::Percent(percent) => Demand::Ratio(f64::from(percent) / 100.0),
            Amount::Bytes(needed) => Demand::Bytes { needed, size_of: &size_of },
        };
        let is_evictable = |key: &ObjectKey| !request.locked.contains(&number(key));
        let victims = self.policy.victims(demand, request.salt, &is_evictable).unwrap();
        assert_eq!(numbers(&victims), self.model.victims(request), "{request:?}");
        for (at, victim) in victims.iter().enumerate() {
            if kept >> (at % 64) & 1 == 0 {
                self.policy.on_keys_removed(&[victim]);
                self.model.remove(number(victim));
            }
        }
    }
}

fn agree(kind: EvictionPolicyKind, compat: Compat) {
    proptest!(ProptestConfig::with_cases(300), |(operations in vec(operation(), 1..120))| {
        let mut pair = Pair::new(kind, compat);
        for operation in operations {
            pair.apply(operation);
            prop_assert_eq!(pair.policy.tracked_keys(), pair.model.tracked());
            prop_assert_eq!(pair.policy.state(), pair.model.state());
        }
    });
}

macro_rules! agreement {
    ($($name:ident: $kind:ident, $compat:ident;)*) => {$(
        #[test]
        fn $name() {
            agree(EvictionPolicyKind::$kind, Compat::$compat);
        }
    )*};
}

agreement! {
    lru_agrees_with_its_model: Lru, Lmcache;
    arc_agrees_with_its_model: Arc, Lmcache;
    isolated_lru_of_lmcache_agrees_with_its_model: IsolatedLru, Lmcache;
    isolated_lru_agrees_with_its_model: IsolatedLru, Native;
    noop_agrees_with_its_model: Noop, Lmcache;
    fifo_agrees_with_its_model: Fifo, Native;
    s3_fifo_agrees_with_its_model: S3Fifo, Native;
    sieve_agrees_with_its_model: Sieve, Native;
}
