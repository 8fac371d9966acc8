//! The 8-bit formats against the definition of rounding: the nearest of all values, found by looking at each.

use proptest::prelude::*;

use lmcache::storage::serde::float8::Float8;

fn value(format: Float8, code: u8) -> f64 {
    f64::from(f32::from_bits(format.decode(code)))
}

/// The largest finite value.
fn largest(format: Float8) -> f64 {
    (0..=255).map(|code| value(format, code)).filter(|value| value.is_finite()).fold(0.0, f64::max)
}

#[test]
fn the_largest_and_smallest_values_are_those_of_the_formats() {
    let expected =
        [(448.0, -9), (57344.0, -16), (240.0, -10), (57344.0, -17)].map(|(top, e)| (top, 2_f64.powi(e)));
    let found = Float8::ALL.map(|format| (largest(format), value(format, 1)));
    assert_eq!(found, expected);
}

#[test]
fn every_code_that_is_a_number_comes_back() {
    for format in Float8::ALL {
        for code in 0..=255 {
            if !value(format, code).is_nan() {
                assert_eq!(format.encode(format.decode(code)), code, "{format:?} {code:#04x}");
            }
        }
    }
}

#[test]
fn names_come_back() {
    for format in Float8::ALL {
        assert_eq!(Float8::from_name(format.name()), Some(format));
    }
    assert_eq!(Float8::from_name("float8_e8m0fnu"), None);
}

/// Bits of float32 values from 2^-20 to 2^17, and so past both ends of all formats; half of them with few bits set,
/// where ties are.
fn f32_bits() -> impl Strategy<Value = u32> {
    let mantissa = prop_oneof![0..0x80_0000_u32, (0..64_u32).prop_map(|high| high << 17)];
    (any::<bool>(), 107..145_u32, mantissa)
        .prop_map(|(negative, exponent, mantissa)| u32::from(negative) << 31 | exponent << 23 | mantissa)
}

proptest! {
    #[test]
    fn the_nearest_value_is_taken_and_the_even_one_of_two(bits in f32_bits(), format in 0..4_usize) {
        let format = Float8::ALL[format];
        let exact = f64::from(f32::from_bits(bits));
        prop_assume!(exact.abs() <= largest(format));
        let code = format.encode(bits);
        let distance = (value(format, code) - exact).abs();
        for other in 0..=255_u8 {
            let other_distance = (value(format, other) - exact).abs();
            // Not so for NaN, whose distance compares with nothing.
            let is_nearer = other_distance < distance;
            prop_assert!(!is_nearer, "{format:?} {exact}: {code:#04x}, but {other:#04x} is nearer");
            let is_tie = other_distance == distance && value(format, other) != value(format, code);
            prop_assert!(!is_tie || code.is_multiple_of(2), "{format:?} {exact}: {code:#04x} is odd");
        }
        prop_assert!(value(format, code) == 0.0 || value(format, code).signum() == exact.signum());
    }
}
