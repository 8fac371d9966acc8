//! What a host sees of a record: structs that borrow from the reader.

use std::ffi::c_char;

use crate::ffi::border::args::Growing;
use crate::ffi::keys::lmcache_tensor;
use crate::ffi::recorder::producer::lmcache_completion;

/// `finish_read_prefetched`: read locks are released.
pub const LMCACHE_RECORD_FINISH_READ: u32 = 1;
/// `finish_write`: what was reserved is readable.
pub const LMCACHE_RECORD_FINISH_WRITE: u32 = 2;
/// `read_prefetched_results` is entered.
pub const LMCACHE_RECORD_READ_ENTER: u32 = 3;
/// `read_prefetched_results` is left.
pub const LMCACHE_RECORD_READ_EXIT: u32 = 4;
/// `reserve_write`: objects are about to be written.
pub const LMCACHE_RECORD_RESERVE_WRITE: u32 = 5;
/// `submit_prefetch_task`: objects are looked up in all tiers.
pub const LMCACHE_RECORD_SUBMIT_PREFETCH: u32 = 6;
/// What became of a call.
pub const LMCACHE_RECORD_COMPLETION: u32 = 16;
/// A call that the host of the recorder defined.
pub const LMCACHE_RECORD_HOST_CALL: u32 = 17;
/// A record of LMCache that is none of the six calls, or whose arguments are of no known release.
pub const LMCACHE_RECORD_FOREIGN_CALL: u32 = 18;
/// Calls that are not in the file: the recorder lost them.
pub const LMCACHE_RECORD_LOSS: u32 = 48;
/// A call whose keys are more than LMCACHE_MAX_RECORD_KEYS, which no recorder writes: the record has none of them.
pub const LMCACHE_RECORD_TOO_LARGE: u32 = 255;

/// Keys of a record, of all its rows together, at most.
pub const LMCACHE_MAX_RECORD_KEYS: usize = 4194304;

/// A number that the file does not tell.
pub const LMCACHE_NOT_KNOWN: u64 = 0xffff_ffff_ffff_ffff;

/// What the keys of a prompt have in common, as it was recorded. Of one reader, equal scopes have the same address, which stays valid until
/// the reader is freed, so that a host can keep by it what it made of the scope.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorded_scope {
    /// The model; ends in NUL.
    pub model_name: *const c_char,
    /// Bytes of the model's name without its NUL: a file can have names with a NUL within.
    pub model_name_length: usize,
    /// The tenant; "" if none was recorded, as LMCache does. Ends in NUL.
    pub cache_salt: *const c_char,
    /// Its bytes without its NUL.
    pub cache_salt_length: usize,
    /// The rank.
    pub kv_rank: i64,
    /// The group of layers.
    pub object_group_id: u32,
    /// Nothing; 0.
    pub reserved: u32,
}

/// A layout, as it was recorded; its tensors can be passed to `lmcache_layout_new`. Addresses are as those of scopes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorded_layout {
    /// Its tensors.
    pub tensors: *const lmcache_tensor,
    /// How many.
    pub tensor_count: usize,
    /// Bytes of an object; LMCACHE_NOT_KNOWN if torch has no such type, or they are more than 64 bits count.
    pub size_bytes: u64,
}

/// A key, as it was recorded.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorded_key {
    /// Its hash. In a native file this is its place in the file.
    pub hash: *const u8,
    /// Bytes of the hash; LMCache's have 32.
    pub hash_bytes: usize,
    /// Its scope.
    pub scope: *const lmcache_recorded_scope,
}

/// One row of a recorded prefetch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorded_row {
    /// Its keys.
    pub keys: *const lmcache_recorded_key,
    /// How many.
    pub key_count: usize,
    /// The layout of their objects.
    pub layout: *const lmcache_recorded_layout,
    /// How many of the last chunks are needed; -1 for all.
    pub sliding_window_size: i64,
    /// The object group.
    pub object_group_id: u32,
    /// Nothing; 0.
    pub reserved: u32,
}

