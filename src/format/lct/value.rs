//! One msgpack value, borrowed: typed access to scalars, iteration over containers, LMCache's tagged wrappers.
//!
//! A [`Value`] knows where it starts and is read when asked; nothing is copied. It comes from a record whose
//! bytes were checked before, so an error here means that a value has not the type that was asked for.

use super::cursor::{Cursor, Head, MAX_DEPTH, Text, WireError};
use super::usual_key::UsualKey;

/// The key of a wrapped value's tag.
const TAG_KEY: &[u8] = b"__t__";

/// The key of a wrapped value's payload.
const PAYLOAD_KEY: &[u8] = b"v";

/// A value at a place in a frame.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a>(Cursor<'a>);

impl<'a> Value<'a> {
    pub(super) fn at(cursor: Cursor<'a>) -> Self {
        Self(cursor)
    }

    pub(super) fn cursor(&self) -> Cursor<'a> {
        self.0
    }

    pub(super) fn head(&self) -> Result<Head<'a>, WireError> {
        { self.0 }.head()
    }

    /// An error about this value.
    pub fn error(&self, reason: &'static str) -> WireError {
        self.0.error(reason)
    }

    /// A string.
    pub fn as_str(&self) -> Result<&'a str, WireError> {
        match self.head()? {
            Head::Str(bytes) => self.0.check_utf8(bytes),
            _ => Err(self.error("expected a string")),
        }
    }

    /// Binary data.
    pub fn as_bin(&self) -> Result<&'a [u8], WireError> {
        match self.head()? {
            Head::Bin(bytes) => Ok(bytes),
            _ => Err(self.error("expected binary data")),
        }
    }

    /// A whole number.
    pub fn as_i64(&self) -> Result<i64, WireError> {
        match self.head()? {
            Head::Int(value) => Ok(value),
            Head::UInt(value) => i64::try_from(value).map_err(|_| self.error("a number past 63 bits")),
            _ => Err(self.error("expected a whole number")),
        }
    }

    /// A whole number that is not negative.
    pub fn as_u64(&self) -> Result<u64, WireError> {
        match self.head()? {
            Head::UInt(value) => Ok(value),
            Head::Int(value) => u64::try_from(value).map_err(|_| self.error("a negative number")),
            _ => Err(self.error("expected a whole number")),
        }
    }

    /// A number; whole numbers count as floats, as in LMCache's decoder.
    pub fn as_f64(&self) -> Result<f64, WireError> {
        match self.head()? {
            Head::Float(value) => Ok(value),
            Head::Int(value) => Ok(value as f64),
            Head::UInt(value) => Ok(value as f64),
            _ => Err(self.error("expected a number")),
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Result<bool, WireError> {
        match self.head()? {
            Head::Bool(value) => Ok(value),
            _ => Err(self.error("expected true or false")),
        }
    }

    /// The elements of an array, or of a wrapped `tuple` or `set`.
    pub fn elements(&self) -> Result<Elements<'a>, WireError> {
        let mut cursor = self.0;
        match cursor.head()? {
            Head::Array(left) => Ok(Elements::new(cursor, left)),
            Head::Map(_) => match self.tagged()? {
                Some((b"tuple" | b"set", payload)) => payload.plain_elements(),
                _ => Err(self.error("expected a list")),
            },
            _ => Err(self.error("expected a list")),
        }
    }

    fn plain_elements(&self) -> Result<Elements<'a>, WireError> {
        let mut cursor = self.0;
        match cursor.head()? {
            Head::Array(left) => Ok(Elements::new(cursor, left)),
            _ => Err(self.error("expected a list")),
        }
    }

    /// The entries of a map.
    pub fn entries(&self) -> Result<Entries<'a>, WireError> {
        let mut cursor = self.0;
        match cursor.head()? {
            Head::Map(left) => Ok(Entries(Elements::new(cursor, left))),
            _ => Err(self.error("expected a map")),
        }
    }

    /// The value of `key` in a map; the last one if the key is there twice, as in LMCache's decoder.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value<'a>>, WireError> {
        let mut found = None;
        for entry in self.entries()? {
            let (name, value) = entry?;
            if matches!(name.head()?, Head::Str(bytes) if bytes == key) {
                found = Some(value);
            }
        }
        Ok(found)
    }

    /// The values of `names` in a map, in one walk over it; the last one of a name that is there twice. `strange`
    /// is asked about every other name.
    pub(super) fn fields<const N: usize>(
        &self,
        names: [&str; N],
        mut strange: impl FnMut(&Value<'a>) -> Result<(), WireError>,
    ) -> Result<[Option<Value<'a>>; N], WireError> {
        let mut found = [None; N];
        for entry in self.entries()? {
            let (name, value) = entry?;
            let position = match name.head()? {
                Head::Str(text) => names.iter().position(|known| known.as_bytes() == text),
                _ => None,
            };
            match position {
                Some(position) => found[position] = Some(value),
                None => strange(&name)?,
            }
        }
        Ok(found)
    }

    /// The value of `key` in this map, as [`Value::fields`] found it.
    pub(super) fn found(&self, value: Option<Value<'a>>, key: &'static str) -> Result<Value<'a>, WireError> {
        value.ok_or_else(|| self.error(missing(key)))
    }

    /// The value of `key` in a map that must have it.
    pub fn require(&self, key: &'static str) -> Result<Value<'a>, WireError> {
        self.get(key.as_bytes())?.ok_or_else(|| self.error(missing(key)))
    }

    /// The tag and the payload of `{"__t__": tag, "v": payload}`; nothing if this is another map.
    pub fn tagged(&self) -> Result<Option<(&'a [u8], Value<'a>)>, WireError> {
        if let Some(usual) = self.usual_tagged() {
            return Ok(Some(usual));
        }
        let Some(tag) = self.get(TAG_KEY)? else { return Ok(None) };
        let Head::Str(tag) = tag.head()? else { return Err(tag.error("a tag that is not a string")) };
        let payload = self.get(PAYLOAD_KEY)?.ok_or_else(|| self.error("a tag without its payload"))?;
        Ok(Some((tag, payload)))
    }

    /// The form that every recorder writes: two entries, the tag first, so that both end together.
    pub(super) fn usual_tagged(&self) -> Option<(&'a [u8], Value<'a>)> {
        let mut cursor = self.0;
        if cursor.head().ok()? != Head::Map(2) || cursor.head().ok()? != Head::Str(TAG_KEY) {
            return None;
        }
        let Head::Str(tag) = cursor.head().ok()? else { return None };
        (cursor.head().ok()? == Head::Str(PAYLOAD_KEY)).then_some((tag, Self(cursor)))
    }

    /// As [`Value::tagged`], for a map that has nothing but a tag and a payload.
    pub(super) fn sole_tagged(&self) -> Option<(&'a [u8], Value<'a>)> {
        match self.head().ok()? {
            Head::Map(2) => self.tagged().ok()?,
            _ => None,
        }
    }

    /// The payload of a value that must be wrapped with `tag`.
    pub fn payload_of(&self, tag: &'static str) -> Result<Value<'a>, WireError> {
        match self.tagged()? {
            Some((found, payload)) if found == tag.as_bytes() => Ok(payload),
            _ => Err(self.error(missing(tag))),
        }
    }
}

/// "what is missing" for the names that this format knows.
fn missing(name: &'static str) -> &'static str {
    match name {
        "keys" => "keys are missing",
        "key_groups" => "key_groups are missing",
        "layout_desc" => "layout_desc is missing",
        "spec" => "the prefetch spec is missing",
        "ObjectKey" => "expected an ObjectKey",
        "MemoryLayoutDesc" => "expected a MemoryLayoutDesc",
        "GroupedObjectKeys" => "expected GroupedObjectKeys",
        _ => "a field is missing",
    }
}

/// Iterates over the elements of an array. An element is stepped over when the one after it is asked for, so
/// whoever stops early, or knows where an element ends, does not pay for the rest.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    cursor: Cursor<'a>,
    left: usize,
    is_at_taken: bool,
}

impl<'a> Elements<'a> {
    fn new(cursor: Cursor<'a>, left: usize) -> Self {
        Self { cursor, left, is_at_taken: false }
    }

    /// How many elements are left, as the file claims.
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// How many elements of at least `element_bytes` can be left: what to reserve memory for.
    pub fn capacity(&self, element_bytes: usize) -> usize {
        self.left.min(self.cursor.rest().len() / element_bytes)
    }

    /// Where the next element is, and its fields, if it is a key in the usual form; it is stepped over then.
    #[inline]
    pub(super) fn next_usual_key(&mut self) -> Option<(Value<'a>, UsualKey<'a>)> {
        if self.left == 0 || self.is_at_taken {
            return None;
        }
        let start = Value(self.cursor);
        let key = self.cursor.take_usual_key()?;
        self.left -= 1;
        Some((start, key))
    }

    fn step(&mut self) -> Result<Value<'a>, WireError> {
        if self.is_at_taken {
            self.cursor.skip(MAX_DEPTH, Text::Ignored)?;
        }
        self.is_at_taken = true;
        Ok(Value(self.cursor))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Value<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.step())
    }
}

/// Iterates over the entries of a map, stepping as [`Elements`] does.
#[derive(Clone, Debug)]
pub struct Entries<'a>(Elements<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(Value<'a>, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.left = self.0.left.checked_sub(1)?;
        let key = self.0.step();
        Some(key.and_then(|key| Ok((key, self.0.step()?))))
    }
}
