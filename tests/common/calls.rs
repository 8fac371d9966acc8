//! Calls of every shape that a recorder could write, and some that none does.

use lmcache::format::model::KeyInterner;
use lmcache::format::model::key::MAX_SALT_CHARS;
use lmcache::format::model::{
    Dtype, FetchingPolicy, GroupedObjectKeys, KeyView, LockMode, MemoryLayoutDesc, ObjectKey,
    PrefetchTaskSpec, StorageCall, WriteMode,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn text(allowed: &'static str, lengths: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let charset: Vec<char> = allowed.chars().collect();
    vec(prop::sample::select(charset), lengths).prop_map(String::from_iter)
}

fn model_names() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("meta-llama/Llama-3.1-8B-Instruct".to_owned()),
        text("aZ/-\0\"\u{e9}\u{20ac}\u{1f512}", 0..40),
        prop::sample::select(&[31_usize, 32, 255, 256, 65_535, 65_536][..]).prop_map(|n| "m".repeat(n)),
    ]
}

fn salts() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), text("az \u{e9}\u{1f512}", 0..MAX_SALT_CHARS + 1)]
}

fn hashes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 32), vec(any::<u8>(), 0..600)]
}

fn wide_ints() -> impl Strategy<Value = i64> {
    prop_oneof![-200_i64..300, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
}

/// A few keys of two scopes, so that consecutive keys share one or do not.
fn keys() -> BoxedStrategy<Vec<ObjectKey>> {
    let scope = || (model_names(), wide_ints(), any::<u32>(), salts());
    let list = vec((hashes(), any::<bool>()), 0..20);
    let keys = (scope(), scope(), list).prop_map(|(one, other, list)| {
        let mut interner = KeyInterner::default();
        let key = |(chunk_hash, is_one): (Vec<u8>, bool)| {
            let (model_name, kv_rank, object_group_id, cache_salt) = if is_one { &one } else { &other };
            let view = KeyView {
                chunk_hash: &chunk_hash,
                model_name,
                kv_rank: *kv_rank,
                object_group_id: *object_group_id,
                cache_salt,
            };
            interner.key(view).expect("within LMCache's rules")
        };
        list.into_iter().map(key).collect()
    });
    // Without a box the trees of all lists of a call lie on the stack at once, more than a thread of tests has.
    keys.boxed()
}

fn layouts() -> impl Strategy<Value = MemoryLayoutDesc> {
    let dtype = prop::sample::select(&["torch.bfloat16", "torch.uint8", "torch.float8_e4m3fnuz"][..]);
    let extent = prop_oneof![0_u64..300, 0_u64..1 << 34];
    let tensor = (vec(extent, 0..20), dtype).prop_map(|(shape, dtype)| {
        (shape.into_boxed_slice(), Dtype::from_name(dtype).expect("within LMCache's rules"))
    });
    vec(tensor, 0..20).prop_map(|tensors| MemoryLayoutDesc::new(tensors).unwrap_or_default())
}

fn rows() -> impl Strategy<Value = GroupedObjectKeys> {
    (keys(), any::<u32>(), layouts(), wide_ints()).prop_map(
        |(keys, object_group_id, layout, sliding_window_size)| GroupedObjectKeys {
            keys,
            object_group_id,
            layout,
            sliding_window_size,
        },
    )
}

fn prefetches() -> BoxedStrategy<StorageCall> {
    let many_rows = (rows(), 0_usize..40).prop_map(|(mut row, count)| {
        row.keys.truncate(2);
        vec![row; count]
    });
    let key_groups = prop_oneof![vec(rows(), 0..5), many_rows];
    let id = text("req-0\u{e9}\u{1f512}", 0..300);
    let calls = (key_groups, wide_ints(), any::<bool>(), any::<bool>(), id, any::<bool>()).prop_map(
        |(key_groups, num_kv_readers, is_full, is_locked, external_request_id, skip_l2)| {
            let fetching_policy = if is_full { FetchingPolicy::Full } else { FetchingPolicy::Prefix };
            let lock_mode = if is_locked { LockMode::Lock } else { LockMode::NoLock };
            let spec = PrefetchTaskSpec { key_groups, num_kv_readers, fetching_policy, lock_mode };
            StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 }
        },
    );
    calls.boxed()
}

/// Any call.
pub(crate) fn calls() -> impl Strategy<Value = StorageCall> {
    let mode = prop::sample::select(&[WriteMode::New, WriteMode::Update, WriteMode::All][..]);
    prop_oneof![
        (keys(), layouts(), mode).prop_map(|(keys, layout, mode)| StorageCall::ReserveWrite {
            keys,
            layout,
            mode
        }),
        keys().prop_map(|keys| StorageCall::FinishWrite { keys }),
        keys().prop_map(|keys| StorageCall::ReadEnter { keys }),
        keys().prop_map(|keys| StorageCall::ReadExit { keys }),
        (keys(), wide_ints()).prop_map(|(keys, read_locks)| StorageCall::FinishRead { keys, read_locks }),
        prefetches(),
    ]
}
