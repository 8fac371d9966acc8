//! The serde `fp8` against torch: `tests/fixtures/serde` has what it gives, and how that was asked.

use proptest::prelude::*;
use serde_json::json;

use lmcache::error::ErrorKind;
use lmcache::storage::serde::Serde;
use lmcache::storage::serde::float8::Float8;
use lmcache::storage::serde::fp8::Fp8;

use crate::common::unpack;
use crate::support::{deserialize, key, layout, serde_of, serialize};

/// The low bits of each value that `make.py` tries.
const LOW_OF_F32: [u32; 6] = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
const LOW_OF_F64: [u64; 8] =
    [0, 1, 0x0fff_ffff, 0x1000_0000, 0x7fff_ffff_ffff, 0x8000_0000_0000, 0x8000_0000_0001, 0xffff_ffff_ffff];

/// What torch was given, as bytes of a tensor.
fn sources(dtype: &str) -> Vec<u8> {
    let high = 0..=u16::MAX;
    match dtype {
        "float32" => high
            .flat_map(|high| LOW_OF_F32.map(|low| (u32::from(high) << 16 | low).to_le_bytes()))
            .flatten()
            .collect(),
        "float64" => high
            .flat_map(|high| LOW_OF_F64.map(|low| (u64::from(high) << 48 | low).to_le_bytes()))
            .flatten()
            .collect(),
        _ => high.flat_map(u16::to_le_bytes).collect(),
    }
}

fn fp8_of(format: Float8) -> std::sync::Arc<dyn Serde> {
    serde_of(&json!({"type": "fp8", "fp8_dtype": format.name()}))
}

#[test]
fn torch_gives_the_same_codes() {
    for (dtype, size_bytes) in [("bfloat16", 2), ("float16", 2), ("float32", 4), ("float64", 8)] {
        let plain = sources(dtype);
        let elements = plain.len() / size_bytes;
        let expected = unpack(&format!("serde/from_{dtype}.bin"));
        for (format, expected) in Float8::ALL.into_iter().zip(expected.chunks(elements)) {
            let layout = layout(&[(elements as u64, dtype)]);
            let wire = serialize(&*fp8_of(format), &key(""), &layout, &plain);
            let difference = (0..elements).find(|i| wire[*i] != expected[*i]);
            if let Some(i) = difference {
                let source = &plain[i * size_bytes..(i + 1) * size_bytes];
                panic!("{dtype} {source:x?} to {format:?}: {:#x}, torch has {:#x}", wire[i], expected[i]);
            }
            assert_eq!(wire.len(), elements);
        }
    }
}

#[test]
fn torch_gives_the_same_values_back() {
    let codes: Vec<u8> = (0..=255).collect();
    for (dtype, size_bytes) in [("bfloat16", 2), ("float16", 2), ("float32", 4), ("float64", 8)] {
        let expected = unpack(&format!("serde/to_{dtype}.bin"));
        for (format, expected) in Float8::ALL.into_iter().zip(expected.chunks(256 * size_bytes)) {
            let layout = layout(&[(256, dtype)]);
            let plain = deserialize(&*fp8_of(format), &key(""), &layout, &codes).unwrap();
            assert_eq!(plain, expected, "{format:?} to {dtype}");
        }
    }
}

#[test]
fn e4m3fn_is_the_default_and_saturates() {
    let serde = serde_of(&json!({"type": "fp8"}));
    let plain: Vec<u8> = [1.0_f32, -448.0, 464.0, 1e30, f32::NEG_INFINITY, f32::NAN]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let wire = serialize(&*serde, &key(""), &layout(&[(6, "float32")]), &plain);
    assert_eq!(wire, [0x38, 0xfe, 0x7e, 0x7e, 0xfe, 0x7f]);
    assert_eq!(serde.name(), "fp8");
}

#[test]
fn tensors_follow_each_other() {
    let serde = Fp8::new(Float8::E4m3fn);
    let layout = layout(&[(2, "bfloat16"), (0, "float64"), (3, "float8_e4m3fn"), (1, "float32")]);
    let mut plain = vec![0x80, 0x3f, 0x00, 0xc0, 7, 8, 9];
    plain.extend(0.5_f32.to_le_bytes());
    let wire = serialize(&serde, &key(""), &layout, &plain);
    assert_eq!(wire, [0x38, 0xc0, 7, 8, 9, 0x30]);
    assert_eq!(serde.estimate_bytes(&layout).unwrap(), 6);
    // All of these values have codes, so nothing is lost.
    assert_eq!(deserialize(&serde, &key(""), &layout, &wire).unwrap(), plain);
}

#[test]
fn other_element_types_are_refused_by_name() {
    let serde = Fp8::new(Float8::E4m3fn);
    for dtype in ["uint8", "int8", "float8_e5m2", "int32", "complex64"] {
        let layout = layout(&[(1, "bfloat16"), (1, dtype)]);
        let error = serde.estimate_bytes(&layout).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(&format!("(dtype torch.{dtype})")), "{error}");
        let plain = vec![0; layout.size_bytes() as usize];
        assert!(serde.serialize(&key(""), &layout, &plain, &mut Vec::new()).is_err());
        assert!(deserialize(&serde, &key(""), &layout, &[0; 2]).is_err());
    }
}

#[test]
fn buffers_of_other_lengths_are_refused() {
    let serde = Fp8::new(Float8::E5m2);
    let layout = layout(&[(4, "float16")]);
    for length in [0, 7, 9] {
        let error = serde.serialize(&key(""), &layout, &vec![0; length], &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let error = serde.deserialize(&key(""), &layout, &[0; 4], &mut vec![0; length]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    let error = deserialize(&serde, &key(""), &layout, &[0; 3]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated);
    assert_eq!(error.to_string(), "the serialized object is too short (needed_bytes 4, actual_bytes 3)");
    let padded = deserialize(&serde, &key(""), &layout, &[0x3c, 0, 0, 0, 0xff]).unwrap();
    assert_eq!(padded, [0x00, 0x3c, 0, 0, 0, 0, 0, 0], "padding is ignored");
}

#[test]
fn a_layout_larger_than_memory_is_an_error() {
    let serde = Fp8::new(Float8::E4m3fn);
    let layout = layout(&[(1 << 60, "bfloat16")]);
    assert_eq!(serde.estimate_bytes(&layout).unwrap(), 1 << 60);
    assert!(serde.serialize(&key(""), &layout, &[0; 16], &mut Vec::new()).is_err());
    assert!(serde.deserialize(&key(""), &layout, &[0; 16], &mut [0; 16]).is_err());
}

proptest! {
    #[test]
    fn any_wire_of_the_right_length_is_read_and_written_again(
        codes in prop::collection::vec(any::<u8>(), 0..600), format in 0..4_usize, dtype in 0..4_usize,
    ) {
        let format = Float8::ALL[format];
        let layout = layout(&[(codes.len() as u64, ["bfloat16", "float16", "float32", "float64"][dtype])]);
        let serde = Fp8::new(format);
        let plain = deserialize(&serde, &key(""), &layout, &codes).unwrap();
        let again = serialize(&serde, &key(""), &layout, &plain);
        for (code, again) in codes.iter().zip(&again) {
            let value = f32::from_bits(format.decode(*code));
            let same_nan = value.is_nan() && f32::from_bits(format.decode(*again)).is_nan();
            prop_assert!(code == again || same_nan, "{code:#x} became {again:#x}");
        }
    }
}
