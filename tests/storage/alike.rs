//! Away from LMCache's defects, ours answers as LMCache's does: the same codes, the same victims in the same order,
//! and the same counts, though one keeps a list behind one mutex and the other stamps in many shards.

use lmcache::format::model::ObjectKey;
use lmcache::storage::StorageManager;
use lmcache::storage::config::{Compat, EvictionPolicyKind};

use crate::support::{PAGE, keys, layout, manager_like};

const KEYS: usize = 400;
/// Enough for 16 shards.
const PAGES: u64 = 1024;
const STEPS: usize = 4_000;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn ours_and_lmcaches_give_the_same_answers() {
    for seed in 1..=4 {
        let managers = [Compat::Native, Compat::Lmcache].map(|compat| {
            let (manager, _hand) = manager_like(compat, PAGES, EvictionPolicyKind::Lru);
            manager
        });
        let (keys, mut random) = (keys(0, KEYS as u32), Random(seed * 0x9e37_79b9));
        for step in 0..STEPS {
            let first = random.below(KEYS - 8);
            let range = first..first + 1 + random.below(8);
            let (op, size_bytes) = (random.below(7), 1 + random.below(2 * PAGE as usize) as u64);
            let [ours, theirs] =
                managers.each_ref().map(|manager| answer(manager, op, &keys[range.clone()], size_bytes));
            assert_eq!(ours, theirs, "seed {seed} step {step} op {op}");
            let status = managers.each_ref().map(|manager| manager.report_status().l1_manager.unwrap());
            assert_eq!(status[0], status[1], "seed {seed} step {step} op {op}");
        }
        let orders = managers.each_ref().map(|manager| manager.l1_manager().policy_state());
        assert_eq!(orders[0], orders[1], "seed {seed}");
    }
}

/// What a manager says to one call, in words.
fn answer(manager: &StorageManager, op: usize, keys: &[ObjectKey], size_bytes: u64) -> String {
    let l1 = manager.l1_manager();
    match op {
        0 | 1 => {
            let reserved = manager.reserve_write(keys, &layout(size_bytes)).unwrap();
            let spans: Vec<_> = reserved.buffers().map(|buffer| buffer.span()).collect();
            let finished = if op == 0 { Some(manager.finish_write(keys).unwrap()) } else { None };
            format!("{:?} {spans:?} {finished:?}", reserved.codes())
        }
        2 => format!("{:?}", l1.reserve_read(keys, 1)),
        3 => format!("{:?}", l1.finish_read(keys, 1)),
        4 => {
            manager.touch_l1_keys(keys);
            format!("{:?}", l1.unsafe_read(keys))
        }
        5 => format!("{:?} {:?}", manager.finish_write(keys).unwrap(), manager.delete_l1_keys(keys, false)),
        _ => {
            let mut config = l1.config().eviction.clone();
            config.eviction_ratio = 0.05;
            format!("{:?}", l1.evict(&config).unwrap())
        }
    }
}
