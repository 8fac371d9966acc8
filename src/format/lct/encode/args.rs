//! Arguments of records that LMCache does not have: flat, and of a few types.

use super::wire;

/// The value of an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arg<'a> {
    /// A whole number.
    Count(u64),
    /// Any number.
    Number(f64),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Nothing.
    Nil,
}

/// Appends a map of arguments, in their order.
pub fn encode_args(args: &[(&str, Arg<'_>)], out: &mut Vec<u8>) {
    wire::map(args.len(), out);
    for (name, value) in args {
        wire::str(name, out);
        match *value {
            Arg::Count(count) => wire::uint(count, out),
            Arg::Number(number) => wire::float(number, out),
            Arg::Text(text) => wire::str(text, out),
            Arg::Bytes(bytes) => wire::bin(bytes, out),
            Arg::Nil => wire::nil(out),
        }
    }
}
