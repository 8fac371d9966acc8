//! The recording side of a thread.

use std::ffi::c_char;

use hashbrown::HashMap;

use crate::ffi::border::args::{Growing, growing, optional_string, output, reserved, slice, string};
use crate::ffi::border::boundary::{Ended, Failure, OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::handles::slots;
use crate::ffi::handles::{self, Kind, Object, Owned};
use crate::ffi::keys::{
    KeptKeys, Keys, Scope, layout, lmcache_key_list, lmcache_layout, lmcache_scope, scope,
};
use crate::ffi::prefetch_spec::{lmcache_prefetch_spec, read_spec};
use crate::ffi::recorder::{Recorder, lmcache_recorder};
use crate::format::native::Outcome;
use crate::trace::recorder::{CallId, Completion, HashedCall, ScopeNumber, ThreadRecorder};

/// Bytes of a call of the host's own, at most.
pub const LMCACHE_MAX_HOST_CALL_BYTES: usize = 1 << 24;

/// Scopes of which a producer keeps the number: those that come first. Others are recorded by their keys, which is slower.
const KEPT_SCOPES: usize = 1024;

/// What a thread records with. It belongs to the thread that made it.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_producer(());

/// A recorded call, so that what became of it can be recorded too. Its fields mean nothing to a host. All of them are 0 for a call that was
/// DROPPED.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_call_id {
    /// Which call of which thread.
    pub number: u64,
    /// Which kind.
    pub kind: u32,
    /// Nothing; 0.
    pub reserved: u32,
}

/// How a recorded call ended: it did all that it was asked for.
pub const LMCACHE_OUTCOME_DONE: u32 = 1;
/// It did some of it.
pub const LMCACHE_OUTCOME_PARTLY: u32 = 2;
/// It did none of it.
pub const LMCACHE_OUTCOME_FAILED: u32 = 3;
/// It returned an error, or raised.
pub const LMCACHE_OUTCOME_RAISED: u32 = 4;

/// When the data of a call was there, if that is not known.
pub const LMCACHE_NOT_KNOWN_NS: u64 = 0xffff_ffff_ffff_ffff;

