//! What has inner structure: rkyv archives of names, layouts, prefetch arguments, and of the file's facts and
//! index. [`SCHEMA`] is their description in words; its digest stands in every file header.

use rkyv::rancor::Failure;
use rkyv::{Archive, Serialize};

use super::pod::KeySlice;

/// The archived types of this version: name, fields, and size of the root. Any change to one of them changes
/// this text, and with it the digest.
pub const SCHEMA: &str = "lmcache native trace 1; rkyv 0.8 little-endian aligned 32-bit\n\
FileFacts host:str process:str pid:u32 node:str writer:str level:str sm_config_json:str sm_config_digest:str level_meta_json:str metadata:[(str,str)] lct_header:[u8]\n\
ThreadFacts os_thread_id:u64 name:str\n\
ScopeFacts model_name:str kv_rank:i64 object_group_id:u32 cache_salt:str\n\
LayoutFacts groups:[shape:[u64] dtype:str]\n\
PrefetchArgs groups:[start:u32 count:u32 object_group_id:u32 layout:u32 sliding_window_size:i64] external_request_id:str num_kv_readers:i64 fetching_policy:u8 lock_mode:u8 skip_l2:u8\n\
FileIndex calls:u64 records:u64 keys:u64 lost:u64 late:u64 completions:u64 first_ns:u64 last_ns:u64 ops:[u64;6] names:[(str,u64)] distinct_keys:opt(u64) scopes:[ScopeFacts keys:u64] threads:[number:u32 os_thread_id:u64 name:str calls:u64 lost:u64] chunks:[offset:u64 first_ns:u64 last_ns:u64 calls_before:u64 chunk_bytes:u32 committed_bytes:u32 calls:u32 kind:u32 lost:u64]\n";

/// FNV-1a of [`SCHEMA`].
pub const SCHEMA_DIGEST: u64 = fnv1a(SCHEMA.as_bytes());

