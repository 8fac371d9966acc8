//! What stands where on a device.

use crate::error::{Error, Result};
use crate::storage::config::l2::RawBlockAdapterConfig;

/// `struct "<8sIQQI"`: magic, version, number, length and checksum of a checkpoint.
pub const CONTAINER_HEADER_BYTES: usize = 32;

/// The first bytes of a slot that has an object.
pub const SLOT_MAGIC: [u8; 8] = *b"LMCBLK01";

/// What a slot's header says: magic, identity, length of the payload. The rest of it is zeros.
pub const SLOT_HEADER_BYTES: usize = 24;

/// The checkpoints that are written in turn.
pub const CONTAINERS: u64 = 2;

/// The most slots that are used; more of them stay empty.
pub const MAX_SLOTS: u64 = u32::MAX as u64;

/// The layout of a device: LMCache's `_ensure_capacity_and_layout`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How much of the device is used.
    pub capacity_bytes: u64,
    /// What everything is aligned to.
    pub block_align: u64,
    /// The header of a slot, with the zeros behind it.
    pub header_bytes: u64,
    /// A slot with its header.
    pub slot_bytes: u64,
    /// Both checkpoints; slots begin behind them.
    pub meta_total_bytes: u64,
    /// One checkpoint, with its header.
    pub container_bytes: u64,
    /// How many slots there are.
    pub max_slots: u32,
}

impl Geometry {
    /// The layout that `config` asks for on a device of `device_bytes`.
    ///
    /// # Errors
    /// If the sizes do not fit each other, or leave no room for a slot.
    pub fn new(config: &RawBlockAdapterConfig, device_bytes: u64) -> Result<Self> {
        let block_align = config.block_align;
        let capacity_bytes = config.capacity_bytes.map_or(device_bytes, |bytes| bytes.min(device_bytes));
        let geometry = Self {
            capacity_bytes,
            block_align,
            header_bytes: config.header_bytes,
            slot_bytes: config.slot_bytes,
            meta_total_bytes: config.meta_total_bytes,
            container_bytes: config.meta_total_bytes / CONTAINERS / block_align * block_align,
            max_slots: 0,
        };
        geometry.check(device_bytes)?;
        let slots = (capacity_bytes - geometry.meta_total_bytes) / geometry.slot_bytes;
        if slots == 0 {
            return Err(
                geometry.too_small("the device has no room for a slot behind its metadata", device_bytes)
            );
        }
        Ok(Self { max_slots: slots.min(MAX_SLOTS) as u32, ..geometry })
    }

    fn check(&self, device_bytes: u64) -> Result<()> {
        if self.header_bytes < SLOT_HEADER_BYTES as u64 {
            return Err(Error::invalid("header_bytes must be at least 24")
                .with_context("header_bytes", self.header_bytes)
                .with_hint("leave it out for 4096"));
        }
        if self.block_align < CONTAINER_HEADER_BYTES as u64 {
            return Err(Error::invalid("block_align must be at least 32, the header of a checkpoint")
                .with_context("block_align", self.block_align)
                .with_hint("leave it out for 4096"));
        }
        if self.container_bytes <= self.block_align {
            return Err(Error::invalid("meta_total_bytes must have room for two checkpoints")
                .with_context("meta_total_bytes", self.meta_total_bytes)
                .with_hint("four times block_align is the least"));
        }
        if self.meta_total_bytes >= self.capacity_bytes {
            return Err(self.too_small("the metadata take the whole device", device_bytes));
        }
        Ok(())
    }

    fn too_small(&self, message: &'static str, device_bytes: u64) -> Error {
        Error::invalid(message)
            .with_context("device_bytes", device_bytes)
            .with_context("capacity_bytes", self.capacity_bytes)
            .with_context("meta_total_bytes", self.meta_total_bytes)
            .with_context("slot_bytes", self.slot_bytes)
            .with_hint("make the file or capacity_bytes larger, or meta_total_bytes smaller (it is 268435456 if nothing is said)")
    }

