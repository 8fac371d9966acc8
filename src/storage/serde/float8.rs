//! The four 8-bit floating point formats of torch, as torch 2.15 converts them on a CPU.
//!
//! A conversion to 8 bits rounds to nearest, ties to even, from float32: bfloat16 and float16 widen to it without loss,
//! and float64 is rounded to it first, which rounds twice, as torch does. Past the largest value the formats differ, and
//! with them torch's conversions: `e4m3fn` has no infinity and gives its largest value (releases of torch before 2.15 may
//! give NaN), `e5m2` gives infinity, and the `fnuz` formats give NaN, of which they have one, where others have -0.
//!
//! A conversion from 8 bits is exact. What is left to choose is the bits of a NaN; here they are those that torch gives on
//! a CPU with the F16C instructions.

/// A format: `eXmY` has X bits of exponent and Y of mantissa.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Float8 {
    /// `torch.float8_e4m3fn`, up to 448: LMCache's default.
    #[default]
    E4m3fn,
    /// `torch.float8_e5m2`, up to 57344.
    E5m2,
    /// `torch.float8_e4m3fnuz`, up to 240.
    E4m3fnuz,
    /// `torch.float8_e5m2fnuz`, up to 57344.
    E5m2fnuz,
}

/// What a format is made of. Codes are without the sign bit, but for the NaN of the `fnuz` formats.
#[derive(Clone, Copy)]
struct Spec {
    mantissa_bits: u32,
    exponent_bias: u32,
    /// The code of the largest value that a number rounds to, infinity included.
    largest: u32,
    /// The code of everything that rounds past it.
    overflow: u32,
    /// The code that a NaN becomes.
    nan: u32,
    /// The smallest code that is a NaN when it is read.
    first_nan: u32,
    /// The code of infinity, if there is one.
    infinity: Option<u32>,
    /// Whether -0 and a negative NaN have codes of their own.
    has_negative_zero: bool,
}

const SIGN: u32 = 0x80;

const E4M3FN: Spec = Spec {
    mantissa_bits: 3,
    exponent_bias: 7,
    largest: 0x7e,
    overflow: 0x7e,
    nan: 0x7f,
    first_nan: 0x7f,
    infinity: None,
    has_negative_zero: true,
};

const E5M2: Spec = Spec {
    mantissa_bits: 2,
    exponent_bias: 15,
    largest: 0x7c,
    overflow: 0x7c,
    nan: 0x7f,
    first_nan: 0x7d,
    infinity: Some(0x7c),
    has_negative_zero: true,
};

const E4M3FNUZ: Spec = Spec {
    mantissa_bits: 3,
    exponent_bias: 8,
    largest: 0x7f,
    overflow: SIGN,
    nan: SIGN,
    first_nan: SIGN,
    infinity: None,
    has_negative_zero: false,
};

const E5M2FNUZ: Spec = Spec { mantissa_bits: 2, exponent_bias: 16, ..E4M3FNUZ };

impl Float8 {
    /// All of them, in the order of torch's documentation.
    pub const ALL: [Self; 4] = [Self::E4m3fn, Self::E5m2, Self::E4m3fnuz, Self::E5m2fnuz];

    /// The name without `torch.`, as LMCache's configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::E4m3fn => "float8_e4m3fn",
            Self::E5m2 => "float8_e5m2",
            Self::E4m3fnuz => "float8_e4m3fnuz",
            Self::E5m2fnuz => "float8_e5m2fnuz",
        }
    }

    /// The format of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    fn spec(self) -> Spec {
        match self {
            Self::E4m3fn => E4M3FN,
            Self::E5m2 => E5M2,
            Self::E4m3fnuz => E4M3FNUZ,
            Self::E5m2fnuz => E5M2FNUZ,
        }
    }

    /// The code of the float32 whose bits are `f32_bits`.
    #[inline]
    pub fn encode(self, f32_bits: u32) -> u8 {
        encode(self.spec(), f32_bits)
    }

    /// Appends the codes of `f32_bits`. The format is chosen once, and the loop knows it: compilers make vector code
    /// of it.
    pub(super) fn encode_all(self, f32_bits: impl ExactSizeIterator<Item = u32>, out: &mut Vec<u8>) {
        match self {
            Self::E4m3fn => out.extend(f32_bits.map(|bits| encode(E4M3FN, bits))),
            Self::E5m2 => out.extend(f32_bits.map(|bits| encode(E5M2, bits))),
            Self::E4m3fnuz => out.extend(f32_bits.map(|bits| encode(E4M3FNUZ, bits))),
            Self::E5m2fnuz => out.extend(f32_bits.map(|bits| encode(E5M2FNUZ, bits))),
        }
    }

    /// The bits of the float32 that `code` stands for.
    pub fn decode(self, code: u8) -> u32 {
        let spec = self.spec();
        let sign = (u32::from(code) & SIGN) << 24;
        if !spec.has_negative_zero && u32::from(code) == SIGN {
            return 0x7f80_0001;
        }
        let magnitude = u32::from(code) & !SIGN;
        if Some(magnitude) == spec.infinity {
            return sign | F32_INFINITY;
        }
        let (exponent, mantissa) =
            (magnitude >> spec.mantissa_bits, magnitude & ((1 << spec.mantissa_bits) - 1));
        if magnitude >= spec.first_nan {
            return sign | F32_INFINITY | F32_QUIET | (mantissa << (23 - spec.mantissa_bits));
        }
        if exponent == 0 {
            // A multiple of the smallest value, a power of two. Both, and the product, are normal in float32.
            let smallest = (128 - spec.exponent_bias - spec.mantissa_bits) << 23;
            return sign | (mantissa as f32 * f32::from_bits(smallest)).to_bits();
        }
        sign | ((exponent + 127 - spec.exponent_bias) << 23) | (mantissa << (23 - spec.mantissa_bits))
    }
}