/// What became of a call. It begins with its size; `LMCACHE_COMPLETION_INIT` sets it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_completion {
    /// `sizeof(lmcache_completion)`.
    pub struct_size: u32,
    /// One of LMCACHE_OUTCOME_*.
    pub outcome: u32,
    /// Keys that were asked for.
    pub requested_keys: u32,
    /// Keys that were reserved, found, read or released.
    pub hit_keys: u32,
    /// How long the call took.
    pub duration_ns: u64,
    /// From the call to the moment its data was there; LMCACHE_NOT_KNOWN_NS, or 0, if that is not known.
    pub data_ready_ns: u64,
    /// Bytes of the objects of those keys.
    pub bytes: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_completion {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

struct Producer {
    thread: ThreadRecorder,
    /// Numbers of scopes, by their handles.
    scopes: HashMap<*const lmcache_scope, ScopeNumber, foldhash::fast::RandomState>,
    /// The one that was used last; nearly always the one that is used next.
    last: Option<(*const lmcache_scope, ScopeNumber)>,
    /// The keys of the last call that could not be recorded by its hashes alone, which the next one's are written over.
    keys: KeptKeys,
}

// SAFETY: handles are numbers, and are compared, not followed.
unsafe impl Send for Producer {}

impl Object for Producer {
    const KIND: Kind = Kind::Producer;
    const NAME: &'static str = "producer";
}

impl Owned for Producer {}

impl Producer {
    /// The number of a scope; nothing if there are too many.
    #[inline(always)]
    fn number(&mut self, handle: *const lmcache_scope) -> Result<Option<ScopeNumber>, Failure> {
        match self.last {
            Some((known, number)) if known == handle && slots::is_there(handle.addr() as u64) => {
                Ok(Some(number))
            }
            _ => self.find_number(handle),
        }
    }

    fn find_number(&mut self, handle: *const lmcache_scope) -> Result<Option<ScopeNumber>, Failure> {
        let is_there = slots::is_there(handles::number::<Scope, _>(handle)?);
        let number = match self.scopes.get(&handle).filter(|_| is_there) {
            Some(number) => *number,
            None => match self.keep(handle)? {
                Some(number) => number,
                None => return Ok(None),
            },
        };
        self.last = Some((handle, number));
        Ok(Some(number))
    }

    /// The number of a scope that comes for the first time.
    #[cold]
    fn keep(&mut self, handle: *const lmcache_scope) -> Result<Option<ScopeNumber>, Failure> {
        let Some(number) = self.thread.scope_of_few(&scope(handle)?, KEPT_SCOPES) else { return Ok(None) };
        if self.scopes.len() >= KEPT_SCOPES {
            // Of a host that makes a scope for each request nearly all are gone.
            self.scopes.retain(|known, _| slots::is_there(known.addr() as u64));
        }
        if self.scopes.len() >= KEPT_SCOPES {
            self.scopes.clear();
        }
        self.scopes.insert(handle, number);
        Ok(Some(number))
    }

    /// Records a call of keys alone: by their hashes, where they are what nearly all are.
    #[inline(always)]
    fn record(&mut self, call: HashedCall, keys: &Keys<'_>) -> Result<Option<CallId>, Failure> {
        if keys.hash_bytes == 32
            && keys.scopes.is_none()
            && keys.count > 0
            && let Some(number) = self.number(keys.scope)?
        {
            return Ok(self.thread.record_hashes(call, number, keys.hashes.as_chunks::<32>().0));
        }
        self.record_built(call, keys)
    }

    #[cold]
    fn record_built(&mut self, call: HashedCall, keys: &Keys<'_>) -> Result<Option<CallId>, Failure> {
        let (thread, keys) = (&mut self.thread, self.keys.of(keys)?);
        let recorded = match call {
            HashedCall::FinishWrite => thread.finish_write(keys),
            HashedCall::ReadEnter => thread.read_enter(keys),
            HashedCall::ReadExit => thread.read_exit(keys),
            HashedCall::FinishRead { read_locks } => thread.finish_read_prefetched(keys, read_locks.into()),
        };
        self.keys.trim();
        Ok(recorded)
    }
}

/// The number of no call: what a dropped one gets, so that its end is not taken for that of the call before.
const NO_CALL: lmcache_call_id = lmcache_call_id { number: 0, kind: 0, reserved: 0 };

/// Ends a call that records: says whether it was recorded, and writes its number if anybody wants it.
///
/// # Safety
/// `out` is NULL or points to room for a number.
#[inline(always)]
unsafe fn end(recorded: Option<CallId>, out: *mut lmcache_call_id) -> Ended {
    let Some(call) = recorded else {
        // SAFETY: the caller's promise.
        return unsafe { end_dropped(out) };
    };
    if !out.is_null() {
        let id = lmcache_call_id { number: call.to_bits(), kind: call.kind_number().into(), reserved: 0 };
        // SAFETY: the caller's promise.
        unsafe { out.write_unaligned(id) };
    }
    OK
}

/// # Safety
/// As for [`end`].
#[cold]
unsafe fn end_dropped(out: *mut lmcache_call_id) -> Ended {
    if !out.is_null() {
        // SAFETY: the caller's promise.
        unsafe { out.write_unaligned(NO_CALL) };
    }
    Ok(Status::LMCACHE_STATUS_DROPPED)
}

/// Makes what the calling thread records with. It lives on its own: the recorder may be closed and freed before it, and then calls are
/// dropped. A thread that ends without having freed it has it freed then. CLOSED if the recorder was closed.
///
/// # Safety
/// `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_new(
    recorder: *const lmcache_recorder,
    out: *mut *mut lmcache_producer,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        handles::with::<Recorder, _>(recorder, |recorder| {
            let thread = recorder.0.thread()?;
            let producer = Producer { thread, scopes: HashMap::default(), last: None, keys: KeptKeys::new() };
            out.write(handles::new_owned(producer)?);
            OK
        })
    })
}

