//! An engine's paged cache, in the memory of a device.

use std::ffi::c_char;

use crate::device::layout::MAX_LAYERS;
use crate::device::{EngineKvFormat, PageBufferShape, PagedLayout, Tensor};
use crate::ffi::border::args::{Growing, growing, output, slice, string};
use crate::ffi::border::boundary::{Failure, OK, guard};
use crate::ffi::border::status::Status;
use crate::ffi::handles::{self, Kind, Object, Shared};
use crate::sync::Arc;

/// Tensors of a paged cache, at most: K and V of each layer.
pub const LMCACHE_MAX_DEVICE_TENSORS: usize = 8192;

/// An engine's paged cache: its layout, its sizes, and where its tensors are. It never changes; any number of threads may use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_paged_layout(());

/// A tensor of a paged cache, in the memory of a device.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_device_tensor {
    /// From the beginning of the device's memory, in bytes.
    pub offset: u64,
    /// Its bytes.
    pub len_bytes: u64,
}

/// What a paged cache is: LMCache's PageBufferShapeDesc with its layout and its tensors. docs/device.md has the layouts, and the order of their
/// tensors. `LMCACHE_PAGED_LAYOUT_OPTIONS_INIT` sets the size; the rest is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_paged_layout_options {
    /// `sizeof(lmcache_paged_layout_options)`.
    pub struct_size: u32,
    /// The layout, by the number that LMCache's EngineKVFormat has for it; `lmcache_kv_format_from_name` finds it.
    pub format: u32,
    /// NL.
    pub layers: u64,
    /// NB, of each layer.
    pub blocks: u64,
    /// BS: tokens of a block.
    pub block_tokens: u64,
    /// NH: heads of a row; 1 where it is a latent.
    pub heads: u64,
    /// HS: elements of a head, of K and V together where they are packed.
    pub head_size: u64,
    /// Bytes of an element: 1, 2, 4 or 8.
    pub element_bytes: u64,
    /// How many elements lie between the starts of two blocks; 0 if there is nothing between them.
    pub block_stride_elements: u64,
    /// The tensors, in the order of the layout's name.
    pub tensors: *const lmcache_device_tensor,
    /// How many there are; at most LMCACHE_MAX_DEVICE_TENSORS.
    pub tensor_count: usize,
}

// SAFETY: numbers and a pointer; the first field is the size.
unsafe impl Growing for lmcache_paged_layout_options {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

#[derive(Debug)]
pub(in crate::ffi) struct Paged(pub(in crate::ffi) Arc<PagedLayout>);

impl Object for Paged {
    const KIND: Kind = Kind::PagedLayout;
    const NAME: &'static str = "paged layout";
}

impl Shared for Paged {}

/// What stands behind the handle of a paged layout.
pub(in crate::ffi) fn paged_layout(handle: *const lmcache_paged_layout) -> Result<Arc<PagedLayout>, Failure> {
    let mut found = None;
    handles::with::<Paged, _>(handle, |paged| {
        found = Some(Arc::clone(&paged.0));
        OK
    })?;
    found.ok_or_else(|| Failure::null("layout"))
}

/// The number of a layout, by the name that LMCache's EngineKVFormat has for it, for instance "NL_X_TWO_NB_BS_NH_HS".
///
/// # Safety
/// `name` ends in NUL; `out` points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_kv_format_from_name(name: *const c_char, out: *mut u32) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let name = unsafe { string(name, "name") }?;
        out.write(u32::from(EngineKvFormat::from_name(name)?.number()));
        OK
    })
}

/// Makes a paged layout. INVALID_ARGUMENT if sizes do not belong to the layout, or a tensor is missing, too many, or too short.
/// What the options point to is copied.
///
/// # Safety
/// `options` points to options with as many tensors as they say; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_paged_layout_new(
    options: *const lmcache_paged_layout_options,
    out: *mut *mut lmcache_paged_layout,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let options = unsafe { growing(options, "options") }?;
        const { assert!(LMCACHE_MAX_DEVICE_TENSORS as u64 == 2 * MAX_LAYERS) };
        let (tensors, count) = (options.tensors, options.tensor_count);
        // SAFETY: as above.
        let tensors = unsafe { slice(tensors, count, LMCACHE_MAX_DEVICE_TENSORS, "tensors") }?;
        let tensor =
            |tensor: &lmcache_device_tensor| Tensor { offset: tensor.offset, len_bytes: tensor.len_bytes };
        let tensors: Vec<_> = tensors.iter().map(tensor).collect();
        let format = EngineKvFormat::from_number(i64::from(options.format))?;
        let paged = PagedLayout::new(format, shape(&options), &tensors)?;
        out.write(handles::new(Paged(Arc::new(paged)))?);
        OK
    })
}

fn shape(options: &lmcache_paged_layout_options) -> PageBufferShape {
    PageBufferShape {
        layers: options.layers,
        blocks: options.blocks,
        block_tokens: options.block_tokens,
        heads: options.heads,
        head_size: options.head_size,
        element_bytes: options.element_bytes,
        block_stride_elements: options.block_stride_elements,
    }
}

/// The bytes that an object of `tokens` tokens has of this cache: what a tensor of its `lmcache_layout` has to come to.
///
/// # Safety
/// `bytes` points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_paged_layout_object_bytes(
    layout: *const lmcache_paged_layout,
    tokens: u64,
    bytes: *mut u64,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let bytes = unsafe { output(bytes, "bytes") }?;
        bytes.write(paged_layout(layout)?.object_bytes(tokens)?);
        OK
    })
}

/// Gives a paged layout back; transfers that are under way do without. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_paged_layout_free(layout: *mut lmcache_paged_layout) -> Status {
    guard(|| handles::free::<Paged, _>(layout))
}
