//! Serdes: what an L2 adapter writes instead of an object's plain bytes.
//!
//! A serde is a pure transformation. It takes the bytes of one object as L1 holds them and gives the bytes that L2
//! keeps, and back; it does no I/O, has no threads and holds no locks, so that any number of threads can use one. The
//! bytes are those of LMCache 0.5.6: what either wrote, the other reads.
//!
//! * [`config`]: LMCache's `"serde"` object of an adapter, checked. [`create`] makes a serde of it.
//! * [`fp8`]: each element as an 8-bit float, half the size of bfloat16; lossy. [`float8`] has the formats.
//! * `aesgcm`: encrypted and authenticated, with a key for each tenant. It needs the cargo feature of that name.
//!
//! LMCache's `turboquant` is a CUDA kernel, and its `multi` and `asym_k16_v8` are classes that no configuration can
//! name; all three are refused as such.

#[cfg(feature = "aesgcm")]
pub mod aesgcm;
pub mod config;
pub mod float8;
pub mod fp8;

use std::fmt;

pub use config::SerdeConfig;

use crate::error::{Error, ErrorKind, Result};
use crate::format::model::{MemoryLayoutDesc, ObjectKey};
use crate::sync::Arc;

/// A transformation of one object's bytes, and its inverse.
pub trait Serde: Send + Sync + fmt::Debug {
    /// The name by which LMCache's configuration knows it.
    fn name(&self) -> &'static str;

    /// The most bytes that [`Serde::serialize`] gives for an object of `layout`; LMCache's
    /// `estimate_serialized_size`, by which it sizes its buffers.
    ///
    /// # Errors
    /// If this serde cannot transform such objects.
    fn estimate_bytes(&self, layout: &MemoryLayoutDesc) -> Result<u64>;

    /// Replaces the content of `out` by what L2 keeps of `plain`, the object of `key`. Reserves what it needs, which
    /// is never more than [`Serde::estimate_bytes`].
    ///
    /// # Errors
    /// If `plain` is not as long as `layout` says, or if this serde cannot transform such objects. `out` is then of
    /// no use.
    fn serialize(
        &self,
        key: &ObjectKey,
        layout: &MemoryLayoutDesc,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()>;

    /// Fills `out` with the object of `key` that L2 kept as `wire`. As with LMCache, bytes past what the object needs
    /// are ignored: an adapter may hand over a buffer that was padded.
    ///
    /// # Errors
    /// If `wire` is too short or not what was written for this key, if `out` is not as long as `layout` says, or if
    /// this serde cannot transform such objects. What is in `out` is then of no use.
    fn deserialize(
        &self,
        key: &ObjectKey,
        layout: &MemoryLayoutDesc,
        wire: &[u8],
        out: &mut [u8],
    ) -> Result<()>;
}

/// The serde that `config` describes.
///
/// # Errors
/// If it needs a file that cannot be read, or a cargo feature that this build does not have.
pub fn create(config: &SerdeConfig) -> Result<Arc<dyn Serde>> {
    match config {
        SerdeConfig::Fp8(config) => Ok(Arc::new(fp8::Fp8::new(config.format))),
        #[cfg(feature = "aesgcm")]
        SerdeConfig::AesGcm(config) => Ok(Arc::new(aesgcm::AesGcm::open(config)?)),
        #[cfg(not(feature = "aesgcm"))]
        SerdeConfig::AesGcm(_) => Err(config::aesgcm_is_not_built()),
    }
}

/// Refuses a buffer that is not as long as `layout` says.
fn check_plain_bytes(layout: &MemoryLayoutDesc, actual_bytes: usize) -> Result<()> {
    if layout.size_bytes() == actual_bytes as u64 {
        return Ok(());
    }
    Err(Error::invalid("the buffer of an object is not as long as its layout")
        .with_context("layout_bytes", layout.size_bytes())
        .with_context("buffer_bytes", actual_bytes))
}

/// The first `needed_bytes` of `wire`, or an error that says what is missing.
fn wire_prefix(wire: &[u8], needed_bytes: usize) -> Result<&[u8]> {
    wire.get(..needed_bytes).ok_or_else(|| {
        Error::new(ErrorKind::Truncated, "the serialized object is too short")
            .with_context("needed_bytes", needed_bytes)
            .with_context("actual_bytes", wire.len())
            .with_hint(
                "it was written for another layout or by another serde, or it was cut; delete it from L2",
            )
    })
}

/// Copies are made in pieces of this size. From 2 KiB to about 1 MiB, glibc copies by `rep movsb`, and AMD's Zen runs that
/// at a tenth of its speed (3 instead of 40 GB/s) when the destination is less than 64 bytes ahead of the source, pages
/// left aside. Buffers that begin with a page and have a short header are just that.
const COPY_PIECE_BYTES: usize = 1024;

/// Appends `from` to `to`.
fn append(to: &mut Vec<u8>, from: &[u8]) {
    from.chunks(COPY_PIECE_BYTES).for_each(|piece| to.extend_from_slice(piece));
}

/// Fills `to` with `from`, which is as long.
fn copy(to: &mut [u8], from: &[u8]) {
    let pieces = to.chunks_mut(COPY_PIECE_BYTES).zip(from.chunks(COPY_PIECE_BYTES));
    pieces.for_each(|(to, from)| to.copy_from_slice(from));
}
