//! The records of an `events`-level file: what a server told its coordinator about its cache.
//!
//! LMCache's `trace info` takes what it finds with Python's `str()`, `int()` and `bool()` and treats what is
//! false as absent, so that a file from a later server can be summed up; so does this.

use std::borrow::Cow;

use super::cursor::{Head, WireError};
use super::json::write_json;
use super::value::Value;

/// Qualified name of a record with a batch of cache events.
pub const BATCH: &str = "events.batch";

/// Qualified name of a record that says that a server starts or stops.
pub const LIFECYCLE: &str = "events.lifecycle";

/// The event type of batches whose entries have sizes and tokens that count.
const STORE: &str = "store";

/// A batch of cache events of one kind. Fields that are missing have the values that LMCache prints for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch<'a> {
    /// The server.
    pub instance_id: Cow<'a, str>,
    /// When that server process started, in seconds since the epoch.
    pub incarnation: i64,
    /// `store`, `delete`, `access` or `config`.
    pub event_type: Cow<'a, str>,
    /// `l1` or `l2`.
    pub tier: Cow<'a, str>,
    /// The kind of memory or adapter.
    pub backend: Cow<'a, str>,
    /// Whether several servers see the same tier.
    pub shared: bool,
    /// How many events.
    pub entries: u64,
    /// The sum of the sizes of store events.
    pub store_bytes: u64,
    /// How many store events name tokens.
    pub entries_with_tokens: u64,
    /// Store events whose size or tokens cannot be read; `entries` counts them too.
    pub undecodable_entries: u64,
}

impl<'a> EventBatch<'a> {
    /// Reads the arguments of a [`BATCH`] record.
    ///
    /// # Errors
    /// If they are no map, `incarnation` is no number, or `entries` is no list. An entry that cannot be read is
    /// counted as such and is no error.
    pub fn decode(args: &Value<'a>) -> Result<Self, WireError> {
        let mut batch = Self {
            instance_id: text(args, b"instance_id", "?")?,
            incarnation: integer(args, b"incarnation")?,
            event_type: text(args, b"event_type", "?")?,
            tier: text(args, b"tier", "?")?,
            backend: text(args, b"backend", "")?,
            shared: truth(args, b"shared")?.is_some(),
            entries: 0,
            store_bytes: 0,
            entries_with_tokens: 0,
            undecodable_entries: 0,
        };
        if let Some(entries) = truth(args, b"entries")? {
            let entries = entries.elements()?;
            batch.entries = entries.remaining() as u64;
            if batch.event_type == STORE {
                entries.for_each(|entry| batch.add_store(entry));
            }
        }
        Ok(batch)
    }

    fn add_store(&mut self, entry: Result<Value<'_>, WireError>) {
        match entry.and_then(|entry| store_event(&entry)) {
            Ok((size_bytes, has_tokens)) => {
                self.store_bytes = self.store_bytes.saturating_add(size_bytes);
                self.entries_with_tokens += u64::from(has_tokens);
            }
            Err(_) => self.undecodable_entries += 1,
        }
    }
}

/// The size of a store event, and whether it names tokens.
fn store_event(entry: &Value<'_>) -> Result<(u64, bool), WireError> {
    Ok((integer(entry, b"size_bytes")?, truth(entry, b"token_ids")?.is_some()))
}

/// `start` or `stop` of a [`LIFECYCLE`] record.
pub fn lifecycle_phase<'a>(args: &Value<'a>) -> Result<Cow<'a, str>, WireError> {
    text(args, b"phase", "?")
}

/// A field as Python's `str()` gives it, except that lists, maps and doubles are written as JSON.
fn text<'a>(args: &Value<'a>, name: &[u8], missing: &'static str) -> Result<Cow<'a, str>, WireError> {
    let Some(value) = args.get(name)? else { return Ok(missing.into()) };
    Ok(match value.head()? {
        Head::Str(_) => value.as_str()?.into(),
        Head::Nil => "None".into(),
        Head::Bool(true) => "True".into(),
        Head::Bool(false) => "False".into(),
        _ => {
            let mut json = Vec::new();
            write_json(&value, &mut json)?;
            String::from_utf8_lossy(&json).into_owned().into()
        }
    })
}

