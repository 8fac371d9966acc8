//! A position in msgpack bytes: reads scalars, steps into containers, steps over whole values.

use std::fmt;

use rmp::Marker;

use super::usual_key::{UsualKey, split_usual_key};

/// How deeply maps and arrays may nest. LMCache's own records nest nine deep; its reader stops near 1,000.
pub const MAX_DEPTH: usize = 128;

/// Bytes that are not the msgpack that was expected: where, counted from the start of the frame's body (or
/// of whatever slice the cursor was made on), and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    /// Offset of the value that could not be read.
    pub offset: usize,
    /// What was wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {} of the frame", self.reason, self.offset)
    }
}

impl std::error::Error for WireError {}

/// What to do about the text of strings that are stepped over.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    /// It must be UTF-8, as where LMCache's decoder builds the string.
    Checked,
    /// It is not looked at, as in fields that LMCache's decoder does not know.
    Ignored,
}

/// A container or scalar, as its first bytes announce it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Head<'a> {
    Nil,
    Bool(bool),
    UInt(u64),
    Int(i64),
    Float(f64),
    Str(&'a [u8]),
    Bin(&'a [u8]),
    Array(usize),
    Map(usize),
    Ext(i8, &'a [u8]),
}

/// A position in `bytes`. Copying it is how a caller looks ahead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at `position` of `bytes`; offsets in errors count from the start of `bytes`.
    pub(super) fn at(bytes: &'a [u8], position: usize) -> Self {
        Self { bytes, position }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The bytes from the position on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// Moves to where `rest`, a tail of these bytes, begins.
    #[inline]
    pub(super) fn advance_to(&mut self, rest: &[u8]) {
        self.position = self.bytes.len() - rest.len();
    }

    pub(super) fn error(&self, reason: &'static str) -> WireError {
        WireError { offset: self.position, reason }
    }

    #[inline]
    fn take(&mut self, len_bytes: usize) -> Result<&'a [u8], WireError> {
        let rest = &self.bytes[self.position..];
        let Some(taken) = rest.get(..len_bytes) else {
            return Err(self.error("the frame ends inside a value"));
        };
        self.position += len_bytes;
        Ok(taken)
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.bytes[self.position..].first_chunk::<N>() {
            Some(taken) => {
                self.position += N;
                Ok(*taken)
            }
            None => Err(self.error("the frame ends inside a value")),
        }
    }

    #[inline]
    fn big_endian(&mut self, len_bytes: usize) -> Result<u64, WireError> {
        Ok(match len_bytes {
            1 => u64::from(self.take_array::<1>()?[0]),
            2 => u64::from(u16::from_be_bytes(self.take_array()?)),
            4 => u64::from(u32::from_be_bytes(self.take_array()?)),
            _ => u64::from_be_bytes(self.take_array()?),
        })
    }

    /// A length field, and that many bytes. On a 32-bit machine a length that does not fit is longer than
    /// any frame.
    #[inline]
    fn sized(&mut self, prefix_bytes: usize) -> Result<&'a [u8], WireError> {
        let len_bytes = usize::try_from(self.big_endian(prefix_bytes)?).unwrap_or(usize::MAX);
        self.take(len_bytes)
    }

    fn ext(&mut self, len_bytes: usize) -> Result<Head<'a>, WireError> {
        let kind = i8::from_be_bytes(self.take_array()?);
        Ok(Head::Ext(kind, self.take(len_bytes)?))
    }

    /// The number of elements of a container; each takes at least one byte, so a count past the end is a lie.
    fn count(&mut self, prefix_bytes: usize, bytes_per_element: usize) -> Result<usize, WireError> {
        let start = *self;
        let count = usize::try_from(self.big_endian(prefix_bytes)?).unwrap_or(usize::MAX);
        let least_bytes = count.checked_mul(bytes_per_element);
        if least_bytes.is_none_or(|least_bytes| least_bytes > self.bytes.len() - self.position) {
            return Err(start.error("a container claims more elements than the frame has bytes"));
        }
        Ok(count)
    }

    /// Reads the head of the next value: a scalar whole, a container up to its first element.
    #[inline]
    pub(super) fn head(&mut self) -> Result<Head<'a>, WireError> {
        let start = *self;
        let [first] = self.take_array::<1>()?;
        Ok(match Marker::from_u8(first) {
            Marker::FixPos(value) => Head::UInt(u64::from(value)),
            Marker::FixNeg(value) => Head::Int(i64::from(value)),
            Marker::FixMap(count) => Head::Map(usize::from(count)),
            Marker::FixArray(count) => Head::Array(usize::from(count)),
            Marker::FixStr(len_bytes) => Head::Str(self.take(usize::from(len_bytes))?),
            Marker::Null => Head::Nil,
            Marker::True => Head::Bool(true),
            Marker::False => Head::Bool(false),
            Marker::Bin8 => Head::Bin(self.sized(1)?),
            Marker::Bin16 => Head::Bin(self.sized(2)?),
            Marker::Bin32 => Head::Bin(self.sized(4)?),
            Marker::Str8 => Head::Str(self.sized(1)?),
            Marker::Str16 => Head::Str(self.sized(2)?),
            Marker::Str32 => Head::Str(self.sized(4)?),
            Marker::U8 => Head::UInt(self.big_endian(1)?),
            Marker::U16 => Head::UInt(self.big_endian(2)?),
            Marker::U32 => Head::UInt(self.big_endian(4)?),
            Marker::U64 => Head::UInt(self.big_endian(8)?),
            Marker::I8 => Head::Int(i64::from(i8::from_be_bytes(self.take_array()?))),
            Marker::I16 => Head::Int(i64::from(i16::from_be_bytes(self.take_array()?))),
            Marker::I32 => Head::Int(i64::from(i32::from_be_bytes(self.take_array()?))),
            Marker::I64 => Head::Int(i64::from_be_bytes(self.take_array()?)),
            Marker::F32 => Head::Float(f64::from(f32::from_be_bytes(self.take_array()?))),
            Marker::F64 => Head::Float(f64::from_be_bytes(self.take_array()?)),
            Marker::Array16 => Head::Array(self.count(2, 1)?),
            Marker::Array32 => Head::Array(self.count(4, 1)?),
            Marker::Map16 => Head::Map(self.count(2, 2)?),
            Marker::Map32 => Head::Map(self.count(4, 2)?),
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => self.sized_ext(1)?,
            Marker::Ext16 => self.sized_ext(2)?,
            Marker::Ext32 => self.sized_ext(4)?,
            Marker::Reserved => return Err(start.error("a byte that begins no msgpack value")),
        })
    }

    fn sized_ext(&mut self, prefix_bytes: usize) -> Result<Head<'a>, WireError> {
        let len_bytes = usize::try_from(self.big_endian(prefix_bytes)?).unwrap_or(usize::MAX);
        self.ext(len_bytes)
    }

    /// Reads the key at the position and steps over it, or stays where it is if the key has another form.
    #[inline]
    pub(super) fn take_usual_key(&mut self) -> Option<UsualKey<'a>> {
        let (key, rest) = split_usual_key(self.rest())?;
        self.advance_to(rest);
        Some(key)
    }

    /// Steps over one whole value, at most `depth_left` containers deep.
    pub(super) fn skip(&mut self, depth_left: usize, text: Text) -> Result<(), WireError> {
        let start = *self;
        let scalar_bytes = self.rest().first().map_or(0, |first| SCALAR_BYTES[usize::from(*first)]);
        if scalar_bytes > 0 {
            return self.take(usize::from(scalar_bytes)).map(drop);
        }
        if depth_left >= KEY_DEPTH
            && let Some(key) = self.take_usual_key()
        {
            return match text == Text::Ignored || key.model_name.is_ascii() {
                true => Ok(()),
                false => start.check_utf8(key.model_name).map(drop),
            };
        }
        let elements = match self.head()? {
            Head::Str(bytes) if text == Text::Checked && !bytes.is_ascii() => {
                return start.check_utf8(bytes).map(drop);
            }
            Head::Ext(TIMESTAMP_EXT, bytes) if text == Text::Checked => return start.check_timestamp(bytes),
            Head::Array(count) => count,
            Head::Map(count) => return self.skip_map(count, start, depth_left, text),
            _ => return Ok(()),
        };
        let depth_left = start.deeper(depth_left)?;
        (0..elements).try_for_each(|_| self.skip(depth_left, text))
    }

    fn skip_map(
        &mut self,
        count: usize,
        start: Self,
        depth_left: usize,
        text: Text,
    ) -> Result<(), WireError> {
        let depth_left = start.deeper(depth_left)?;
        for _ in 0..count {
            match text {
                Text::Checked => self.skip_hashable(depth_left)?,
                Text::Ignored => self.skip(depth_left, text)?,
            }
            self.skip(depth_left, text)?;
        }
        Ok(())
    }

    /// Steps over the key of a map, which Python must be able to hash: there is no map and no extension in it, however
    /// deep.
    fn skip_hashable(&mut self, depth_left: usize) -> Result<(), WireError> {
        let start = *self;
        match self.head()? {
            Head::Map(_) => Err(start.error("a map in the key of a map")),
            Head::Ext(kind, _) if kind != TIMESTAMP_EXT => {
                Err(start.error("an extension in the key of a map"))
            }
            Head::Array(count) => {
                let depth_left = start.deeper(depth_left)?;
                (0..count).try_for_each(|_| self.skip_hashable(depth_left))
            }
            _ => {
                *self = start;
                self.skip(depth_left, Text::Checked)
            }
        }
    }

    fn deeper(&self, depth_left: usize) -> Result<usize, WireError> {
        depth_left.checked_sub(1).ok_or_else(|| self.error("containers nest too deeply"))
    }

    #[inline]
    pub(super) fn check_utf8(&self, bytes: &'a [u8]) -> Result<&'a str, WireError> {
        std::str::from_utf8(bytes).map_err(|_| self.error("a string that is not UTF-8"))
    }

    /// msgpack's timestamp must have one of its three sizes, less than a second of nanoseconds, and lie in a year
    /// that Python's `datetime` has.
    fn check_timestamp(&self, bytes: &[u8]) -> Result<(), WireError> {
        const NS_PER_S: u64 = 1_000_000_000;
        let is_valid = match bytes.len() {
            4 => true,
            8 => bytes.first_chunk().is_some_and(|raw| u64::from_be_bytes(*raw) >> 34 < NS_PER_S),
            12 => {
                let ns = bytes.first_chunk().map_or(NS_PER_S, |raw| u64::from(u32::from_be_bytes(*raw)));
                let seconds = bytes.last_chunk().map_or(i64::MAX, |raw| i64::from_be_bytes(*raw));
                ns < NS_PER_S && DATETIME_SECONDS.contains(&seconds)
            }
            _ => false,
        };
        if is_valid { Ok(()) } else { Err(self.error("a timestamp that is none")) }
    }
}

