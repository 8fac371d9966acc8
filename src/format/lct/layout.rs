//! Memory layouts in a file: their size without building them, or built.

use super::cursor::{Cursor, MAX_DEPTH, Text, WireError};
use super::value::Value;
use crate::format::bytes::same_bytes;
use crate::format::model::{Dtype, MemoryLayoutDesc};

/// The longest name of an element type; longer ones are not looked up.
const MAX_DTYPE_NAME_BYTES: usize = 64;

/// How many layouts are remembered: a server has one per model and object group.
const REMEMBERED_LAYOUTS: usize = 4;

/// The layouts that were sized last. Nearly all calls of a trace have one of a few layouts, so its bytes are
/// compared before they are read again.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayoutMemo<'a> {
    known: [(&'a [u8], u64); REMEMBERED_LAYOUTS],
    next: usize,
}

impl<'a> LayoutMemo<'a> {
    /// Sizes the layout at `cursor` and steps over it. A layout that cannot be read sizes nothing.
    pub(super) fn take_size_bytes(&mut self, cursor: &mut Cursor<'a>) -> Result<u64, WireError> {
        let rest = cursor.rest();
        for (bytes, size_bytes) in self.known {
            if let Some((start, after)) = rest.split_at_checked(bytes.len())
                && !bytes.is_empty()
                && same_bytes(start, bytes)
            {
                cursor.advance_to(after);
                return Ok(size_bytes);
            }
        }
        let start = *cursor;
        cursor.skip(MAX_DEPTH, Text::Ignored)?;
        let size_bytes = layout_size_bytes(&Value::at(start)).unwrap_or(0);
        self.known[self.next] = (&rest[..cursor.position() - start.position()], size_bytes);
        self.next = (self.next + 1) % REMEMBERED_LAYOUTS;
        Ok(size_bytes)
    }
}

/// The logical size of an object with the layout in `value`, a wrapped `MemoryLayoutDesc`.
pub fn layout_size_bytes(value: &Value<'_>) -> Result<u64, WireError> {
    let payload = value.payload_of("MemoryLayoutDesc")?;
    let (mut shapes, mut dtypes) =
        (payload.require("shapes")?.elements()?, payload.require("dtypes")?.elements()?);
    if shapes.remaining() != dtypes.remaining() {
        return Err(value.error("a layout with another number of shapes than of dtypes"));
    }
    let too_large = || value.error("a layout past 64 bits of bytes");
    let mut total_bytes = 0_u64;
    while let (Some(shape), Some(dtype)) = (shapes.next(), dtypes.next()) {
        let mut elements = 1_u64;
        for extent in extents(&shape?)? {
            elements = elements.checked_mul(extent?.as_u64()?).ok_or_else(too_large)?;
        }
        let size_bytes =
            elements.checked_mul(decode_dtype(&dtype?)?.itemsize_bytes()).ok_or_else(too_large)?;
        total_bytes = total_bytes.checked_add(size_bytes).ok_or_else(too_large)?;
    }
    Ok(total_bytes)
}

/// Builds the layout in `value`, a wrapped `MemoryLayoutDesc`.
pub fn decode_layout(value: &Value<'_>) -> Result<MemoryLayoutDesc, WireError> {
    let payload = value.payload_of("MemoryLayoutDesc")?;
    let shapes: Vec<_> = payload
        .require("shapes")?
        .elements()?
        .map(|shape| decode_shape(&shape?))
        .collect::<Result<_, _>>()?;
    let dtypes: Vec<_> =
        payload.require("dtypes")?.elements()?.map(|name| decode_dtype(&name?)).collect::<Result<_, _>>()?;
    if shapes.len() != dtypes.len() {
        return Err(value.error("a layout with another number of shapes than of dtypes"));
    }
    MemoryLayoutDesc::new(shapes.into_iter().zip(dtypes).collect())
        .map_err(|_| value.error("a layout past 64 bits of bytes"))
}

fn decode_shape(shape: &Value<'_>) -> Result<Box<[u64]>, WireError> {
    extents(shape)?.map(|extent| extent?.as_u64()).collect()
}

/// The extents of a shape, which may be wrapped as `torch.Size`.
fn extents<'a>(shape: &Value<'a>) -> Result<super::value::Elements<'a>, WireError> {
    match shape.payload_of("torch.Size") {
        Ok(payload) => payload.elements(),
        Err(_) => shape.elements(),
    }
}

/// An element type, by name; it may be wrapped as `torch.dtype`.
fn decode_dtype(value: &Value<'_>) -> Result<Dtype, WireError> {
    let name = value.payload_of("torch.dtype").unwrap_or(*value).as_str()?;
    (name.len() <= MAX_DTYPE_NAME_BYTES)
        .then(|| Dtype::from_name(name))
        .flatten()
        .ok_or_else(|| value.error("an element type that torch does not have"))
}
