//! `raw_block`: slots of one size on a block device, or in a file of fixed size; LMCache's layout, byte for byte.
//!
//! The device begins with two checkpoints of the index, which are written in turn; the slots stand behind them. Where an
//! object lies is known to the index alone, in memory. A slot has a header that names its object, so that an index that
//! is older than the slots is found out.
//!
//! * [`geometry`]: what stands where. [`key_codec`]: an object's name on the device, and its 64 bits in a slot's header.
//! * [`device`]: reading and writing, past the page cache or not. [`slots`]: the index, and who uses which slot.
//! * [`checkpoint`]: the index as bytes. [`store`]: all of that as a [`Connector`](super::connector::Connector);
//!   [`recovery`] finds an index on a device, [`foreign`] refuses a device that holds something else, [`checkpointer`]
//!   writes an index there from time to time.
//!
//! **What a killed process loses.** Objects that were stored after the last checkpoint are gone: their slots are free.
//! What the checkpoint lists is served only if the slot's header still names that object, with that size. Before a slot
//! that a checkpoint may list is written again, its header is taken away; after its payload is there, it gets the new
//! one. So no header ever stands before another object's bytes, at whatever instant the process ends. A checkpoint
//! that was torn has a wrong checksum, and the one before it counts. A power cut is another matter: it is as safe as
//! the order in which the device keeps writes, except that a checkpoint is flushed behind all that it lists.
//!
//! LMCache writes a slot's header first, and flushes nothing.

pub mod checkpoint;
mod checkpointer;
mod device;
mod entry_meta;
mod foreign;
pub mod geometry;
pub mod key_codec;
mod recovery;
mod slots;
pub mod store;

pub use store::{RawBlock, RawBlockOptions};