const F32_INFINITY: u32 = 0x7f80_0000;
/// The bit that makes a NaN quiet, as every conversion of a CPU does.
const F32_QUIET: u32 = 0x0040_0000;

/// Without branches: both ways of rounding are computed, and the specials selected.
#[inline(always)]
fn encode(spec: Spec, f32_bits: u32) -> u8 {
    let magnitude = f32_bits & 0x7fff_ffff;
    let dropped_bits = 23 - spec.mantissa_bits;
    // A number that is normal in 8 bits: its exponent is moved, and the bits that are dropped round the rest by a carry.
    let odd = (magnitude >> dropped_bits) & 1;
    let half_less_one = (1 << (dropped_bits - 1)) - 1;
    let moved = magnitude.wrapping_sub((127 - spec.exponent_bias) << 23);
    let normal = moved.wrapping_add(half_less_one + odd) >> dropped_bits;
    // One that is not: the float32 whose last bit is worth the smallest 8-bit value; adding it rounds to that bit.
    let ruler = (127 - spec.exponent_bias + dropped_bits + 1) << 23;
    let subnormal = (f32::from_bits(magnitude) + f32::from_bits(ruler)).to_bits().wrapping_sub(ruler);
    let is_normal = magnitude >= (128 - spec.exponent_bias) << 23;
    let rounded = if is_normal { normal } else { subnormal };
    let finite = if rounded > spec.largest { spec.overflow } else { rounded };
    let code = if magnitude > F32_INFINITY { spec.nan } else { finite };
    let keeps_sign = spec.has_negative_zero || code.wrapping_sub(1) < SIGN - 1;
    let sign = if keeps_sign { (f32_bits >> 24) & SIGN } else { 0 };
    (code | sign) as u8
}

/// The bits of the float32 that is the bfloat16 of these bits.
#[inline]
pub(super) fn widen_bf16(bits: u16) -> u32 {
    u32::from(bits) << 16
}

/// The bits of the float32 that is the float16 of these bits.
pub(super) fn widen_f16(bits: u16) -> u32 {
    let (sign, exponent, mantissa) =
        (u32::from(bits & 0x8000) << 16, u32::from(bits >> 10) & 0x1f, u32::from(bits) & 0x3ff);
    match exponent {
        // Multiples of 2^-24.
        0 => sign | (mantissa as f32 * f32::from_bits(103 << 23)).to_bits(),
        0x1f => sign | F32_INFINITY | (mantissa << 13),
        _ => sign | ((exponent + 112) << 23) | (mantissa << 13),
    }
}

/// The bits of the float32 nearest to the float64 of these bits. A NaN keeps its sign.
#[inline(always)]
pub(super) fn round_f64(bits: u64) -> u32 {
    let nan = ((bits >> 32) as u32 & 0x8000_0000) | F32_INFINITY | F32_QUIET;
    let value = f64::from_bits(bits);
    if value.is_nan() { nan } else { (value as f32).to_bits() }
}

/// The bfloat16 of a float32 that an 8-bit code stands for: they all fit. torch's NaN has no sign.
pub(super) fn narrow_to_bf16(f32_bits: u32) -> u16 {
    if f32_bits & 0x7fff_ffff > F32_INFINITY { 0x7fc0 } else { (f32_bits >> 16) as u16 }
}

/// The float16 of a float32 that an 8-bit code stands for: they all fit.
pub(super) fn narrow_to_f16(f32_bits: u32) -> u16 {
    let sign = (f32_bits >> 16) & 0x8000;
    let (exponent, mantissa) = ((f32_bits >> 23) & 0xff, f32_bits & 0x7f_ffff);
    let magnitude = match exponent {
        0 => 0,
        // A multiple of 2^-24, the smallest float16.
        1..=112 => (0x80_0000 | mantissa) >> (126 - exponent),
        0xff if mantissa == 0 => 0x7c00,
        0xff => 0x7e00 | (mantissa >> 13),
        _ => ((exponent - 112) << 10) | (mantissa >> 13),
    };
    (sign | magnitude) as u16
}

/// The float64 of a float32.
pub(super) fn widen_to_f64(f32_bits: u32) -> u64 {
    if f32_bits & 0x7fff_ffff <= F32_INFINITY {
        return f64::from(f32::from_bits(f32_bits)).to_bits();
    }
    let (sign, mantissa) = (u64::from(f32_bits >> 31) << 63, u64::from(f32_bits & 0x7f_ffff));
    sign | 0x7ff8_0000_0000_0000 | (mantissa << 29)
}
