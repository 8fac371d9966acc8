//! Whatever a call holds, it is read back as it was written.

use lmcache::format::lct::frame::PREFIX_BYTES;
use lmcache::format::lct::{SaltPolicy, WireRecord, decode_call, encode_call, encode_record, is_canonical};
use lmcache::format::model::key::{KeyInterner, MAX_SALT_CHARS};
use lmcache::format::model::{
    CallView, Dtype, FetchingPolicy, GroupedObjectKeys, KeyView, LockMode, MemoryLayoutDesc, ObjectKey,
    PrefetchTaskSpec, RowView, StorageCall, WriteMode,
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
fn keys() -> impl Strategy<Value = Vec<ObjectKey>> {
    let scope = || (model_names(), wide_ints(), any::<u32>(), salts());
    let list = vec((hashes(), any::<bool>()), 0..20);
    (scope(), scope(), list).prop_map(|(one, other, list)| {
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
            interner.key(view).unwrap()
        };
        list.into_iter().map(key).collect()
    })
}

fn layouts() -> impl Strategy<Value = MemoryLayoutDesc> {
    let dtype = prop::sample::select(&["torch.bfloat16", "torch.uint8", "torch.float8_e4m3fnuz"][..]);
    let extent = prop_oneof![0_u64..300, 0_u64..1 << 34];
    let tensor = (vec(extent, 0..20), dtype)
        .prop_map(|(shape, dtype)| (shape.into_boxed_slice(), Dtype::from_name(dtype).unwrap()));
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

fn prefetches() -> impl Strategy<Value = StorageCall> {
    let many_rows = (rows(), 0_usize..40).prop_map(|(mut row, count)| {
        row.keys.truncate(2);
        vec![row; count]
    });
    let key_groups = prop_oneof![vec(rows(), 0..5), many_rows];
    let id = text("req-0\u{e9}\u{1f512}", 0..300);
    (key_groups, wide_ints(), any::<bool>(), any::<bool>(), id, any::<bool>()).prop_map(
        |(key_groups, num_kv_readers, is_full, is_locked, external_request_id, skip_l2)| {
            let fetching_policy = if is_full { FetchingPolicy::Full } else { FetchingPolicy::Prefix };
            let lock_mode = if is_locked { LockMode::Lock } else { LockMode::NoLock };
            let spec = PrefetchTaskSpec { key_groups, num_kv_readers, fetching_policy, lock_mode };
            StorageCall::SubmitPrefetch { spec, external_request_id, skip_l2 }
        },
    )
}

fn calls() -> impl Strategy<Value = StorageCall> {
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

/// The body of the call's frame.
fn body_of(call: &StorageCall, salts: SaltPolicy) -> Vec<u8> {
    let mut frame = Vec::new();
    let args = |out: &mut Vec<u8>| encode_call(call.view(), salts, out);
    encode_record(0.25, 1795231343.581621, &call.op().qualname(), args, &mut frame).unwrap();
    let body = frame.split_off(PREFIX_BYTES);
    assert_eq!(frame, (body.len() as u32).to_be_bytes());
    body
}

fn decode(call: &StorageCall, body: &[u8]) -> StorageCall {
    let record = WireRecord::decode(body).unwrap();
    assert_eq!((record.t_mono_s, record.t_wall_s), (0.25, 1795231343.581621));
    decode_call(call.op(), &record.args, &mut KeyInterner::default()).unwrap()
}

/// The same call with all keys' salts taken off.
fn without_salts(call: &StorageCall) -> StorageCall {
    let (mut call, mut interner) = (call.clone(), KeyInterner::default());
    let lists: Vec<&mut Vec<ObjectKey>> = match &mut call {
        StorageCall::ReserveWrite { keys, .. }
        | StorageCall::FinishWrite { keys }
        | StorageCall::ReadEnter { keys }
        | StorageCall::ReadExit { keys }
        | StorageCall::FinishRead { keys, .. } => vec![keys],
        StorageCall::SubmitPrefetch { spec, .. } => {
            spec.key_groups.iter_mut().map(|row| &mut row.keys).collect()
        }
    };
    for key in lists.into_iter().flatten() {
        *key = interner.key(KeyView { cache_salt: "", ..key.clone().view() }).unwrap();
    }
    call
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn calls_are_read_back_as_they_were_written(call in calls()) {
        let body = body_of(&call, SaltPolicy::Written);
        prop_assert_eq!(&decode(&call, &body), &call);
        prop_assert!(is_canonical(&body, &WireRecord::decode(&body).unwrap(), &call, &mut Vec::new()));
    }

    #[test]
    fn leaving_salts_out_is_writing_a_call_that_has_none(call in calls()) {
        let body = body_of(&call, SaltPolicy::Omitted);
        let unsalted = without_salts(&call);
        prop_assert!(body == body_of(&unsalted, SaltPolicy::Written));
        prop_assert_eq!(decode(&call, &body), unsalted);
    }
}

/// Keys and rows that nobody owns, as a file of another format yields them.
type Keys = std::iter::RepeatN<KeyView<'static>>;
type Rows<'a> = std::vec::IntoIter<RowView<'a, Keys>>;

const KEY: KeyView<'static> =
    KeyView { chunk_hash: b"hash", model_name: "m", kv_rank: 7, object_group_id: 3, cache_salt: "tenant" };

#[test]
fn calls_that_nobody_owns_are_written_like_owned_ones() {
    let layout = MemoryLayoutDesc::default();
    let row = |count: usize| RowView {
        keys: std::iter::repeat_n(KEY, count),
        object_group_id: 3,
        layout: &layout,
        sliding_window_size: -1,
    };
    let prefetch: CallView<'_, Keys, Rows<'_>> = CallView::SubmitPrefetch {
        rows: vec![row(2), row(0)].into_iter(),
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
        external_request_id: "r",
        skip_l2: false,
    };
    let mut written = Vec::new();
    encode_call(prefetch, SaltPolicy::Written, &mut written);

    let owned_row = |count: usize| GroupedObjectKeys {
        keys: vec![KeyInterner::default().key(KEY).unwrap(); count],
        object_group_id: 3,
        layout: layout.clone(),
        sliding_window_size: -1,
    };
    let spec = PrefetchTaskSpec {
        key_groups: vec![owned_row(2), owned_row(0)],
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    };
    let owned = StorageCall::SubmitPrefetch { spec, external_request_id: "r".to_owned(), skip_l2: false };
    let mut expected = Vec::new();
    encode_call(owned.view(), SaltPolicy::Written, &mut expected);
    assert_eq!(written, expected);
}

#[test]
fn lists_past_every_short_form_are_read_back() {
    for count in [15, 16, 65_535, 65_536] {
        let keys = vec![KeyInterner::default().key(KEY).unwrap(); count];
        let call = StorageCall::ReadEnter { keys };
        assert_eq!(decode(&call, &body_of(&call, SaltPolicy::Written)), call);
    }
}