/// A field as Python's `int()` gives it, if `T` has room for it; zero if it is missing.
fn integer<T: TryFrom<i128> + Default>(map: &Value<'_>, name: &[u8]) -> Result<T, WireError> {
    let Some(value) = map.get(name)? else { return Ok(T::default()) };
    let number = match value.head()? {
        Head::UInt(number) => Some(i128::from(number)),
        Head::Int(number) => Some(i128::from(number)),
        Head::Bool(flag) => Some(i128::from(flag)),
        // The cast cuts the fraction off, as int() does; what is past 128 bits has no room in any T.
        Head::Float(number) if number.is_finite() => Some(number as i128),
        Head::Str(_) => value.as_str()?.trim().parse().ok(),
        _ => None,
    };
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| value.error("expected a whole number"))
}

/// A field if it is there and true in the sense of Python's `bool()`.
fn truth<'a>(map: &Value<'a>, name: &[u8]) -> Result<Option<Value<'a>>, WireError> {
    let Some(value) = map.get(name)? else { return Ok(None) };
    let is_true = match value.head()? {
        Head::Nil => false,
        Head::Bool(flag) => flag,
        Head::UInt(number) => number != 0,
        Head::Int(number) => number != 0,
        Head::Float(number) => number != 0.0,
        Head::Str(bytes) | Head::Bin(bytes) => !bytes.is_empty(),
        Head::Array(count) => count > 0,
        Head::Map(count) => value.elements().map_or(count, |elements| elements.remaining()) > 0,
        Head::Ext(..) => true,
    };
    Ok(is_true.then_some(value))
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::*;

    fn batch(args: &[u8]) -> Result<EventBatch<'_>, WireError> {
        EventBatch::decode(&Value::at(Cursor::at(args, 0)))
    }

    /// A store batch with the one field `name`, whose value is msgpack.
    fn with(name: &str, value: &[u8]) -> Vec<u8> {
        let mut args = b"\x82\xaaevent_type\xa5store".to_vec();
        args.push(0xa0 | name.len() as u8);
        args.extend(name.as_bytes());
        args.extend(value);
        args
    }

    #[test]
    fn null_and_what_is_empty_are_as_good_as_absent() {
        for value in [&b"\xc0"[..], b"\xc2", b"\x00", b"\xa0", b"\x90", b"\x80", b"\xca\0\0\0\0"] {
            assert_eq!(batch(&with("entries", value)).expect("no entries").entries, 0, "{value:?}");
            assert!(!batch(&with("shared", value)).expect("not shared").shared, "{value:?}");
        }
        for value in [&b"\xc3"[..], b"\x01", b"\xa1x", b"\x91\xc0"] {
            assert!(batch(&with("shared", value)).expect("shared").shared, "{value:?}");
        }
        assert!(batch(&with("entries", b"\x01")).is_err());
    }

    #[test]
    fn numbers_are_what_int_makes_of_them() {
        for (value, number) in [
            (&b"\x07"[..], 7),
            (b"\xff", -1),
            (b"\xcb\x40\x18\0\0\0\0\0\0", 6),
            (b"\xcb\xc0\x1a\0\0\0\0\0\0", -6),
            (b"\xa4 12 ", 12),
            (b"\xc3", 1),
        ] {
            assert_eq!(
                batch(&with("incarnation", value)).expect("a number").incarnation,
                number,
                "{value:?}"
            );
        }
        let (nan, huge) = (b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xcb\x7f\xe0\0\0\0\0\0\0");
        for value in [&b"\xc0"[..], b"\xa31.5", b"\xa0", b"\x90", nan, huge] {
            assert!(batch(&with("incarnation", value)).is_err(), "{value:?}");
        }
    }

    #[test]
    fn names_are_what_str_makes_of_them() {
        for (value, name) in
            [(&b"\xa1x"[..], "x"), (b"\x07", "7"), (b"\xff", "-1"), (b"\xc0", "None"), (b"\xc3", "True")]
        {
            assert_eq!(batch(&with("tier", value)).expect("a name").tier, name);
        }
        assert_eq!(batch(b"\x80").expect("no fields").tier, "?");
    }

    #[test]
    fn a_faulty_entry_does_not_drop_its_batch() {
        let entries = [
            &b"\x95"[..],
            b"\x81\xaasize_bytes\x03", // no tokens
            b"\x82\xaasize_bytes\x04\xa9token_ids\x91\x01",
            b"\x82\xaasize_bytes\x05\xa9token_ids\xc0",
            b"\x81\xaasize_bytes\xc0", // int(None) is a fault
            b"\x07",                   // no map
        ];
        let args = with("entries", &entries.concat());
        let found = batch(&args).expect("a batch");
        assert_eq!((found.entries, found.undecodable_entries), (5, 2));
        assert_eq!((found.store_bytes, found.entries_with_tokens), (12, 1));
    }
}
