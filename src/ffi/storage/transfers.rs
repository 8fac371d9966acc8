//! Objects from and to an engine's pages: the two calls, and the handle of what they begin.

use std::ffi::{CStr, c_char, c_void};
use std::time::Duration;

use super::manager::lmcache_storage;
use super::outputs::Outputs;
use super::prefetch::OnDone;
use super::scratch::{map, on_keys};
use crate::device::PagedLayout;
use crate::ffi::border::args::{Growing, Output, output, slice};
use crate::ffi::border::boundary::{Ended, Failure, OK, guard};
use crate::ffi::border::growing_output::{GrowingOutput, optional_growing_output};
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::device::paged::{lmcache_paged_layout, paged_layout};
use crate::ffi::device::stream::{OpenStream, lmcache_device_stream};
use crate::ffi::handles::{self, Kind, Object, Shared};
use crate::ffi::keys::{LMCACHE_MAX_TENSORS, layout, lmcache_key_list, lmcache_layout};
use crate::format::model::ObjectKey;
use crate::storage::StorageManager;
use crate::storage::device::{
    DeviceRetrieve, DeviceStore, ObjectOutcome, PagedPart, TransferOutcome, TransferTicket,
};
use crate::sync::{Arc, OnceLock};

/// Blocks of a table, at most.
pub const LMCACHE_MAX_BLOCKS: usize = 16777216;

/// An engine without a block that stands for nothing.
pub const LMCACHE_NO_NULL_BLOCK: i64 = -1;

/// What became of a key of a transfer: it was moved. A stored one can be read now.
pub const LMCACHE_TRANSFER_MOVED: u32 = 0;
/// It was not stored: it is there already, or somebody else is writing it.
pub const LMCACHE_TRANSFER_ALREADY_THERE: u32 = 1;
/// It was not stored: all its blocks are the null block.
pub const LMCACHE_TRANSFER_NULL_BLOCKS: u32 = 2;
/// It was not stored: L1 has no room for what the call had to store.
pub const LMCACHE_TRANSFER_OUT_OF_MEMORY: u32 = 3;
/// It was not retrieved: it is not there, or nobody holds a read lock on it.
pub const LMCACHE_TRANSFER_NOT_READABLE: u32 = 4;
/// It was moved, but is not stored: it was deleted meanwhile, or its reservation ran out.
pub const LMCACHE_TRANSFER_LOST: u32 = 5;
/// It was not moved, or not wholly: the transfer failed, and says why.
pub const LMCACHE_TRANSFER_FAILED: u32 = 6;

/// A store from a device or a retrieve to one, under way or over. Any number of threads may use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_transfer(());

/// Told once that a transfer is over: on a thread of the storage manager, which finishes no other transfer meanwhile, so it has to be short;
/// on one of the device, if the storage manager was closed before; or, if it is over already, on the thread that asks to be told, before that call
/// returns. It may call the library, up to 4 calls deep; to wait for a transfer, and to free its storage manager or a device, is BUSY. It must
/// return.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_transfer_callback = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// The pages of one kind of layers: their cache, and which blocks are which object. Borrowed for the time of the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_paged_part {
    /// The cache.
    pub layout: *const lmcache_paged_layout,
    /// The block table: the blocks of the first key, those of the second, and so on.
    pub block_ids: *const i64,
    /// How many there are, at least as many as the keys need; what is behind is not looked at. At most LMCACHE_MAX_BLOCKS.
    pub block_count: usize,
    /// How many tokens of an object this part holds: LMCache's chunk size, a multiple of the tokens of a block.
    pub object_tokens: u64,
    /// How many places of the table a retrieve leaves alone, from the first on; 0 of a store.
    pub skip_prefix_blocks: u64,
}

