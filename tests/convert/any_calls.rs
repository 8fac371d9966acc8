//! Whatever stands in an LMCache file, it comes back.

use lmcache::format::lct::{Header, Level};
use lmcache::format::lct::{SaltPolicy, encode_call, encode_header, encode_record};
use lmcache::format::model::KeyInterner;
use lmcache::format::model::{
    Dtype, FetchingPolicy, GroupedObjectKeys, KeyView, LockMode, MemoryLayoutDesc, PrefetchTaskSpec,
    StorageCall, WriteMode,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::calls::calls;
use super::support::round_trip;

/// One frame of a file.
#[derive(Clone, Debug)]
enum AnyFrame {
    /// A call at a time that a clock read, or at any other.
    Call(StorageCall, Result<u32, f64>),
    /// A frame of any bytes.
    Noise(Vec<u8>),
    /// A record that nobody knows.
    Stranger,
}

fn frames() -> impl Strategy<Value = AnyFrame> {
    let times = prop_oneof![4 => any::<u32>().prop_map(Ok), 1 => any::<f64>().prop_map(Err)];
    prop_oneof![
        8 => (calls(), times).prop_map(|(call, time)| AnyFrame::Call(call, time)),
        1 => vec(any::<u8>(), 0..40).prop_map(AnyFrame::Noise),
        1 => Just(AnyFrame::Stranger),
    ]
}

const START_NS: u64 = 1_852_005_489_239;
const WALL_START_NS: i64 = 1_795_231_343_581_621_000;

fn header(level_meta: &[(&str, i64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = Header {
        level: Level::Storage,
        format_version: 1,
        trace_schema_version: 1,
        t_mono_start_s: START_NS as f64 / 1e9,
        t_wall_start_s: WALL_START_NS as f64 / 1e9,
        sm_config_json: "{}".to_owned(),
        sm_config_digest: String::new(),
        level_meta: level_meta.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
    };
    encode_header(&header, &mut bytes).expect("a small header");
    bytes
}

/// Appends a call that was made `since_start_ns` after the start, by both clocks.
fn push_call(call: &StorageCall, since_start_ns: u32, bytes: &mut Vec<u8>) {
    let t_mono_s = (START_NS + u64::from(since_start_ns)) as f64 / 1e9 - START_NS as f64 / 1e9;
    let t_wall_s = (WALL_START_NS + i64::from(since_start_ns) + 700) as f64 / 1e9;
    let args = |out: &mut Vec<u8>| encode_call(call.view(), SaltPolicy::Written, out);
    encode_record(t_mono_s, t_wall_s, &call.op().qualname(), args, bytes).expect("a frame");
}

fn push(frame: &AnyFrame, bytes: &mut Vec<u8>) {
    match frame {
        AnyFrame::Call(call, Ok(since_start_ns)) => push_call(call, *since_start_ns, bytes),
        AnyFrame::Call(call, Err(t_s)) => {
            let args = |out: &mut Vec<u8>| encode_call(call.view(), SaltPolicy::Written, out);
            encode_record(*t_s, -*t_s, &call.op().qualname(), args, bytes).expect("a frame");
        }
        AnyFrame::Noise(noise) => {
            bytes.extend_from_slice(&(noise.len() as u32).to_be_bytes());
            bytes.extend_from_slice(noise);
        }
        AnyFrame::Stranger => {
            encode_record(1.0, 2.0, "somebody.else", |out| out.push(0x80), bytes).expect("a frame");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_file_comes_back(
        frames in vec(frames(), 0..12),
        meta in vec((prop::sample::select(&["b", "a", "a longer name"][..]), any::<i64>()), 0..3),
        cut_bytes in 0_usize..200,
    ) {
        let mut file = header(&meta);
        let header_bytes = file.len();
        frames.iter().for_each(|frame| push(frame, &mut file));
        file.truncate(file.len().saturating_sub(cut_bytes).max(header_bytes));
        let (native, compact) = round_trip("any", &file);
        let reports = [native.report, compact.report].map(|report| (report.calls, report.foreign_calls));
        prop_assert_eq!(reports[0], reports[1]);
    }
}

fn keys(hash_bytes: usize, count: u64) -> Vec<lmcache::format::model::ObjectKey> {
    let mut interner = KeyInterner::default();
    let key = |number: u64| {
        let mut chunk_hash = vec![7; hash_bytes];
        let end = hash_bytes.min(8);
        chunk_hash[..end].copy_from_slice(&number.to_le_bytes()[..end]);
        let view = KeyView {
            chunk_hash: &chunk_hash,
            model_name: "m",
            kv_rank: 0,
            object_group_id: 0,
            cache_salt: "",
        };
        interner.key(view).expect("within LMCache's rules")
    };
    (0..count).map(key).collect()
}

#[test]
fn calls_longer_than_a_chunk_come_back() {
    let mut file = header(&[]);
    let lists =
        [keys(32, 3), keys(32, 100_000), keys(32, 4), keys(300, 20_000), keys(0, 2), keys(40, 30_000)];
    for (position, keys) in (0_u32..).zip(lists) {
        push_call(&StorageCall::ReadEnter { keys: keys.clone() }, 10 * position, &mut file);
        push_call(&StorageCall::ReadExit { keys }, 10 * position + 5, &mut file);
    }
    let (native, compact) = round_trip("long", &file);
    assert_eq!((native.report.calls, native.report.foreign_calls), (12, 0));
    assert_eq!(compact.report.distinct_keys, Some(100_000 + 20_000 + 1 + 30_000));
}

#[test]
fn modes_that_lmcache_gave_up_are_kept_as_they_stand() {
    let mut file = header(&[]);
    for mode in [WriteMode::New, WriteMode::Update, WriteMode::All] {
        let call = StorageCall::ReserveWrite { keys: keys(32, 2), layout: Default::default(), mode };
        push_call(&call, 10, &mut file);
    }
    let (native, _) = round_trip("modes", &file);
    assert_eq!((native.report.calls, native.report.foreign_calls), (1, 2));
}

#[test]
fn a_file_without_records_comes_back() {
    let (native, compact) = round_trip("empty", &header(&[("b", 1), ("a", 2)]));
    assert_eq!((native.report.records(), compact.report.distinct_keys), (0, Some(0)));
}

/// A prefetch of `count` rows, each with a layout of its own.
fn prefetch_of(count: u64) -> StorageCall {
    let dtype = Dtype::from_name("torch.uint8").expect("torch has it");
    let row = |number: u64| GroupedObjectKeys {
        keys: Vec::new(),
        object_group_id: 0,
        layout: MemoryLayoutDesc::new(vec![(Box::new([number]), dtype)]).expect("a small layout"),
        sliding_window_size: -1,
    };
    let spec = PrefetchTaskSpec {
        key_groups: (0..count).map(row).collect(),
        num_kv_readers: 1,
        fetching_policy: FetchingPolicy::Prefix,
        lock_mode: LockMode::Lock,
    };
    StorageCall::SubmitPrefetch { spec, external_request_id: String::new(), skip_l2: false }
}

#[test]
fn rows_are_typed_to_the_limit_and_kept_as_they_stand_past_it() {
    let mut file = header(&[]);
    push_call(
        &StorageCall::ReserveWrite { keys: keys(32, 2), layout: Default::default(), mode: WriteMode::New },
        5,
        &mut file,
    );
    push_call(&prefetch_of(1 << 16), 10, &mut file);
    push_call(&prefetch_of((1 << 16) + 1), 20, &mut file);
    let (native, _) = round_trip("rows", &file);
    assert_eq!((native.report.calls, native.report.foreign_calls), (2, 1));
}
