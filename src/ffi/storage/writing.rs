//! Writing: `reserve_write`, `finish_write`.

use std::ffi::c_char;

use super::manager::lmcache_storage;
use super::outputs::Outputs;
use super::scratch::on_keys;
use crate::ffi::border::boundary::{Ended, Failure, OK};
use crate::ffi::border::status::Status;
use crate::ffi::keys::{layout, lmcache_key_list, lmcache_layout};
use crate::format::model::{ObjectKey, WriteMode};
use crate::storage::{KeyCodes, L1Error, StorageManager, WriteReservation};

/// What happened to a key, by LMCache's numbers: it was done.
pub const LMCACHE_KEY_SUCCESS: u32 = 1;
/// There is no such object; for readers this includes one that is being written.
pub const LMCACHE_KEY_NOT_EXIST: u32 = 2;
/// The object is there, but nobody holds a read lock on it.
pub const LMCACHE_KEY_NOT_READABLE: u32 = 3;
/// The object is there already, or is being written.
pub const LMCACHE_KEY_NOT_WRITABLE: u32 = 4;
/// The lock that the call ends is not held, or has expired.
pub const LMCACHE_KEY_IN_WRONG_STATE: u32 = 5;
/// Somebody reads or writes the object.
pub const LMCACHE_KEY_IS_LOCKED: u32 = 6;
/// Not all objects of the call fit.
pub const LMCACHE_KEY_OUT_OF_MEMORY: u32 = 7;

/// Reserves keys that are not there yet: what LMCache 0.5.6 does.
pub const LMCACHE_WRITE_NEW: u32 = 0;
/// Reserves keys that are there, with their buffers as they are.
pub const LMCACHE_WRITE_UPDATE: u32 = 1;
/// Reserves either.
pub const LMCACHE_WRITE_ALL: u32 = 2;

/// The buffer of a key that was reserved.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_write_buffer {
    /// Where the object is written to; NULL if the key was not reserved.
    pub data: *mut u8,
    /// Bytes of the object, as its layout has it; 0 if it was not reserved.
    pub size_bytes: u64,
    /// One of LMCACHE_KEY_*.
    pub outcome: u32,
    /// Which L1 manager it lies in: 0 where there is one.
    pub l1_manager: u32,
}

const LABELS: [&std::ffi::CStr; 7] = [
    c"SUCCESS",
    c"KEY_NOT_EXIST",
    c"KEY_NOT_READABLE",
    c"KEY_NOT_WRITABLE",
    c"KEY_IN_WRONG_STATE",
    c"KEY_IS_LOCKED",
    c"OUT_OF_MEMORY",
];

/// LMCache's name of what happened to a key, for instance "KEY_IS_LOCKED", and "UNKNOWN" for a number that is none: static, never NULL,
/// not to be freed. Any thread may call this at any time.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_key_outcome_name(outcome: u32) -> *const c_char {
    let position = (outcome as usize).checked_sub(1);
    position.and_then(|position| LABELS.get(position)).map_or(c"UNKNOWN", |name| name).as_ptr()
}

/// Reserves a buffer for each key that is neither stored nor being written, as `mode` has it (LMCACHE_WRITE_*). `buffers` gets one value
/// for each key, in their order; `buffer_count` says how many there is room for. OK says that the call was served, and `outcome`
/// what became of each key: buffers of one call are given together, so if one finds no room, none does, and LMCache's
/// engines go on without storing. A key that is named twice has one buffer.
///
/// Buffers are memory of L1, aligned as the configuration says. They are the caller's until `lmcache_storage_finish_write`, or until
/// the reservation expires (`l1_write_ttl_seconds`, 600 if nothing is said): after that they can be another object's, and must not be
/// written. So a caller that is late finds out from `finish_write`, and must have written before it was late.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `buffers` points to room for `buffer_count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_reserve_write(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    layout: *const lmcache_layout,
    mode: u32,
    buffers: *mut lmcache_write_buffer,
    buffer_count: usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], _: Option<&[u32]>| {
        // SAFETY: the caller's promise.
        let buffers = unsafe { Outputs::new(buffers, buffer_count, keys.len(), "buffers") }?;
        let layout = self::layout(layout)?;
        let mode = match mode {
            LMCACHE_WRITE_NEW => WriteMode::New,
            LMCACHE_WRITE_UPDATE => WriteMode::Update,
            LMCACHE_WRITE_ALL => WriteMode::All,
            other => {
                return Err(Failure::invalid(format!(
                    "mode is {other}; it is LMCACHE_WRITE_NEW (0) to LMCACHE_WRITE_ALL (2)"
                )));
            }
        };
        let reserved = manager.reserve_write_with_mode(keys, &layout, mode)?;
        buffers.write((0..keys.len()).map(|position| write_buffer(&reserved, position)));
        OK
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, std::ptr::null(), call) }
}

