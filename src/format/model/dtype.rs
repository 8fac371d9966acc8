//! Element types by the names that `str(torch.dtype)` prints, with their sizes.

/// The prefix of every name.
pub(crate) const TORCH_PREFIX: &str = "torch.";

/// Size in bytes and the names (after `torch.`) of all types of that size, as torch 2.15 has them.
const DTYPES: &[(u64, &[&str])] = &[
    (
        1,
        &[
            "uint8",
            "int8",
            "bool",
            "float8_e4m3fn",
            "float8_e4m3fnuz",
            "float8_e5m2",
            "float8_e5m2fnuz",
            "float8_e8m0fnu",
            "float4_e2m1fn_x2",
            "qint8",
            "quint8",
            "quint4x2",
            "quint2x4",
            "bits8",
            "bits1x8",
            "bits2x4",
            "bits4x2",
            "int1",
            "int2",
            "int3",
            "int4",
            "int5",
            "int6",
            "int7",
            "uint1",
            "uint2",
            "uint3",
            "uint4",
            "uint5",
            "uint6",
            "uint7",
        ],
    ),
    (2, &["float16", "bfloat16", "int16", "uint16", "bits16"]),
    (4, &["float32", "int32", "uint32", "complex32", "bcomplex32", "qint32"]),
    (8, &["float64", "int64", "uint64", "complex64"]),
    (16, &["complex128"]),
];

/// An element type of torch. Two bytes; the name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dtype {
    class: u8,
    position: u8,
}

impl Dtype {
    /// Looks up a name as `str(torch.dtype)` prints it, for instance `torch.bfloat16`. Aliases that torch
    /// never prints (`torch.half`) are not names.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix(TORCH_PREFIX)?;
        DTYPES.iter().enumerate().find_map(|(class, (_, names))| {
            let position = names.iter().position(|known| *known == name)?;
            Some(Self { class: class as u8, position: position as u8 })
        })
    }

    /// Bytes of one element.
    pub fn itemsize_bytes(self) -> u64 {
        DTYPES[usize::from(self.class)].0
    }

    /// The name without `torch.`.
    pub fn short_name(self) -> &'static str {
        DTYPES[usize::from(self.class)].1[usize::from(self.position)]
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{TORCH_PREFIX}{}", self.short_name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_comes_back_with_its_size() {
        for (itemsize_bytes, names) in DTYPES {
            for name in *names {
                let dtype = Dtype::from_name(&format!("torch.{name}")).unwrap();
                assert_eq!((dtype.itemsize_bytes(), dtype.short_name()), (*itemsize_bytes, *name));
            }
        }
        for unknown in ["torch.half", "bfloat16", "torch.", "", "torch.bfloat16 "] {
            assert_eq!(Dtype::from_name(unknown), None, "{unknown:?}");
        }
    }
}
