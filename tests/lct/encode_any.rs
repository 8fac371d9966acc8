//! Whatever a call holds, it is read back as it was written.

use lmcache::format::lct::frame::PREFIX_BYTES;
use lmcache::format::lct::{SaltPolicy, WireRecord, decode_call, encode_call, encode_record, is_canonical};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::{
    CallView, FetchingPolicy, GroupedObjectKeys, KeyView, LockMode, MemoryLayoutDesc, ObjectKey,
    PrefetchTaskSpec, RowView, StorageCall,
};
use proptest::prelude::*;

use super::calls::calls;

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
