//! Flags whose values are names.

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::error::Error;

/// Parses one of `all` by its name, and lists the names in the help.
pub(super) fn named<T, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(all.map(name)).try_map(move |text| {
        all.into_iter().find(|value| name(*value) == text).ok_or_else(|| Error::invalid("unknown name"))
    })
}
