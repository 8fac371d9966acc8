//! What is on a device that is not raw_block's own is refused before the first write.
//!
//! A checkpoint goes over whatever lies there: a file system, a partition table, a file that was named by mistake.
//! LMCache formats all of them. The first checkpoint's place tells, since it is written first and its header is one
//! sector. A device is raw_block's if there
//!
//! * is a header with the magic, whatever became of the rest; or
//! * is the JSON of a checkpoint behind a block that can be a header: one with another magic, or none yet, because the
//!   process was killed between the two writes; or
//! * are zeros, and zeros or a header with the magic in the second place: a new device, or one that was wiped.
//!
//! The second checkpoint and the slots alone prove nothing: they outlive a `mkfs` of the device.

use std::ops::Range;

use super::checkpoint::ContainerHeader;
use super::device::Device;
use super::geometry::{CONTAINER_HEADER_BYTES, Geometry};
use crate::error::{Error, Result};
use crate::storage::config::l2::RawBlockAdapterConfig;

/// What the JSON of every checkpoint begins with, LMCache's and ours.
const JSON_BEGIN: &[u8] = b"{\"version\":";

/// How much of the first block is looked at; whoever else puts something there does so before this.
const MAX_BLOCK_BYTES: u64 = 1 << 16;

/// How much is read at once when zeros are looked for.
const STRETCH_BYTES: usize = 1 << 20;

/// How many bytes of what is there the error shows.
const SHOWN_BYTES: usize = 16;

/// Makes sure that the device is raw_block's, or new. Returns the setting in which the first checkpoint is one of another
/// configuration, if it is whole.
///
/// # Errors
/// If the device cannot be read, or holds something that is not raw_block's.
pub(super) fn check_ownership(
    device: &Device,
    config: &RawBlockAdapterConfig,
    geometry: &Geometry,
) -> Result<Option<&'static str>> {
    let block = device.read_bytes(geometry.block_align.min(MAX_BLOCK_BYTES) as usize, 0)?;
    let has_magic = block.starts_with(&config.meta_magic);
    let json = device.read_bytes(JSON_BEGIN.len(), geometry.block_align)?;
    if has_magic || (json == JSON_BEGIN && is_zero(&block[CONTAINER_HEADER_BYTES..])) {
        let is_of_this = ContainerHeader::decode(&block, config.meta_magic, config.meta_version).is_some();
        let field = if has_magic { "meta_version" } else { "meta_magic" };
        return Ok((!is_of_this && is_whole(device, geometry, &block)?).then_some(field));
    }
    refuse_content(device, geometry, 0..geometry.container_bytes)?;
    let second = device.read_bytes(CONTAINER_HEADER_BYTES, geometry.container_bytes)?;
    if !second.starts_with(&config.meta_magic) {
        refuse_content(device, geometry, geometry.container_bytes..geometry.meta_total_bytes)?;
    }
    Ok(None)
}

/// Whether the first checkpoint has the checksum that the header in `block` says, under whatever magic and version.
fn is_whole(device: &Device, geometry: &Geometry, block: &[u8]) -> Result<bool> {
    let possible = 1..=geometry.max_checkpoint_bytes();
    let header = ContainerHeader::decode_any(block).filter(|header| possible.contains(&header.payload_bytes));
    let Some(header) = header else { return Ok(false) };
    let json = device.read_bytes(header.payload_bytes as usize, geometry.block_align)?;
    Ok(crc32fast::hash(&json) == header.crc32)
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Refuses a stretch of the metadata that is not zeros.
fn refuse_content(device: &Device, geometry: &Geometry, stretch: Range<u64>) -> Result<()> {
    let zeros = vec![0; STRETCH_BYTES];
    for offset in stretch.clone().step_by(STRETCH_BYTES) {
        let len = (stretch.end - offset).min(STRETCH_BYTES as u64) as usize;
        let bytes = device.read_bytes(len, offset)?;
        // Slices are compared in one go, bytes one by one.
        if bytes != zeros[..len] {
            let at = bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
            let shown = &bytes[at..len.min(at + SHOWN_BYTES)];
            return Err(holds_something_else(device, geometry, offset + at as u64, shown));
        }
    }
    Ok(())
}

fn holds_something_else(device: &Device, geometry: &Geometry, offset: u64, shown: &[u8]) -> Error {
    let path = device.path().display();
    // As a shell reads it.
    let quoted = path.to_string().replace('\'', r"'\''");
    Error::invalid("the raw block device holds something else, which the adapter would overwrite")
        .with_context("path", &path)
        .with_context("offset", offset)
        .with_context("found", format_args!("\"{}\"", shown.escape_ascii()))
        .with_hint(format!(
            "name another device or file; if nobody needs what is there, zero the metadata by `dd if=/dev/zero \
             of='{quoted}' bs=1M count={} iflag=count_bytes conv=notrunc`",
            geometry.meta_total_bytes
        ))
}