/// For each first byte of a number, nil, true or false: how many bytes the whole value has. Zero for all others.
const SCALAR_BYTES: [u8; 256] = {
    let (mut table, mut first) = ([0; 256], 0);
    while first < table.len() {
        table[first] = match first as u8 {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => 1,
            0xcc | 0xd0 => 2,
            0xcd | 0xd1 => 3,
            0xca | 0xce | 0xd2 => 5,
            0xcb | 0xcf | 0xd3 => 9,
            _ => 0,
        };
        first += 1;
    }
    table
};

/// How many maps deep a wrapped key is.
const KEY_DEPTH: usize = 2;

/// Seconds since the epoch from the start of year 1 to the end of year 9999.
const DATETIME_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// The extension type that msgpack reserves for timestamps.
const TIMESTAMP_EXT: i8 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(bytes: &[u8]) -> Result<usize, WireError> {
        let mut cursor = Cursor::at(bytes, 0);
        cursor.skip(MAX_DEPTH, Text::Checked).map(|()| cursor.position())
    }

    #[test]
    fn nesting_is_accepted_to_the_limit_and_refused_past_it() {
        let nested = |depth: usize| [vec![0x91; depth], vec![0xc0]].concat();
        assert_eq!(skip(&nested(MAX_DEPTH)), Ok(MAX_DEPTH + 1));
        assert_eq!(skip(&nested(MAX_DEPTH + 1)).unwrap_err().reason, "containers nest too deeply");
        assert!(skip(&vec![0x91; 1 << 20]).is_err());
    }

    #[test]
    fn lying_lengths_are_errors() {
        for lie in
            [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[0xdf, 0, 0, 0, 2, 1, 1], &[0xc6, 0xff, 0, 0, 0], &[0xdb]]
        {
            assert!(skip(lie).is_err(), "{lie:x?}");
        }
        assert_eq!(skip(&[0xdf, 0, 0, 0, 1, 1, 1]), Ok(7));
    }

    #[test]
    fn scalars_are_stepped_over_as_they_are_read() {
        for first in 0..=u8::MAX {
            let bytes = [[first].as_slice(), &[0; 8]].concat();
            let mut cursor = Cursor::at(&bytes, 0);
            let is_scalar = matches!(
                cursor.head(),
                Ok(Head::Nil | Head::Bool(_) | Head::UInt(_) | Head::Int(_) | Head::Float(_))
            );
            let expected = if is_scalar { cursor.position() } else { 0 };
            assert_eq!(usize::from(SCALAR_BYTES[usize::from(first)]), expected, "{first:#x}");
        }
    }

    #[test]
    fn text_and_opcodes_are_checked() {
        assert!(skip(&[0xa1, 0xff]).is_err());
        assert!(skip(&[0xc1]).is_err());
        assert!(skip(&[0x81, 0x80, 0x01]).is_err(), "a map as a map's key");
        assert_eq!(skip(&[0x81, 0x91, 0x01, 0x02]), Ok(4), "an array as a map's key");
        assert!(skip(&[0xd4, 0xff, 0]).is_err(), "a timestamp of one byte");
        assert_eq!(skip(&[0xd4, 0x05, 0]), Ok(3));
    }

    #[test]
    fn no_map_stands_in_the_key_of_a_map() {
        assert_eq!(skip(&[0x81, 0x91, 0x91, 0x01, 0x02]), Ok(5), "arrays do, at any depth");
        assert!(skip(&[0x81, 0x81, 0x01, 0x01, 0x02]).is_err());
        assert!(skip(&[0x81, 0x91, 0x81, 0x01, 0x01, 0x02]).is_err());
        assert!(skip(&[0x81, 0x91, 0x91, 0x80, 0x02]).is_err());
        assert!(skip(&[0x81, 0xd4, 0x05, 0x00, 0x02]).is_err(), "nor an extension");
        assert_eq!(skip(&[0x81, 0xd6, 0xff, 0, 0, 0, 1, 0x02]), Ok(8), "but a timestamp does");
    }

    #[test]
    fn timestamps_are_accepted_to_the_limits_of_datetime() {
        let timestamp = |seconds: i64| [&[0xc7, 12, 0xff, 0, 0, 0, 0][..], &seconds.to_be_bytes()].concat();
        for seconds in [*DATETIME_SECONDS.start(), 0, *DATETIME_SECONDS.end()] {
            assert_eq!(skip(&timestamp(seconds)), Ok(15));
        }
        for seconds in [DATETIME_SECONDS.start() - 1, DATETIME_SECONDS.end() + 1, i64::MAX] {
            assert!(skip(&timestamp(seconds)).is_err(), "{seconds}");
        }
    }
}