/// A record. It begins with its size; `LMCACHE_RECORD_INIT` sets it. Everything that it points to, scopes and layouts aside, is valid until
/// the next call on the reader. What a kind of record does not have is 0 and NULL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_record {
    /// `sizeof(lmcache_record)`.
    pub struct_size: u32,
    /// One of LMCACHE_RECORD_*; numbers are added, so step over what you do not know.
    pub kind: u32,
    /// How many calls come before it in the file. Calls are the six, host calls and foreign calls.
    pub number: u64,
    /// Where it stands in the file.
    pub offset: u64,
    /// `CLOCK_MONOTONIC` of the recording host; LMCACHE_NOT_KNOWN if no reading of a clock leads to the seconds in an LMCache file.
    pub t_ns: u64,
    /// Seconds since the recording began, as LMCache counts them. Comes from the file: may be NaN.
    pub t_mono_s: f64,
    /// Seconds since the epoch, likewise.
    pub t_wall_s: f64,
    /// Number of the thread in the recording, from 1; 0 if the file does not tell, as LMCache's.
    pub thread: u32,
    /// How many calls the thread had attempted before, modulo 2^32.
    pub sequence: u32,
    /// 1 if it was written after records that were made later.
    pub is_late: u32,
    /// Of LMCACHE_RECORD_RESERVE_WRITE: 0 takes new keys, 1 (before LMCache 0.5.6) keys that are there, 2 either.
    pub write_mode: u32,
    /// The keys of a call; those of a prefetch are in its rows.
    pub keys: *const lmcache_recorded_key,
    /// How many.
    pub key_count: usize,
    /// Of LMCACHE_RECORD_RESERVE_WRITE: the layout of each object.
    pub layout: *const lmcache_recorded_layout,
    /// Of LMCACHE_RECORD_FINISH_READ: how many locks are released on each key.
    pub read_locks: i64,
    /// Of LMCACHE_RECORD_SUBMIT_PREFETCH: the rows.
    pub rows: *const lmcache_recorded_row,
    /// How many.
    pub row_count: usize,
    /// Of a prefetch: how many readers will each release one lock.
    pub num_kv_readers: i64,
    /// Of a prefetch: LMCACHE_FETCH_PREFIX or LMCACHE_FETCH_FULL.
    pub fetching_policy: u32,
    /// Of a prefetch: LMCACHE_LOCK or LMCACHE_NO_LOCK.
    pub lock_mode: u32,
    /// Of a prefetch: 1 if it looked in L1 only.
    pub skip_l2: u32,
    /// Of LMCACHE_RECORD_COMPLETION: the kind of its call.
    pub call_kind: u32,
    /// The name of a call: the qualified name in LMCache, or what the host called it. Ends in NUL.
    pub name: *const c_char,
    /// Its bytes without the NUL.
    pub name_length: usize,
    /// Of a prefetch: the engine's name for the request, "" if it gave none. Ends in NUL.
    pub request_id: *const c_char,
    /// Its bytes without the NUL.
    pub request_id_length: usize,
    /// Of a host call: its bytes. Of a foreign call: LMCache's record, a msgpack map.
    pub bytes: *const u8,
    /// How many.
    pub byte_count: usize,
    /// Of a completion: which thread made the call,
    pub call_thread: u32,
    /// and which of its calls that was: `thread` and `sequence` of its record.
    pub call_sequence: u32,
    /// Of a completion: what became of the call; of other records NULL.
    pub completion: *const lmcache_completion,
    /// Of LMCACHE_RECORD_LOSS: how many calls of `thread` are not in the file,
    pub lost_calls: u64,
    /// and between which times they were made: after `lost_from_ns`, 0 if nothing of the thread comes before,
    pub lost_from_ns: u64,
    /// and before `lost_until_ns`, both on the clock of `t_ns`.
    pub lost_until_ns: u64,
    /// The `sequence` that the first of them has.
    pub lost_first_sequence: u32,
    /// Why: 1 the thread's ring was full, 2 a call was too large for the ring, 3 the file could not be written.
    pub lost_reason: u32,
}

// SAFETY: numbers and pointers; the first field is the size.
unsafe impl Growing for lmcache_record {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

impl lmcache_record {
    /// A record of nothing.
    pub(super) fn empty() -> Self {
        // SAFETY: numbers and raw pointers, of which zero bytes are values.
        unsafe { std::mem::MaybeUninit::zeroed().assume_init() }
    }
}