/// Gives a producer back; by its own thread, at the latest in a destructor of `pthread_key_create`. What it recorded is written. NULL is
/// fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_producer_free(producer: *mut lmcache_producer) -> Status {
    guard(|| handles::free_owned::<Producer, _>(producer))
}

/// Records `reserve_write`: the keys are about to be written, each an object of this layout. `call` may be NULL.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `call` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_reserve_write(
    producer: *mut lmcache_producer,
    keys: *const lmcache_key_list,
    layout: *const lmcache_layout,
    call: *mut lmcache_call_id,
) -> Status {
    handles::call_owned::<Producer, _>(producer, |producer| {
        // SAFETY: the caller's promise, here and below.
        let keys = unsafe { Keys::new(keys) }?;
        let layout = self::layout(layout)?;
        let recorded = producer.thread.reserve_write(producer.keys.of(&keys)?, &layout);
        producer.keys.trim();
        // SAFETY: as above.
        unsafe { end(recorded, call) }
    })
}

/// `hashed` is a function, and so each that calls this has code of its own, which knows the operation.
///
/// # Safety
/// As for the functions that call it.
#[inline(always)]
unsafe fn record(
    producer: *mut lmcache_producer,
    keys: *const lmcache_key_list,
    hashed: impl FnOnce() -> HashedCall,
    call: *mut lmcache_call_id,
) -> Status {
    handles::call_owned::<Producer, _>(producer, move |producer| {
        // SAFETY: the caller's promise, here and below.
        let keys = unsafe { Keys::new(keys) }?;
        let recorded = producer.record(hashed(), &keys)?;
        // SAFETY: as above.
        unsafe { end(recorded, call) }
    })
}

/// Records `finish_write`: what was reserved is readable now. `call` may be NULL.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `call` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_finish_write(
    producer: *mut lmcache_producer,
    keys: *const lmcache_key_list,
    call: *mut lmcache_call_id,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { record(producer, keys, || HashedCall::FinishWrite, call) }
}

/// Records that a reader enters: `read_prefetched_results`. `call` may be NULL.
///
/// # Safety
/// As for `lmcache_producer_finish_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_read_enter(
    producer: *mut lmcache_producer,
    keys: *const lmcache_key_list,
    call: *mut lmcache_call_id,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { record(producer, keys, || HashedCall::ReadEnter, call) }
}

/// Records that a reader leaves. `call` may be NULL.
///
/// # Safety
/// As for `lmcache_producer_finish_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_read_exit(
    producer: *mut lmcache_producer,
    keys: *const lmcache_key_list,
    call: *mut lmcache_call_id,
) -> Status {
    // SAFETY: the caller's promise.
    unsafe { record(producer, keys, || HashedCall::ReadExit, call) }
}

/// Records `finish_read_prefetched`: so many read locks on each key are released. `call` may be NULL.
///
/// # Safety
/// As for `lmcache_producer_finish_write`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_finish_read(
    producer: *mut lmcache_producer,
    keys: *const lmcache_key_list,
    read_locks: i64,
    call: *mut lmcache_call_id,
) -> Status {
    if let Ok(read_locks) = u16::try_from(read_locks) {
        // SAFETY: the caller's promise.
        return unsafe { record(producer, keys, move || HashedCall::FinishRead { read_locks }, call) };
    }
    handles::call_owned::<Producer, _>(producer, |producer| {
        // SAFETY: the caller's promise, here and below.
        let keys = unsafe { Keys::new(keys) }?;
        let recorded = producer.thread.finish_read_prefetched(producer.keys.of(&keys)?, read_locks);
        producer.keys.trim();
        // SAFETY: as above.
        unsafe { end(recorded, call) }
    })
}

