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
        let fields = Fields::read(body).map_err(|cause| {
            Error::new(ErrorKind::Corrupt, "the first frame is not a trace header").with_source(cause)
        })?;
        if fields.magic != MAGIC {
            return Err(Error::new(ErrorKind::Corrupt, "bad magic: this is not an LMCache trace")
                .with_context("found", format_args!("b\"{}\"", fields.magic.escape_ascii()))
                .with_context("expected", "b\"LMCT\""));
        }
        expect_version("unsupported format_version", &fields.format_version, FORMAT_VERSION)?;
        expect_version(
            "unsupported trace_schema_version",
            &fields.trace_schema_version,
            TRACE_SCHEMA_VERSION,
        )?;
        Ok(fields.into_header())
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

struct Fields<'a> {
    magic: &'a [u8],
    format_version: Integer,
    level: &'a str,
    trace_schema_version: Integer,
    t_mono_start_s: f64,
    t_wall_start_s: f64,
    sm_config_json: &'a str,
    sm_config_digest: &'a str,
    level_meta: Option<Value<'a>>,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut cursor = Cursor::at(body, 0);
        let start = cursor;
        let Head::Map(count) = cursor.head()? else { return Err(start.error("a frame that is not a map")) };
        let mut values = [None; FIELD_NAMES.len()];
        for _ in 0..count {
            let (name, value) = (field_name(&mut cursor)?, Value::at(cursor));
            match FIELD_NAMES.iter().position(|known| *known == name) {
                Some(TYPE) => expect_type(&value, b"header")?,
                Some(field) => values[field] = Some(value),
                None => {}
            }
            match name {
                b"level_meta" => check_args(&mut cursor)?,
                _ => cursor.skip(MAX_DEPTH - 1, Text::Ignored)?,
            }
        }
        if cursor.position() != body.len() {
            return Err(cursor.error("bytes after the header"));
        }
        Self::from_values(&values, start)
    }

    fn from_values(values: &[Option<Value<'a>>], start: Cursor<'a>) -> Result<Self, WireError> {
        let field = |position: usize| {
            values[position].ok_or_else(|| start.error("a header without one of its required fields"))
        };
        Ok(Self {
            magic: field(1)?.as_bin()?,
            format_version: integer(&field(2)?)?,
            level: field(3)?.as_str()?,
            trace_schema_version: integer(&field(4)?)?,
            t_mono_start_s: field(5)?.as_f64()?,
            t_wall_start_s: field(6)?.as_f64()?,
            sm_config_json: field(7)?.as_str()?,
            sm_config_digest: field(8)?.as_str()?,
            level_meta: values[9],
        })
    }

    fn into_header(self) -> Header {
        Header {
            level: Level::from(self.level),
            format_version: FORMAT_VERSION,
            trace_schema_version: TRACE_SCHEMA_VERSION,
            t_mono_start_s: self.t_mono_start_s,
            t_wall_start_s: self.t_wall_start_s,
            sm_config_json: self.sm_config_json.to_owned(),
            sm_config_digest: self.sm_config_digest.to_owned(),
            level_meta: self.level_meta.map(sorted_meta).unwrap_or_default(),
        }
    }
}

/// The header's fields in the order in which LMCache declares them; [`TYPE`] is the first.
const FIELD_NAMES: [&[u8]; 10] = [
    b"type",
    b"magic",
    b"format_version",
    b"level",
    b"trace_schema_version",
    b"t_mono_start",
    b"t_wall_start",
    b"sm_config_json",
    b"sm_config_digest",
    b"level_meta",
];

/// Position of `type` in [`FIELD_NAMES`].
const TYPE: usize = 0;

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