    /// Where a slot begins.
    pub fn slot_offset(&self, slot: u32) -> u64 {
        self.meta_total_bytes + u64::from(slot) * self.slot_bytes
    }

    /// The slot that begins at `offset`, if one does.
    pub fn slot_at(&self, offset: u64) -> Option<u32> {
        let behind = offset.checked_sub(self.meta_total_bytes)?;
        let slot = behind / self.slot_bytes;
        (behind.is_multiple_of(self.slot_bytes) && slot < u64::from(self.max_slots)).then_some(slot as u32)
    }

    /// The largest object that a slot takes.
    pub fn max_payload_bytes(&self) -> u64 {
        self.slot_bytes - self.header_bytes
    }

    /// Where checkpoint number `container` begins.
    pub fn container_offset(&self, container: u64) -> u64 {
        container * self.container_bytes
    }

    /// The largest checkpoint, without its header.
    pub fn max_checkpoint_bytes(&self) -> u64 {
        self.container_bytes - self.block_align
    }

    /// `bytes` rounded up to the alignment.
    pub fn aligned(&self, bytes: u64) -> u64 {
        bytes.next_multiple_of(self.block_align)
    }
}

/// The header of a slot: what it says, without the zeros behind it.
pub fn encode_slot_header(identity: u64, payload_bytes: u64) -> [u8; SLOT_HEADER_BYTES] {
    let mut header = [0; SLOT_HEADER_BYTES];
    header[..8].copy_from_slice(&SLOT_MAGIC);
    header[8..16].copy_from_slice(&identity.to_le_bytes());
    header[16..].copy_from_slice(&payload_bytes.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::config::{AdapterKind, L2AdapterConfig};

    fn geometry(json: &str, device_bytes: u64) -> Result<Geometry> {
        let json = format!(r#"{{"type":"raw_block","device_path":"/d","slot_bytes":16384{json}}}"#);
        let AdapterKind::RawBlock(config) = L2AdapterConfig::from_json(&json)?.kind else { panic!("{json}") };
        Geometry::new(&config, device_bytes)
    }

    #[test]
    fn slots_stand_behind_the_metadata_and_the_last_one_is_whole() {
        let metadata = r#","meta_total_bytes":20480"#;
        let of = |bytes| geometry(metadata, bytes);
        let geometry = of(20_480 + 3 * 16_384 - 1).unwrap();
        assert_eq!((geometry.max_slots, geometry.container_bytes), (2, 8_192));
        assert_eq!((geometry.container_offset(1), geometry.max_checkpoint_bytes()), (8_192, 4_096));
        assert_eq!((geometry.slot_offset(1), geometry.max_payload_bytes()), (20_480 + 16_384, 12_288));
        for (offset, slot) in
            [(20_480, Some(0)), (20_480 + 16_384, Some(1)), (20_480 + 2 * 16_384, None), (20_479, None)]
        {
            assert_eq!(geometry.slot_at(offset), slot);
        }
        assert_eq!(of(20_480 + 16_384).unwrap().max_slots, 1);
        assert!(of(20_480 + 16_383).is_err() && of(20_480).is_err() && of(0).is_err());
    }

    #[test]
    fn a_capacity_takes_less_of_the_device_and_never_more() {
        let of = |capacity: u64| {
            geometry(&format!(r#","meta_total_bytes":16384,"capacity_bytes":{capacity}"#), 1 << 20)
        };
        assert_eq!(of(1 << 19).unwrap().capacity_bytes, 1 << 19);
        assert_eq!(of(1 << 30).unwrap().capacity_bytes, 1 << 20);
    }

    #[test]
    fn metadata_need_room_for_two() {
        assert!(geometry(r#","meta_total_bytes":16384"#, 1 << 20).is_ok());
        assert!(geometry(r#","meta_total_bytes":12288"#, 1 << 20).is_err());
        assert!(
            geometry(r#","block_align":16,"header_bytes":4096,"meta_total_bytes":16384"#, 1 << 20).is_err()
        );
        assert!(geometry(r#","block_align":8,"header_bytes":16"#, 1 << 30).is_err());
    }
}
