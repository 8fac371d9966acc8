//! Finding the index of a device again.

use super::checkpoint::{self, ContainerHeader};
use super::device::Device;
use super::foreign;
use super::geometry::{CONTAINER_HEADER_BYTES, CONTAINERS, Geometry, SLOT_HEADER_BYTES, encode_slot_header};
use super::key_codec;
use super::slots::{Found, Slots};
use crate::error::Result;
use crate::format::model::ObjectKey;
use crate::storage::config::Compat;
use crate::storage::config::l2::RawBlockAdapterConfig;

/// The threads that compare the headers of slots with the index, as in LMCache.
const VERIFY_THREADS: usize = 8;

/// A checkpoint that says a higher number is none: numbers go up by one.
const MAX_SEQUENCE: u64 = u64::MAX >> 1;

/// A device's index, and how it was found.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) slots: Slots,
    /// The number of the newest checkpoint, used or not; 0 if there is none. As LMCache, 0 if it was not used: then the
    /// next one may be older than it, and not be used either.
    pub(super) sequence: u64,
    pub(super) report: Report,
}

/// What a recovery met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    /// Objects that were found.
    pub(super) recovered: u64,
    /// Entries of the checkpoint that could not be right.
    pub(super) dropped: u64,
    /// Entries whose slot has another object now.
    pub(super) stale: u64,
    /// Checkpoints whose header was there and whose JSON was not: torn, or overwritten.
    pub(super) torn: u64,
    /// Why the newest whole checkpoint was not used.
    pub(super) refused: Option<String>,
}

/// Reads the newest whole checkpoint of `device`, and checks each slot that it lists.
///
/// # Errors
/// If the device cannot be read, or holds something that is not raw_block's. A checkpoint that cannot be used is none:
/// the device starts empty, and the report says why.
pub(super) fn recover(
    device: &Device,
    config: &RawBlockAdapterConfig,
    geometry: &Geometry,
    compat: Compat,
) -> Result<Recovered> {
    let mut report = Report::default();
    let (newest, has_any) = newest_checkpoint(device, config, geometry, &mut report)?;
    // What a checkpoint lists that is not used now, a later run may believe.
    let listed_below = if has_any { geometry.max_slots } else { 0 };
    let empty = |sequence, report| Recovered {
        slots: Slots::new(geometry.max_slots, 0, Vec::new(), listed_below),
        sequence: if compat == Compat::Native { sequence } else { 0 },
        report,
    };
    let Some((sequence, json)) = newest else { return Ok(empty(0, report)) };
    if !config.load_checkpoint_on_init {
        return Ok(empty(sequence, report));
    }
    let mut loaded = match checkpoint::decode(&json, config, geometry) {
        Ok(loaded) => loaded,
        Err(error) => {
            report.refused = Some(error.to_string());
            return Ok(empty(sequence, report));
        }
    };
    drop(json);
    report.dropped = loaded.dropped;
    if config.meta_verify_on_load {
        let listed = loaded.found.len();
        loaded.found = verified(device, geometry, loaded.found);
        report.stale = (listed - loaded.found.len()) as u64;
    }
    report.recovered = loaded.found.len() as u64;
    let slots = Slots::new(geometry.max_slots, loaded.next_slot, loaded.found, listed_below);
    if report.stale + report.dropped > 0 {
        slots.touch();
    }
    Ok(Recovered { slots, sequence, report })
}

/// The number of a checkpoint and its bytes.
type Newest = (u64, Vec<u8>);

/// The number of a checkpoint, and its JSON.
type Numbered = (u64, Vec<u8>);

/// The number and the JSON of the newest whole checkpoint, and whether there is any, whole or not.
fn newest_checkpoint(
    device: &Device,
    config: &RawBlockAdapterConfig,
    geometry: &Geometry,
    report: &mut Report,
) -> Result<(Option<Newest>, bool)> {
    let (mut newest, mut has_any): (Option<Numbered>, bool) = (None, false);
    for container in 0..CONTAINERS {
        let offset = geometry.container_offset(container);
        let bytes = device.read_bytes(CONTAINER_HEADER_BYTES, offset)?;
        let header = ContainerHeader::decode(&bytes, config.meta_magic, config.meta_version);
        let possible = 1..=geometry.max_checkpoint_bytes();
        let Some(header) = header.filter(|header| possible.contains(&header.payload_bytes)) else {
            continue;
        };
        has_any = true;
        let json = device.read_bytes(header.payload_bytes as usize, offset + geometry.block_align)?;
        if crc32fast::hash(&json) != header.crc32 || header.sequence > MAX_SEQUENCE {
            report.torn += 1;
        } else if newest.as_ref().is_none_or(|(sequence, _)| header.sequence > *sequence) {
            newest = Some((header.sequence, json));
        }
    }
    let another = foreign::check_ownership(device, config, geometry)?;
    if let Some(field) = another.filter(|_| !has_any) {
        report.refused = Some(checkpoint::written_with_another(field).to_string());
        has_any = true;
    }
    Ok((newest, has_any))
}

/// Those objects whose slots have them. A slot that cannot be read has none.
fn verified(device: &Device, geometry: &Geometry, found: Vec<Found>) -> Vec<Found> {
    if found.is_empty() {
        return found;
    }
    let stretch = found.len().div_ceil(VERIFY_THREADS);
    let check = |found: &[Found]| -> Vec<bool> {
        let is_there =
            |found: &Found| is_in_its_slot(device, geometry, &found.key, found.slot, found.size_bytes);
        found.iter().map(is_there).collect()
    };
    let are_there: Vec<bool> = std::thread::scope(|scope| {
        let threads: Vec<_> = found.chunks(stretch).map(|part| scope.spawn(move || check(part))).collect();
        // A thread that panicked has verified nothing.
        let results = threads.into_iter().map(|thread| thread.join().unwrap_or_default());
        let of_parts = found.chunks(stretch).zip(results);
        of_parts
            .flat_map(|(part, mut result)| {
                result.resize(part.len(), false);
                result
            })
            .collect()
    });
    found.into_iter().zip(are_there).filter(|(_, is_there)| *is_there).map(|(found, _)| found).collect()
}

/// Whether the header of `slot` names `key` with that size.
pub(super) fn is_in_its_slot(
    device: &Device,
    geometry: &Geometry,
    key: &ObjectKey,
    slot: u32,
    size_bytes: u64,
) -> bool {
    let identity = key_codec::slot_identity(&key_codec::encode(key));
    let expected = encode_slot_header(identity, size_bytes);
    let header = device.read_bytes(SLOT_HEADER_BYTES, geometry.slot_offset(slot));
    header.is_ok_and(|header| header == expected)
}
