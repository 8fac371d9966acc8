//! Walks the keys of a record in one pass, with the sizes of the objects that they name.
//!
//! Which keys those are: the argument `keys`; those of `spec`, row by row (flat in releases before 0.5.6); or,
//! at events level, the key of each of `entries`. Bytes are stepped over once, forward, whatever their nesting.

use super::cursor::{Cursor, Head, MAX_DEPTH, Text, WireError};
use super::keys::{WireKey, event_key, storage_key};
use super::layout::LayoutMemo;
use super::value::Value;
use crate::format::bytes::same_bytes;
use crate::format::model::KeyView;

/// Calls `visit` for each key of a record's arguments and returns how many there were.
///
/// # Errors
/// At the first value that is not a key where a key must be; the keys before it were visited.
#[inline]
pub fn for_each_key<'a>(args: &Value<'a>, visit: impl FnMut(WireKey<'a>)) -> Result<usize, WireError> {
    Ok(walk_keys(args, &mut LayoutMemo::default(), visit)?.keys)
}

/// What a walk met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyTotals {
    /// How many keys.
    pub keys: usize,
    /// The bytes of their objects, as far as the record says how large those are: one layout for all keys of
    /// the call or of the row. Releases 0.5.3 to 0.5.5 have layouts per group, beside a flat list: not counted.
    pub object_bytes: u64,
}

/// As [`for_each_key`], and sizes the objects. `memo` is handed from record to record.
#[inline]
pub fn walk_keys<'a>(
    args: &Value<'a>,
    memo: &mut LayoutMemo<'a>,
    visit: impl FnMut(WireKey<'a>),
) -> Result<KeyTotals, WireError> {
    let mut walk = Walk { cursor: args.cursor(), visit, memo, totals: KeyTotals::default() };
    walk.fields(|walk, name, list| match name {
        b"spec" => walk.spec(),
        b"entries" => walk.entries(),
        _ => walk.list_field(name, list),
    })?;
    Ok(walk.totals)
}

/// The byte of msgpack's nil.
const NIL: u8 = 0xc0;

struct Walk<'a, 'm, V> {
    cursor: Cursor<'a>,
    visit: V,
    memo: &'m mut LayoutMemo<'a>,
    totals: KeyTotals,
}

/// A key list and the layout beside it, which may come in any order.
#[derive(Default)]
struct ListFields {
    is_read: bool,
    keys: u64,
    layout_bytes: u64,
}

impl<'a, V: FnMut(WireKey<'a>)> Walk<'a, '_, V> {
    /// Reads a map: `read` gets the name of each field, with the cursor at its value, and steps over the value.
    fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, &'a [u8], &mut ListFields) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let start = self.cursor;
        let Head::Map(count) = self.cursor.head()? else { return Err(start.error("expected a map")) };
        let mut list = ListFields::default();
        for _ in 0..count {
            let name = self.cursor;
            let Head::Str(text) = self.cursor.head()? else {
                return Err(name.error("expected a field's name"));
            };
            read(self, text, &mut list)?;
        }
        let bytes = list.keys.saturating_mul(list.layout_bytes);
        self.totals.object_bytes = self.totals.object_bytes.saturating_add(bytes);
        Ok(())
    }

    fn skip(&mut self) -> Result<(), WireError> {
        self.cursor.skip(MAX_DEPTH, Text::Ignored)
    }

    /// A field of a call or of a row: its key list, its layout, or neither.
    fn list_field(&mut self, name: &[u8], list: &mut ListFields) -> Result<(), WireError> {
        match name {
            // LMCache keeps the last of two lists; the first was visited, so the record is said to be damaged.
            b"keys" if list.is_read => return Err(self.cursor.error("two fields named keys")),
            b"keys" => (list.keys, list.is_read) = (self.list()?, true),
            b"layout_desc" => list.layout_bytes = self.memo.take_size_bytes(&mut self.cursor)?,
            _ => self.skip()?,
        }
        Ok(())
    }

    fn list(&mut self) -> Result<u64, WireError> {
        let start = self.cursor;
        let count = match self.cursor.head()? {
            Head::Array(count) => count,
            _ => return self.wrapped_list(start),
        };
        let mut model_name = "";
        for _ in 0..count {
            let key = self.take_key(model_name)?;
            model_name = key.view.model_name;
            (self.visit)(key);
        }
        self.totals.keys += count;
        Ok(count as u64)
    }

    /// A list that was a Python tuple or set.
    fn wrapped_list(&mut self, start: Cursor<'a>) -> Result<u64, WireError> {
        let mut count = 0;
        for element in Value::at(start).elements()? {
            (self.visit)(storage_key(&element?)?);
            count += 1;
        }
        self.totals.keys += count;
        self.cursor = start;
        self.skip()?;
        Ok(count as u64)
    }

    /// The key at the cursor. `last_name` is the model's name in the key before it: the same bytes are the
    /// same text.
    #[inline]
    fn take_key(&mut self, last_name: &'a str) -> Result<WireKey<'a>, WireError> {
        let start = self.cursor;
        let Some(usual) = self.cursor.take_usual_key() else {
            self.skip()?;
            return storage_key(&Value::at(start));
        };
        let view = KeyView {
            chunk_hash: usual.chunk_hash,
            model_name: match same_bytes(usual.model_name, last_name.as_bytes()) {
                true => last_name,
                false => start.check_utf8(usual.model_name)?,
            },
            kv_rank: i64::from(usual.kv_rank),
            object_group_id: usual.object_group_id,
            cache_salt: "",
        };
        Ok(WireKey { view, salt_recorded: false, hash_is_hex: false })
    }

    /// Reads the payload of a wrapped value and leaves the cursor behind the wrapper.
    fn payload(
        &mut self,
        read: impl FnOnce(&mut Self, &'a [u8]) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let wrapper = self.cursor;
        if let Some((tag, payload)) = Value::at(wrapper).usual_tagged() {
            self.cursor = payload.cursor();
            return read(self, tag);
        }
        let Some((tag, payload)) = Value::at(wrapper).tagged()? else {
            return Err(wrapper.error("expected a wrapped value"));
        };
        self.cursor = payload.cursor();
        read(self, tag)?;
        self.cursor = wrapper;
        self.skip()
    }

    fn spec(&mut self) -> Result<(), WireError> {
        self.payload(|walk, _| {
            walk.fields(|walk, name, list| match name {
                b"key_groups" => walk.rows(),
                _ => walk.list_field(name, list),
            })
        })
    }

    fn rows(&mut self) -> Result<(), WireError> {
        let start = self.cursor;
        let Head::Array(count) = self.cursor.head()? else {
            return Err(start.error("expected a list of rows"));
        };
        for _ in 0..count {
            self.payload(|walk, tag| match tag {
                b"GroupedObjectKeys" => walk.fields(Self::list_field),
                _ => Err(walk.cursor.error("expected GroupedObjectKeys")),
            })?;
        }
        Ok(())
    }

    /// The entries of a batch; LMCache takes nil for none.
    fn entries(&mut self) -> Result<(), WireError> {
        if self.cursor.rest().first() == Some(&NIL) {
            return self.skip();
        }
        for entry in Value::at(self.cursor).elements()? {
            (self.visit)(event_key(&entry?.require("key")?)?);
            self.totals.keys += 1;
        }
        self.skip()
    }
}