const fn fnv1a(bytes: &[u8]) -> u64 {
    let (mut hash, mut at) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

/// What a file says about its recording.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
pub struct FileFacts {
    /// Host name of the recording machine.
    pub host: String,
    /// Name of the recording process.
    pub process: String,
    /// Its number.
    pub pid: u32,
    /// What the operator calls the node.
    pub node: String,
    /// Name and version of the library that wrote the file.
    pub writer: String,
    /// LMCache's level: `storage` or `events`.
    pub level: String,
    /// LMCache's `sm_config_json`; empty if there is none.
    pub sm_config_json: String,
    /// LMCache's `sm_config_digest`.
    pub sm_config_digest: String,
    /// LMCache's `level_meta`, a JSON object; empty if there is none.
    pub level_meta_json: String,
    /// Whatever the host wants to say.
    pub metadata: Vec<(String, String)>,
    /// Of an imported file: its header's frame body, if our encoder would write another one; else empty.
    pub lct_header: Vec<u8>,
}

/// Defines a thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
pub struct ThreadFacts {
    /// The kernel's number of it; 0 if not known.
    pub os_thread_id: u64,
    /// Its name; may be empty.
    pub name: String,
}

/// Defines a key scope.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, rkyv::Deserialize)]
pub struct ScopeFacts {
    /// See [`KeyView`](crate::format::model::KeyView).
    pub model_name: String,
    /// See [`KeyView`](crate::format::model::KeyView).
    pub kv_rank: i64,
    /// See [`KeyView`](crate::format::model::KeyView).
    pub object_group_id: u32,
    /// See [`KeyView`](crate::format::model::KeyView).
    pub cache_salt: String,
}

/// Defines a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, rkyv::Deserialize)]
pub struct LayoutFacts {
    /// Its tensors.
    pub groups: Vec<TensorFacts>,
}

/// One tensor of a layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Archive, Serialize, rkyv::Deserialize)]
pub struct TensorFacts {
    /// Its extents.
    pub shape: Vec<u64>,
    /// Its element type, by torch's name.
    pub dtype: String,
}

/// Arguments of a `submit_prefetch_task` beside its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
#[rkyv(derive(Debug))]
pub struct PrefetchArgs {
    /// The rows of the request.
    pub groups: Vec<PrefetchGroup>,
    /// The engine's name for the request.
    pub external_request_id: String,
    /// How many readers each release a lock.
    pub num_kv_readers: i64,
    /// 0 = prefix, 1 = full.
    pub fetching_policy: u8,
    /// 0 = lock, 1 = no lock.
    pub lock_mode: u8,
    /// 1 = look in L1 only.
    pub skip_l2: u8,
}

/// One row of a prefetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
#[rkyv(derive(Debug))]
pub struct PrefetchGroup {
    /// Where its keys stand in the chunk.
    pub start: u32,
    /// How many they are.
    pub count: u32,
    /// The group of layers.
    pub object_group_id: u32,
    /// Number of the layout.
    pub layout: u32,
    /// Attention window in chunks; -1 is all.
    pub sliding_window_size: i64,
}

impl PrefetchGroup {
    /// Its keys.
    pub fn slice(&self) -> KeySlice {
        KeySlice { start: self.start, count: self.count }
    }
}

/// What a closed file knows about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
pub struct FileIndex {
    /// Calls of any kind.
    pub calls: u64,
    /// Records of any kind, definitions included.
    pub records: u64,
    /// Keys that calls name, each as often as it is named.
    pub keys: u64,
    /// Calls that were lost.
    pub lost: u64,
    /// Records that came late.
    pub late: u64,
    /// Completions.
    pub completions: u64,
    /// Earliest time of a call.
    pub first_ns: u64,
    /// Latest time of a call.
    pub last_ns: u64,
    /// The six storage calls, in the order of [`Op::ALL`](crate::format::model::Op::ALL).
    pub ops: [u64; 6],
    /// Foreign and host calls, by name.
    pub names: Vec<(String, u64)>,
    /// Distinct keys, if they were counted.
    pub distinct_keys: Option<u64>,
    /// The scopes, with the keys that calls name in each.
    pub scopes: Vec<IndexedScope>,
    /// The threads.
    pub threads: Vec<IndexedThread>,
    /// The chunks, in the order of the file.
    pub chunks: Vec<IndexedChunk>,
}

/// A scope in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
pub struct IndexedScope {
    /// Which.
    pub scope: ScopeFacts,
    /// Keys that calls name in it.
    pub keys: u64,
}

/// A thread in the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
pub struct IndexedThread {
    /// Its number in the recording.
    pub number: u32,
    /// What is known of it.
    pub facts: ThreadFacts,
    /// Its calls in the file.
    pub calls: u64,
    /// Its calls that were lost.
    pub lost: u64,
}

/// A chunk in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, rkyv::Deserialize)]
pub struct IndexedChunk {
    /// Where it starts.
    pub offset: u64,
    /// Earliest time of a call in it.
    pub first_ns: u64,
    /// Latest time of a call in it.
    pub last_ns: u64,
    /// Calls before it.
    pub calls_before: u64,
    /// Its length on disk.
    pub chunk_bytes: u32,
    /// Bytes of its records.
    pub committed_bytes: u32,
    /// Calls in it.
    pub calls: u32,
    /// See [`ChunkKind`](super::kind::ChunkKind).
    pub kind: u32,
    /// Calls lost in it.
    pub lost: u64,
}

/// The archived forms have the sizes that [`SCHEMA`] stands for.
const _: () = {
    assert!(size_of::<ArchivedFileFacts>() == 84);
    assert!(size_of::<ArchivedThreadFacts>() == 16);
    assert!(size_of::<ArchivedScopeFacts>() == 32);
    assert!(size_of::<ArchivedLayoutFacts>() == 8);
    assert!(size_of::<ArchivedTensorFacts>() == 16);
    assert!(size_of::<ArchivedPrefetchArgs>() == 32);
    assert!(size_of::<ArchivedPrefetchGroup>() == 24);
    assert!(size_of::<ArchivedIndexedChunk>() == 56);
};

/// The archive of a value.
///
/// # Panics
/// If memory runs out, as every allocation does.
pub fn archive<T>(value: &T) -> rkyv::util::AlignedVec
where
    T: for<'a> Serialize<
        rkyv::api::high::HighSerializer<
            rkyv::util::AlignedVec,
            rkyv::ser::allocator::ArenaHandle<'a>,
            Failure,
        >,
    >,
{
    rkyv::to_bytes::<Failure>(value).expect("archiving strings and numbers into memory cannot fail")
}
