//! The header frame: the one frame that must be right for a file to be read at all.

use super::cursor::{Cursor, Head, MAX_DEPTH, Text, WireError};
use super::record::{check_args, expect_type, field_name};
use super::value::Value;
use crate::error::{Error, ErrorKind, Result};

/// What the `magic` field holds.
pub const MAGIC: &[u8] = b"LMCT";

/// The framing that this build reads; the only one there has been.
pub const FORMAT_VERSION: i64 = 1;

/// The schema version in every file so far, whatever the shapes of its arguments.
pub const TRACE_SCHEMA_VERSION: i64 = 1;

/// What kind of records a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    /// Calls on the storage manager.
    Storage,
    /// The stream of cache events that a server reports.
    Events,
    /// A level of another release; its records can be counted and dumped.
    Other(String),
}

impl Level {
    /// The name in the file.
    pub fn name(&self) -> &str {
        match self {
            Self::Storage => "storage",
            Self::Events => "events",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for Level {
    fn from(name: &str) -> Self {
        match name {
            "storage" => Self::Storage,
            "events" => Self::Events,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// What a file says about itself. Owned: there is one per file.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// What the records are.
    pub level: Level,
    /// Always [`FORMAT_VERSION`].
    pub format_version: i64,
    /// Always [`TRACE_SCHEMA_VERSION`].
    pub trace_schema_version: i64,
    /// `time.monotonic()` of the recording process when it opened the file.
    pub t_mono_start_s: f64,
    /// `time.time()` at the same moment.
    pub t_wall_start_s: f64,
    /// The recorded `StorageManagerConfig` as JSON; empty if the recorder was given none.
    pub sm_config_json: String,
    /// Its SHA-256 in hexadecimal; empty if there is no configuration.
    pub sm_config_digest: String,
    /// Level-specific facts, sorted by name, each value as JSON.
    pub level_meta: Vec<(String, serde_json::Value)>,
}

impl Header {
    /// Reads the body of a file's first frame.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] if it is not a header, [`ErrorKind::UnsupportedVersion`] if it is one of a
    /// version that this build does not read. LMCache refuses the same files.
    pub fn decode(body: &[u8]) -> Result<Self> {
        let no_header = || Error::new(ErrorKind::Corrupt, "the first frame is not a trace header");
        let fields = Fields::read(body).map_err(|cause| no_header().with_source(cause))?;
        let (Some(magic), Some(format_version), Some(trace_schema_version)) =
            (fields.magic, fields.format_version, fields.trace_schema_version)
        else {
            return Err(no_header().with_hint("one of its required fields is missing"));
        };
        if magic != MAGIC {
            return Err(Error::new(ErrorKind::Corrupt, "bad magic: this is not an LMCache trace")
                .with_context("found", format_args!("b\"{}\"", magic.escape_ascii()))
                .with_context("expected", "b\"LMCT\""));
        }
        expect_version("unsupported format_version", &format_version, FORMAT_VERSION)?;
        expect_version("unsupported trace_schema_version", &trace_schema_version, TRACE_SCHEMA_VERSION)?;
        fields.into_header().ok_or_else(|| no_header().with_hint("one of its required fields is missing"))
    }
}

fn expect_version(message: &'static str, found: &Integer, expected: i64) -> Result<()> {
    if *found == Integer::Small(expected) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::UnsupportedVersion, message)
        .with_context("found", found)
        .with_context("expected", expected)
        .with_hint("the file was written by a release that this build does not know"))
}

/// An integer as msgpack has it: signed or unsigned, 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Integer {
    Small(i64),
    Large(u64),
}

impl std::fmt::Display for Integer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Small(value) => value.fmt(f),
            Self::Large(value) => value.fmt(f),
        }
    }
}

