//! The serde `fp8`: each element as one 8-bit float, in the order of the elements, and nothing else.
//!
//! There is no header: a reader must know the format and the layout. LMCache transforms objects of one tensor only, and
//! fails on others; here the tensors of an object follow each other, as they do in the object.

use super::float8::{Float8, narrow_to_bf16, narrow_to_f16, round_f64, widen_bf16, widen_f16, widen_to_f64};
use super::{Serde, append, check_plain_bytes, copy, wire_prefix};
use crate::error::{Error, Result};
use crate::format::model::{Dtype, MemoryLayoutDesc, ObjectKey};

/// How many values 16 bits have.
const CODES_16: usize = 1 << 16;

/// Converts to one format and back. What has 16 bits goes by tables of all values, 132 KiB in all, of which real tensors
/// touch a few KiB: their exponents are close to each other.
pub struct Fp8 {
    format: Float8,
    from_bf16: Box<[u8; CODES_16]>,
    from_f16: Box<[u8; CODES_16]>,
    to_bf16: [u16; 256],
    to_f16: [u16; 256],
    to_f32: [u32; 256],
    to_f64: Box<[u64; 256]>,
}

/// The element types that are converted.
#[derive(Clone, Copy)]
enum Element {
    Bfloat16,
    Float16,
    Float32,
    Float64,
    /// The format itself: the bytes are kept.
    Float8,
}

impl Fp8 {
    /// A serde that writes `format`.
    pub fn new(format: Float8) -> Self {
        let decoded: [u32; 256] = std::array::from_fn(|code| format.decode(code as u8));
        let encoded = |widen: fn(u16) -> u32| -> Box<[u8; CODES_16]> {
            let mut table = Box::new([0; CODES_16]);
            for (code, bits) in table.iter_mut().zip(0..=u16::MAX) {
                *code = format.encode(widen(bits));
            }
            table
        };
        Self {
            format,
            from_bf16: encoded(widen_bf16),
            from_f16: encoded(widen_f16),
            to_bf16: decoded.map(narrow_to_bf16),
            to_f16: decoded.map(narrow_to_f16),
            to_f32: decoded,
            to_f64: Box::new(decoded.map(widen_to_f64)),
        }
    }

    fn element(&self, dtype: Dtype) -> Result<Element> {
        match dtype.short_name() {
            "bfloat16" => Ok(Element::Bfloat16),
            "float16" => Ok(Element::Float16),
            "float32" => Ok(Element::Float32),
            "float64" => Ok(Element::Float64),
            name if name == self.format.name() => Ok(Element::Float8),
            _ => Err(Error::unsupported("the serde fp8 cannot convert elements of this type")
                .with_context("dtype", dtype)
                .with_hint(
                    "use it for KV caches of bfloat16, float16, float32 or float64, and none for others",
                )),
        }
    }

    /// The tensors of `layout`: what they are made of, and how many elements they have. A layout's size fits 64 bits, so
    /// the number of its elements does.
    fn tensors<'a>(
        &'a self,
        layout: &'a MemoryLayoutDesc,
    ) -> impl Iterator<Item = Result<(Element, u64)>> + 'a {
        layout.groups().map(|(shape, dtype)| Ok((self.element(dtype)?, shape.iter().product())))
    }

    fn encode(&self, element: Element, plain: &[u8], out: &mut Vec<u8>) {
        let table = match element {
            Element::Bfloat16 => &self.from_bf16,
            Element::Float16 => &self.from_f16,
            Element::Float32 => {
                let (values, _) = plain.as_chunks();
                return self.format.encode_all(values.iter().map(|bytes| u32::from_le_bytes(*bytes)), out);
            }
            Element::Float64 => {
                let (values, _) = plain.as_chunks();
                let rounded = values.iter().map(|bytes| round_f64(u64::from_le_bytes(*bytes)));
                return self.format.encode_all(rounded, out);
            }
            Element::Float8 => return append(out, plain),
        };
        let (values, _) = plain.as_chunks();
        out.extend(values.iter().map(|bytes| table[usize::from(u16::from_le_bytes(*bytes))]));
    }

    fn decode(&self, element: Element, codes: &[u8], out: &mut [u8]) {
        match element {
            Element::Bfloat16 => decode_by(codes, out, |code| self.to_bf16[code].to_le_bytes()),
            Element::Float16 => decode_by(codes, out, |code| self.to_f16[code].to_le_bytes()),
            Element::Float32 => decode_by(codes, out, |code| self.to_f32[code].to_le_bytes()),
            Element::Float64 => decode_by(codes, out, |code| self.to_f64[code].to_le_bytes()),
            Element::Float8 => copy(out, codes),
        }
    }
}

#[inline(always)]
fn decode_by<const SIZE: usize>(codes: &[u8], out: &mut [u8], value: impl Fn(usize) -> [u8; SIZE]) {
    let (values, _) = out.as_chunks_mut();
    for (bytes, code) in values.iter_mut().zip(codes) {
        *bytes = value(usize::from(*code));
    }
}

impl Element {
    fn size_bytes(self) -> usize {
        match self {
            Self::Bfloat16 | Self::Float16 => 2,
            Self::Float32 => 4,
            Self::Float64 => 8,
            Self::Float8 => 1,
        }
    }
}

impl Serde for Fp8 {
    fn name(&self) -> &'static str {
        "fp8"
    }

    fn estimate_bytes(&self, layout: &MemoryLayoutDesc) -> Result<u64> {
        self.tensors(layout).map(|tensor| tensor.map(|(_, elements)| elements)).sum()
    }

    fn serialize(
        &self,
        _key: &ObjectKey,
        layout: &MemoryLayoutDesc,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<()> {
        check_plain_bytes(layout, plain.len())?;
        out.clear();
        out.reserve(self.estimate_bytes(layout)? as usize);
        let mut rest = plain;
        for tensor in self.tensors(layout) {
            let (element, elements) = tensor?;
            let (values, behind) = rest.split_at(elements as usize * element.size_bytes());
            self.encode(element, values, out);
            rest = behind;
        }
        Ok(())
    }

    fn deserialize(
        &self,
        _key: &ObjectKey,
        layout: &MemoryLayoutDesc,
        wire: &[u8],
        out: &mut [u8],
    ) -> Result<()> {
        check_plain_bytes(layout, out.len())?;
        let mut codes = wire_prefix(wire, self.estimate_bytes(layout)? as usize)?;
        let mut rest = out;
        for tensor in self.tensors(layout) {
            let (element, elements) = tensor?;
            let (own_codes, other_codes) = codes.split_at(elements as usize);
            let (values, behind) = rest.split_at_mut(own_codes.len() * element.size_bytes());
            self.decode(element, own_codes, values);
            (codes, rest) = (other_codes, behind);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Fp8 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fp8").field("format", &self.format).finish_non_exhaustive()
    }
}