fn write_buffer(reserved: &WriteReservation, position: usize) -> lmcache_write_buffer {
    let outcome = reserved.codes().as_slice()[position];
    // A key that was named twice has its buffer where it was reserved, whatever was said the second time.
    let buffer = reserved.buffer(position);
    lmcache_write_buffer {
        data: buffer.map_or(std::ptr::null_mut(), |buffer| buffer.as_mut_ptr()),
        size_bytes: buffer.map_or(0, |buffer| buffer.span().size_bytes),
        outcome: outcome as u32,
        l1_manager: reserved.owner(position),
    }
}

/// Makes what was reserved and written readable, and has it stored to L2 in the background. `l1_managers` may be NULL where there is one
/// L1 manager; else it has for each key where it was reserved. `outcomes` gets one of LMCACHE_KEY_* for each key:
/// LMCACHE_KEY_NOT_EXIST if it was not reserved, LMCACHE_KEY_IN_WRONG_STATE if its reservation had expired, and then what was written is
/// lost. With `outcome_count` 0 it may be NULL. OK says that the call was served.
///
/// # Safety
/// `keys` points to a list whose pointers are what their fields say; `l1_managers` is NULL or points to as many numbers; `outcomes`
/// points to room for `outcome_count` values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_storage_finish_write(
    storage: *const lmcache_storage,
    keys: *const lmcache_key_list,
    l1_managers: *const u32,
    outcomes: *mut u32,
    outcome_count: usize,
) -> Status {
    let call = |manager: &StorageManager, keys: &[ObjectKey], owners: Option<&[u32]>| {
        // SAFETY: the caller's promise.
        let outcomes = unsafe { Outputs::optional(outcomes, outcome_count, keys.len(), "outcomes") }?;
        match owners {
            None => write_outcomes(outcomes, manager.finish_write(keys)?.as_slice()),
            Some(owners) => write_outcomes(outcomes, &finish_by_owner(manager, keys, owners)?),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { on_keys(storage, keys, l1_managers, call) }
}

/// Writes what happened to each key, if anybody wants to know.
pub(super) fn write_outcomes(outcomes: Option<Outputs<u32>>, codes: &[L1Error]) -> Ended {
    if let Some(outcomes) = outcomes {
        outcomes.write(codes.iter().map(|code| *code as u32));
    }
    OK
}

/// Finishes keys in the L1 of each, and says what happened to them in their order.
fn finish_by_owner(
    manager: &StorageManager,
    keys: &[ObjectKey],
    owners: &[u32],
) -> Result<Vec<L1Error>, Failure> {
    let count = manager.l1_managers().len();
    if let Some(owner) = owners.iter().find(|owner| **owner as usize >= count) {
        return Err(Failure::invalid(format!("there is no L1 manager {owner}: there are {count}, from 0")));
    }
    let mut keys_of: Vec<Vec<ObjectKey>> = vec![Vec::new(); count];
    for (key, owner) in keys.iter().zip(owners) {
        keys_of[*owner as usize].push(key.clone());
    }
    let groups: Vec<(u32, &[ObjectKey])> =
        (0..).zip(&keys_of).map(|(owner, keys)| (owner, &**keys)).collect();
    let groups: Vec<_> = groups.into_iter().filter(|(_, keys)| !keys.is_empty()).collect();
    let finished: Vec<KeyCodes> = manager.finish_write_by_owner(&groups)?;
    let mut codes_of: Vec<std::slice::Iter<'_, L1Error>> = vec![[].iter(); count];
    for ((owner, _), codes) in groups.iter().zip(&finished) {
        codes_of[*owner as usize] = codes.as_slice().iter();
    }
    let code = |owner: &u32| codes_of[*owner as usize].next().copied().unwrap_or(L1Error::KeyNotExist);
    Ok(owners.iter().map(code).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_numbers_and_names_of_lmcache() {
        let numbers = [
            LMCACHE_KEY_SUCCESS,
            LMCACHE_KEY_NOT_EXIST,
            LMCACHE_KEY_NOT_READABLE,
            LMCACHE_KEY_NOT_WRITABLE,
            LMCACHE_KEY_IN_WRONG_STATE,
            LMCACHE_KEY_IS_LOCKED,
            LMCACHE_KEY_OUT_OF_MEMORY,
        ];
        for ((code, number), label) in L1Error::ALL.into_iter().zip(numbers).zip(LABELS) {
            assert_eq!((code as u32, code.name()), (number, label.to_str().unwrap()));
            assert_eq!(lmcache_key_outcome_name(number), label.as_ptr());
        }
        for number in [0, 8, u32::MAX] {
            assert_eq!(lmcache_key_outcome_name(number), c"UNKNOWN".as_ptr());
        }
    }
}