/// How a transfer ended. It begins with its size; `LMCACHE_TRANSFER_RESULT_INIT` sets it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_transfer_result {
    /// `sizeof(lmcache_transfer_result)`.
    pub struct_size: u32,
    /// LMCACHE_STATUS_OK, or the status of the error.
    pub status: i32,
    /// Keys of the call.
    pub key_count: u64,
    /// Those that were moved.
    pub moved_keys: u64,
    /// Those that were left alone: there already, or of null blocks alone.
    pub spared_keys: u64,
    /// All others.
    pub failed_keys: u64,
    /// Bytes that were moved; 0 if the transfer failed.
    pub bytes: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_transfer_result {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

const LABELS: [&CStr; 7] =
    [c"MOVED", c"ALREADY_THERE", c"NULL_BLOCKS", c"OUT_OF_MEMORY", c"NOT_READABLE", c"LOST", c"FAILED"];

/// The name of what became of a key of a transfer, for instance "ALREADY_THERE", and "UNKNOWN" for a number that is none: static, never
/// NULL, not to be freed. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_transfer_outcome_name(outcome: u32) -> *const c_char {
    LABELS.get(outcome as usize).map_or(c"UNKNOWN", |name| name).as_ptr()
}

struct Transfer {
    /// Nothing only as long as nobody has the handle: see [`hand_out`].
    ticket: Arc<OnceLock<TransferTicket>>,
    /// The handle of the storage manager.
    storage: u64,
}

impl Object for Transfer {
    const KIND: Kind = Kind::Transfer;
    const NAME: &'static str = "transfer";
}

impl Shared for Transfer {}

/// A handle that is given back, unless it is handed out.
struct Unused(*mut lmcache_transfer);

impl Drop for Unused {
    fn drop(&mut self) {
        // Null if it was handed out.
        let _ = handles::free::<Transfer, _>(self.0);
    }
}

/// Writes the handle of what `begin` begins to `out`. There is a handle before anything is begun: a transfer that nobody can wait for
/// would go on writing pages.
fn hand_out(
    out: Output<'_, *mut lmcache_transfer>,
    storage: u64,
    begin: impl FnOnce() -> crate::error::Result<TransferTicket>,
) -> Ended {
    let ticket: Arc<OnceLock<TransferTicket>> = Arc::default();
    let mut unused = Unused(handles::new(Transfer { ticket: Arc::clone(&ticket), storage })?);
    let begun = begin()?;
    ticket.get_or_init(|| begun);
    out.write(std::mem::replace(&mut unused.0, std::ptr::null_mut()));
    OK
}

impl Transfer {
    fn outcome(&self) -> Option<Arc<TransferOutcome>> {
        self.ticket.get()?.poll()
    }

    /// Tells how it ended, or that it has not.
    fn tell(&self, out: Option<GrowingOutput<lmcache_transfer_result>>) -> Ended {
        let Some(outcome) = self.outcome() else { return Ok(Status::LMCACHE_STATUS_PENDING) };
        if let Some(out) = out {
            out.write(&numbers(&outcome));
        }
        match &outcome.error {
            None => OK,
            Some(error) => Err(Failure::misuse(Status::of(error.kind()), error.to_string())),
        }
    }
}

fn numbers(outcome: &TransferOutcome) -> lmcache_transfer_result {
    let count =
        |outcomes: &[ObjectOutcome]| -> u64 { outcomes.iter().map(|one| outcome.count(*one) as u64).sum() };
    let key_count = outcome.objects.len() as u64;
    let moved_keys = count(&[ObjectOutcome::Moved]);
    let spared_keys = count(&[ObjectOutcome::AlreadyThere, ObjectOutcome::NullBlocks]);
    let status = outcome.error.as_ref().map_or(Status::LMCACHE_STATUS_OK, |error| Status::of(error.kind()));
    lmcache_transfer_result {
        struct_size: size_of::<lmcache_transfer_result>() as u32,
        status: status as i32,
        key_count,
        moved_keys,
        spared_keys,
        failed_keys: key_count - moved_keys - spared_keys,
        bytes: outcome.bytes,
    }
}

/// Parts that were looked at, with what they borrow.
struct Parts<'a>(Vec<(Arc<PagedLayout>, &'a lmcache_paged_part, &'a [i64])>);

impl<'a> Parts<'a> {
    /// # Safety
    /// `parts` points to `count` parts whose pointers are what their fields say, for `'a`.
    unsafe fn new(parts: *const lmcache_paged_part, count: usize) -> Result<Self, Failure> {
        // SAFETY: passed on, here and below.
        let parts: &[lmcache_paged_part] = unsafe { slice(parts, count, LMCACHE_MAX_TENSORS, "parts") }?;
        let mut looked_at = Vec::with_capacity(parts.len());
        for part in parts {
            let (ids, count) = (part.block_ids, part.block_count);
            // SAFETY: as above.
            let block_ids = unsafe { slice(ids, count, LMCACHE_MAX_BLOCKS, "block_ids") }?;
            looked_at.push((paged_layout(part.layout)?, part, block_ids));
        }
        Ok(Self(looked_at))
    }