/// Records `submit_prefetch_task`. `request_id` is the engine's name for the request; it may be NULL, and so may `call`.
///
/// # Safety
/// `spec` points to a spec whose pointers are what their fields say; `request_id` is NULL or ends in NUL; `call` is NULL or points to
/// room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_submit_prefetch(
    producer: *mut lmcache_producer,
    spec: *const lmcache_prefetch_spec,
    request_id: *const c_char,
    call: *mut lmcache_call_id,
) -> Status {
    handles::call_owned::<Producer, _>(producer, |producer| {
        // SAFETY: the caller's promise, here and below.
        let (spec, skip_l2) = unsafe { read_spec(spec) }?;
        // SAFETY: as above.
        let request_id = unsafe { optional_string(request_id, "request_id") }?.unwrap_or_default();
        let recorded = producer.thread.submit_prefetch_task(&spec, request_id, skip_l2);
        // SAFETY: as above.
        unsafe { end(recorded, call) }
    })
}

/// Records a call of the host's own: a name, and at most LMCACHE_MAX_HOST_CALL_BYTES bytes that mean something to it. `call` may be
/// NULL.
///
/// # Safety
/// `name` ends in NUL; `bytes` points to `length` bytes; `call` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_host_call(
    producer: *mut lmcache_producer,
    name: *const c_char,
    bytes: *const u8,
    length: usize,
    call: *mut lmcache_call_id,
) -> Status {
    handles::call_owned::<Producer, _>(producer, |producer| {
        // SAFETY: the caller's promise, here and below.
        let name = unsafe { string(name, "name") }?;
        // SAFETY: as above.
        let bytes = unsafe { slice(bytes, length, LMCACHE_MAX_HOST_CALL_BYTES, "bytes") }?;
        let recorded = producer.thread.host_call(name, bytes);
        // SAFETY: as above.
        unsafe { end(recorded, call) }
    })
}

/// Records what became of a call, which another thread of the same recording may have recorded. DROPPED if recording is off, if the ring is
/// full (`lost_completions` of the recorder counts that), or if the call itself was DROPPED.
///
/// # Safety
/// `completion` points to a completion whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_producer_complete(
    producer: *mut lmcache_producer,
    call: lmcache_call_id,
    completion: *const lmcache_completion,
) -> Status {
    handles::call_owned::<Producer, _>(producer, |producer| {
        // SAFETY: the caller's promise.
        let given = unsafe { growing(completion, "completion") }?;
        reserved("reserved of the call", call.reserved)?;
        let outcome = u8::try_from(given.outcome).ok().and_then(Outcome::from_number);
        let outcome = outcome.ok_or_else(|| {
            Failure::invalid(format!(
                "outcome is {}; it is LMCACHE_OUTCOME_DONE (1) to LMCACHE_OUTCOME_RAISED (4)",
                given.outcome
            ))
        })?;
        let completion = Completion {
            outcome,
            duration_ns: given.duration_ns,
            data_ready_ns: Some(given.data_ready_ns).filter(|ns| ![0, LMCACHE_NOT_KNOWN_NS].contains(ns)),
            requested_keys: given.requested_keys,
            hit_keys: given.hit_keys,
            bytes: given.bytes,
        };
        if call == NO_CALL {
            return Ok(Status::LMCACHE_STATUS_DROPPED);
        }
        let kind = u8::try_from(call.kind).ok();
        let call = kind.and_then(|kind| CallId::from_numbers(call.number, kind));
        let call = call.filter(|call| producer.thread.knows(*call));
        let call = call.ok_or_else(|| Failure::invalid("this is the number of no call of this recording"))?;
        match producer.thread.complete(call, &completion) {
            true => OK,
            false => Ok(Status::LMCACHE_STATUS_DROPPED),
        }
    })
}
