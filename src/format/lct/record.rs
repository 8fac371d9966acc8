//! One record frame: when, what, and the arguments, checked to the last byte as LMCache's decoder would.

use super::cursor::{Cursor, Head, MAX_DEPTH, Text, WireError};
use super::value::Value;

/// A record whose frame is well-formed: every value of its arguments can be walked, every string is UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct WireRecord<'a> {
    /// Seconds since the header's `t_mono_start`. Any double: a file can hold NaN.
    pub t_mono_s: f64,
    /// Seconds since the epoch.
    pub t_wall_s: f64,
    /// The call site's qualified name.
    pub qualname: &'a str,
    /// The arguments: a map with string keys.
    pub args: Value<'a>,
}

impl<'a> WireRecord<'a> {
    /// Reads a frame's body.
    ///
    /// # Errors
    /// Wherever LMCache's reader would skip the frame: it is not one map, a required field is missing or of
    /// another type, the arguments hold malformed values, or bytes follow the map.
    pub fn decode(body: &'a [u8]) -> Result<Self, WireError> {
        let mut fields = Fields::default();
        let mut cursor = Cursor::at(body, 0);
        let start = cursor;
        let Head::Map(count) = cursor.head()? else { return Err(start.error("a frame that is not a map")) };
        for _ in 0..count {
            fields.read_entry(&mut cursor)?;
        }
        if cursor.position() != body.len() {
            return Err(cursor.error("bytes after the record"));
        }
        let missing = || start.error("a record without t_mono, t_wall, qualname or args");
        Ok(Self {
            t_mono_s: fields.t_mono_s.ok_or_else(missing)?,
            t_wall_s: fields.t_wall_s.ok_or_else(missing)?,
            qualname: fields.qualname.ok_or_else(missing)?,
            args: fields.args.ok_or_else(missing)?,
        })
    }
}

#[derive(Default)]
struct Fields<'a> {
    t_mono_s: Option<f64>,
    t_wall_s: Option<f64>,
    qualname: Option<&'a str>,
    args: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    fn read_entry(&mut self, cursor: &mut Cursor<'a>) -> Result<(), WireError> {
        let name = field_name(cursor)?;
        let value = Value::at(*cursor);
        match name {
            b"type" => expect_type(&value, b"record")?,
            b"t_mono" => self.t_mono_s = Some(value.as_f64()?),
            b"t_wall" => self.t_wall_s = Some(value.as_f64()?),
            b"qualname" => self.qualname = Some(value.as_str()?),
            b"args" => {
                self.args = Some(value);
                return check_args(cursor);
            }
            _ => {}
        }
        cursor.skip(MAX_DEPTH - 1, Text::Ignored)
    }
}

/// The name of a struct's field: a string; its text is compared, never built.
pub(super) fn field_name<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], WireError> {
    let start = *cursor;
    match cursor.head()? {
        Head::Str(name) => Ok(name),
        _ => Err(start.error("a field's name that is not a string")),
    }
}

/// The `type` field of a struct, where there is one, must name the struct.
pub(super) fn expect_type(value: &Value<'_>, name: &[u8]) -> Result<(), WireError> {
    match value.head()? {
        Head::Str(found) if found == name => Ok(()),
        _ => Err(value.error("a frame of another type")),
    }
}

/// Steps over a map with string keys, checking everything in it.
pub(super) fn check_args(cursor: &mut Cursor<'_>) -> Result<(), WireError> {
    let start = *cursor;
    let Head::Map(count) = cursor.head()? else { return Err(start.error("arguments that are not a map")) };
    for _ in 0..count {
        let key = *cursor;
        match cursor.head()? {
            Head::Str(name) => key.check_utf8(name)?,
            _ => return Err(key.error("an argument's name that is not a string")),
        };
        cursor.skip(MAX_DEPTH - 2, Text::Checked)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `Record(0.0, 1.0, "q", {})` as LMCache 0.5.6 writes it.
    fn record() -> Vec<u8> {
        let text = b"\x85\xa4type\xa6record\xa6t_mono\xcb\0\0\0\0\0\0\0\0\xa6t_wall\xcb\x3f\xf0\0\0\0\0\0\0\xa8qualname\xa1q\xa4args\x80";
        text.to_vec()
    }

    #[test]
    fn the_real_bytes_are_read() {
        let bytes = record();
        let record = WireRecord::decode(&bytes).unwrap();
        assert_eq!((record.t_mono_s, record.t_wall_s, record.qualname), (0.0, 1.0, "q"));
        assert_eq!(record.args.entries().unwrap().count(), 0);
    }

    #[test]
    fn strictness_is_that_of_the_real_decoder() {
        let with = |extra: &[u8]| [&[0x86][..], &record()[1..], extra].concat();
        assert!(
            WireRecord::decode(&with(b"\xa1x\xa1\xff")).is_ok(),
            "an unknown field's text is not looked at"
        );
        assert!(WireRecord::decode(&with(b"\xa1\xff\x01")).is_ok(), "nor is an unknown field's name");
        assert!(WireRecord::decode(&with(b"\xa1x\xc1")).is_err(), "but it must be msgpack");
        assert!(WireRecord::decode(&with(b"\x01\x01")).is_err(), "names are strings");
        assert_eq!(
            WireRecord::decode(&with(b"\xa8qualname\xa1z")).unwrap().qualname,
            "z",
            "the last one counts"
        );
        assert!(WireRecord::decode(&[record(), vec![0]].concat()).is_err(), "nothing may follow");
        assert!(WireRecord::decode(b"\x80").is_err());
        assert!(WireRecord::decode(b"").is_err());
        for end in 0..record().len() {
            assert!(WireRecord::decode(&record()[..end]).is_err());
        }
    }
}
