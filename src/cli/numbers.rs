//! Flags whose values are numbers: each says what its numbers look like to who gives it something else. The flags must
//! allow negative numbers, so that `-1` is such a value and not taken for a flag.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Parses a number such as `example`.
pub(super) fn number(example: &'static str) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| text.parse().map_err(|_| format!("it must be a number, for instance {example}"))
}

/// Parses a whole number such as `example`.
pub(super) fn whole(example: &'static str) -> impl Fn(&str) -> Result<i64, String> + Clone + Send + Sync {
    move |text| text.parse().map_err(|_| format!("it must be a whole number, for instance {example}"))
}

/// Parses a whole number that is not below 0.
pub(super) fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "it must be a whole number that is not below 0".to_owned())
}

/// Parses a whole number in `range`.
pub(super) fn within<T>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    move |text| {
        let value = text.parse().ok().filter(|value| range.contains(value));
        value.ok_or_else(|| format!("it must be a whole number from {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_values_and_what_lies_past_them_is_not() {
        let parse = within(1..=100_u32);
        assert_eq!(["1", "100"].map(&parse), [Ok(1), Ok(100)]);
        for text in ["0", "101", "-1", "1.5", "", "1k", "99999999999999999999"] {
            assert_eq!(parse(text), Err("it must be a whole number from 1 to 100".to_owned()), "{text}");
        }
        assert_eq!((count("0"), count("18446744073709551615")), (Ok(0), Ok(u64::MAX)));
        assert!(count("-1").is_err() && count("18446744073709551616").is_err());
        assert_eq!((number("0.5")("-1e3"), whole("4")("-9")), (Ok(-1000.0), Ok(-9)));
        assert!(number("0.5")("10x").is_err_and(|said| said.ends_with("for instance 0.5")));
        assert!(whole("4")("4k").is_err_and(|said| said.ends_with("for instance 4")));
    }
}