    fn list(&self) -> Vec<PagedPart<'_>> {
        self.0
            .iter()
            .map(|(layout, part, block_ids)| PagedPart {
                layout,
                block_ids,
                object_tokens: part.object_tokens,
                skip_prefix_blocks: part.skip_prefix_blocks,
            })
            .collect()
    }
}

/// Stores the objects of `keys` from the pages of an engine: reserves those that are not there yet, gathers them on `stream` behind all that
/// was submitted to it, and makes them readable when the last byte has come, as LMCache's server does. It does not wait: `out` is
/// a transfer, to be asked, waited for or told of, and freed. `layout` is what each object is: a tensor for each part, of as many bytes.
/// `null_block` is the block that the engine names where it has nothing, or LMCACHE_NO_NULL_BLOCK: an object of nothing else is not
/// stored.
///
/// INVALID_ARGUMENT if the pages do not fit the objects or name blocks that do not exist, or a key is named twice; CLOSED. Nothing
/// is reserved then. What goes wrong on the device, the transfer tells. The pages must not change before it is over.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `parts` points to `part_count` parts, likewise; `out` points to room
/// for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_store_from_device(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    layout: *const lmcache_layout,
    parts: *const lmcache_paged_part,
    part_count: usize,
    null_block: i64,
    stream: *const lmcache_device_stream,
    out: *mut *mut lmcache_transfer,
) -> Status {
    let number = storage.addr() as u64;
    let call = |manager: &StorageManager, keys: &[ObjectKey], _: Option<&[u32]>| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        let layout = self::layout(layout)?;
        // SAFETY: as above.
        let parts = unsafe { Parts::new(parts, part_count) }?;
        let null_block = (null_block != LMCACHE_NO_NULL_BLOCK).then_some(null_block);
        let request = DeviceStore { keys, layout: &layout, parts: &parts.list(), null_block };
        handles::with::<OpenStream, _>(stream, |stream| {
            hand_out(out, number, || manager.store_from_device(&request, &*stream.0))
        })
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, std::ptr::null(), call) }
}

/// Retrieves the objects of `keys`, which a prefetch has found and locked, into the pages of an engine: scatters them on `stream` behind
/// all that was submitted to it, and releases one lock on each key when the last byte has gone, or when it is clear that it will
/// not. It does not wait: `out` is a transfer. If one of the keys cannot be read, nothing is moved. `l1_managers` are those that the prefetch gave,
/// and may be NULL where there is one L1 manager.
///
/// INVALID_ARGUMENT if the pages do not fit the objects or name blocks that do not exist; CLOSED. The locks are still the caller's
/// then. What goes wrong on the device, the transfer tells. The pages must not be used before it is over.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `parts` points to
/// `part_count` parts whose pointers are what their fields say; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_retrieve_to_device(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    l1_managers: *const u32,
    parts: *const lmcache_paged_part,
    part_count: usize,
    stream: *const lmcache_device_stream,
    out: *mut *mut lmcache_transfer,
) -> Status {
    let number = storage.addr() as u64;
    let call = |manager: &StorageManager, keys: &[ObjectKey], owners: Option<&[u32]>| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let parts = unsafe { Parts::new(parts, part_count) }?;
        let owners = map(keys, owners);
        let request = DeviceRetrieve { keys, parts: &parts.list(), owners: owners.as_ref() };
        handles::with::<OpenStream, _>(stream, |stream| {
            hand_out(out, number, || manager.retrieve_to_device(&request, &*stream.0))
        })
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, l1_managers, call) }
}

/// Asks how a transfer ended: PENDING while it has not. OK if the device did what it had to, and else the status of what went wrong, with its
/// sentence; `out`, which may be NULL, has the numbers in both cases. It can be asked again.
///
/// # Safety
/// `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_transfer_query(
    transfer: *const lmcache_transfer,
    out: *mut lmcache_transfer_result,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { optional_growing_output(out, "out") }?;
        handles::with::<Transfer, _>(transfer, |transfer| transfer.tell(out))
    })
}