/// The fields as they are met; each is checked when it is, so that a wrong one is not saved by a right one after it.
#[derive(Default)]
struct Fields<'a> {
    magic: Option<&'a [u8]>,
    format_version: Option<Integer>,
    level: Option<&'a str>,
    trace_schema_version: Option<Integer>,
    t_mono_start_s: Option<f64>,
    t_wall_start_s: Option<f64>,
    sm_config_json: Option<&'a str>,
    sm_config_digest: Option<&'a str>,
    level_meta: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::at(body, 0);
        let start = cursor;
        let Head::Map(count) = cursor.head()? else { return Err(start.error("a frame that is not a map")) };
        let mut fields = Self::default();
        for _ in 0..count {
            fields.read_entry(&mut cursor)?;
        }
        if cursor.position() != body.len() {
            return Err(cursor.error("bytes after the header"));
        }
        Ok(fields)
    }

    fn read_entry(&mut self, cursor: &mut Cursor<'a>) -> Result<(), WireError> {
        let name = field_name(cursor)?;
        let value = Value::at(*cursor);
        match name {
            b"type" => expect_type(&value, b"header")?,
            b"magic" => self.magic = Some(value.as_bin()?),
            b"format_version" => self.format_version = Some(integer(&value)?),
            b"level" => self.level = Some(value.as_str()?),
            b"trace_schema_version" => self.trace_schema_version = Some(integer(&value)?),
            b"t_mono_start" => self.t_mono_start_s = Some(value.as_f64()?),
            b"t_wall_start" => self.t_wall_start_s = Some(value.as_f64()?),
            b"sm_config_json" => self.sm_config_json = Some(value.as_str()?),
            b"sm_config_digest" => self.sm_config_digest = Some(value.as_str()?),
            b"level_meta" => {
                self.level_meta = Some(value);
                return check_args(cursor);
            }
            _ => {}
        }
        cursor.skip(MAX_DEPTH - 1, Text::Ignored)
    }

    fn into_header(self) -> Option<Header> {
        Some(Header {
            level: Level::from(self.level?),
            format_version: FORMAT_VERSION,
            trace_schema_version: TRACE_SCHEMA_VERSION,
            t_mono_start_s: self.t_mono_start_s?,
            t_wall_start_s: self.t_wall_start_s?,
            sm_config_json: self.sm_config_json?.to_owned(),
            sm_config_digest: self.sm_config_digest?.to_owned(),
            level_meta: self.level_meta.map(sorted_meta).unwrap_or_default(),
        })
    }
}

fn integer(value: &Value<'_>) -> Result<Integer, WireError> {
    match value.head()? {
        Head::Int(small) => Ok(Integer::Small(small)),
        Head::UInt(large) => Ok(i64::try_from(large).map_or(Integer::Large(large), Integer::Small)),
        _ => Err(value.error("expected a whole number")),
    }
}

fn sorted_meta(meta: Value<'_>) -> Vec<(String, serde_json::Value)> {
    let mut pairs: Vec<_> = match super::json::to_json(&meta) {
        serde_json::Value::Object(map) => map.into_iter().collect(),
        _ => Vec::new(),
    };
    pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [&[u8]; 8] = [
        b"\xa5magic\xc4\x04LMCT",
        b"\xaeformat_version\x01",
        b"\xa5level\xa7storage",
        b"\xb4trace_schema_version\x01",
        b"\xact_mono_start\x01",
        b"\xact_wall_start\xca\x3f\x80\x00\x00",
        b"\xaesm_config_json\xa0",
        b"\xb0sm_config_digest\xa0",
    ];

    fn header(fields: &[&[u8]]) -> Result<Header> {
        Header::decode(&[&[0x80 | fields.len() as u8], fields.concat().as_slice()].concat())
    }

    #[test]
    fn every_field_is_needed_and_checked_each_time() {
        assert_eq!(header(&FIELDS).unwrap().t_wall_start_s, 1.0);
        for missing in 0..FIELDS.len() {
            let rest: Vec<_> =
                FIELDS.iter().enumerate().filter(|(field, _)| *field != missing).map(|(_, f)| *f).collect();
            assert_eq!(header(&rest).unwrap_err().kind(), ErrorKind::Corrupt, "{missing}");
        }
        let with = |extra: &'static [u8]| header(&[&[extra], &FIELDS[..]].concat());
        assert!(with(b"\xa7unknown\xc0").is_ok());
        assert!(with(b"\xa4type\xa6header").is_ok());
        assert!(with(b"\xa4type\xa6record").is_err());
        assert!(with(b"\xa5magic\xa4LMCT").is_err(), "text is no magic, though a right one follows");
        assert!(with(b"\xaalevel_meta\xc0").is_err());
    }

    #[test]
    fn metadata_is_kept_as_it_stands() {
        let meta = b"\xaalevel_meta\x81\xa1a\x82\xa5__t__\xa1x\xa1v\x81\xaechunk_hash_hex\xa2ff";
        let found = header(&[&FIELDS[..], &[meta]].concat()).unwrap().level_meta;
        let expected = serde_json::json!({"__t__": "x", "v": {"chunk_hash_hex": "ff"}});
        assert_eq!(found, [("a".to_owned(), expected)]);
    }
}