/// The same, after at most `timeout_ns`: PENDING if it is not over by then. UINT64_MAX waits for as long as it takes. Within a callback it is
/// BUSY, unless the transfer is over or `timeout_ns` is 0.
///
/// # Safety
/// `out` is NULL or points to a result whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_transfer_wait(
    transfer: *const lmcache_transfer,
    timeout_ns: u64,
    out: *mut lmcache_transfer_result,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { optional_growing_output(out, "out") }?;
        handles::with::<Transfer, _>(transfer, |transfer| {
            if let Some(ticket) =
                transfer.ticket.get().filter(|ticket| timeout_ns > 0 && ticket.poll().is_none())
            {
                callbacks::refuse_in_callback("lmcache_transfer_wait")?;
                ticket.wait(Duration::from_nanos(timeout_ns));
            }
            transfer.tell(out)
        })
    })
}

/// What became of each key, in the order of the call: one of LMCACHE_TRANSFER_*. PENDING, and nothing is written, while it is not over.
///
/// # Safety
/// `outcomes` points to room for `outcome_count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_transfer_get_outcomes(
    transfer: *const lmcache_transfer,
    outcomes: *mut u32,
    outcome_count: usize,
) -> Status {
    guard(|| {
        handles::with::<Transfer, _>(transfer, |transfer| {
            let Some(outcome) = transfer.outcome() else {
                return Ok(Status::LMCACHE_STATUS_PENDING);
            };
            let needed = outcome.objects.len();
            // SAFETY: the caller's promise.
            let outcomes = unsafe { Outputs::new(outcomes, outcome_count, needed, "outcomes") }?;
            outcomes.write(outcome.objects.iter().map(|outcome| *outcome as u32));
            OK
        })
    })
}

/// Has `callback` be told once when the transfer is over, also if it is freed before. It can be asked for several times; each is told.
///
/// # Safety
/// `callback` may be called once with `user_data` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_transfer_on_done(
    transfer: *const lmcache_transfer,
    callback: lmcache_transfer_callback,
    user_data: *mut c_void,
) -> Status {
    guard(|| {
        let callback = callback.ok_or_else(|| Failure::null("callback"))?;
        callbacks::refuse_too_deep()?;
        let number = handles::number::<Transfer, _>(transfer)?;
        let mut told = None;
        handles::with::<Transfer, _>(transfer, |transfer| {
            told = transfer.ticket.get().cloned().map(|ticket| (ticket, transfer.storage));
            OK
        })?;
        // Outside of the call on the handle, as deep as any other callback.
        if let Some((ticket, storage)) = told {
            let on_done = OnDone { callback, user_data, handles: [storage, number] };
            ticket.on_done(move |_| on_done.call());
        }
        OK
    })
}

/// Gives a transfer back; NULL is fine. One that is under way goes on.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_transfer_free(transfer: *mut lmcache_transfer) -> Status {
    guard(|| handles::free::<Transfer, _>(transfer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_numbers_and_names_of_the_library() {
        let all = [
            (ObjectOutcome::Moved, LMCACHE_TRANSFER_MOVED, c"MOVED"),
            (ObjectOutcome::AlreadyThere, LMCACHE_TRANSFER_ALREADY_THERE, c"ALREADY_THERE"),
            (ObjectOutcome::NullBlocks, LMCACHE_TRANSFER_NULL_BLOCKS, c"NULL_BLOCKS"),
            (ObjectOutcome::OutOfMemory, LMCACHE_TRANSFER_OUT_OF_MEMORY, c"OUT_OF_MEMORY"),
            (ObjectOutcome::NotReadable, LMCACHE_TRANSFER_NOT_READABLE, c"NOT_READABLE"),
            (ObjectOutcome::Lost, LMCACHE_TRANSFER_LOST, c"LOST"),
            (ObjectOutcome::Failed, LMCACHE_TRANSFER_FAILED, c"FAILED"),
        ];
        for (outcome, number, name) in all {
            assert_eq!(outcome as u32, number);
            assert_eq!(LABELS[number as usize], name);
            assert_eq!(lmcache_transfer_outcome_name(number), LABELS[number as usize].as_ptr());
        }
        assert_eq!(lmcache_transfer_outcome_name(7), c"UNKNOWN".as_ptr());
    }
}
