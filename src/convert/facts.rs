//! The two kinds of file header, and the clocks that both describe.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::{Map, Value as Json};

use super::Conversion;
use crate::error::{Error, ErrorKind, Result};
use crate::format::lct::frame::PREFIX_BYTES;
use crate::format::lct::header::{FORMAT_VERSION, Header, Level, TRACE_SCHEMA_VERSION};
use crate::format::lct::times::{monotonic_ns_of, t_mono_of, t_wall_of, wall_ns_of};
use crate::format::lct::{WireRecord, encode_header};
use crate::format::native::header::CONVERTED_FROM;
use crate::format::native::pod::{DEFAULT_CHUNK_BYTES, HEADER_ALIGN};
use crate::format::native::schema::FileFacts;
use crate::format::native::{NewFile, Stamp};
use crate::trace::TraceReader;
use crate::trace::native::NativeTrace;

/// What a native file says of a recording that LMCache's `reader` has.
pub(super) fn of_lmcache(reader: &TraceReader) -> Result<(NewFile, FileFacts)> {
    let header = reader.header();
    let new = NewFile {
        chunk_bytes: DEFAULT_CHUNK_BYTES,
        header_align: HEADER_ALIGN,
        required_features: 0,
        mono_start_ns: nearest_ns(header.t_mono_start_s),
        wall_start_ns: nearest_ns(header.t_wall_start_s),
        t_mono_start_s: header.t_mono_start_s,
        t_wall_start_s: header.t_wall_start_s,
        recording_id: RandomState::new().build_hasher().finish(),
        file_number: 0,
    };
    let meta: Map<_, _> = header.level_meta.iter().cloned().collect();
    let mut facts = FileFacts {
        writer: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
        level: header.level.name().to_owned(),
        sm_config_json: header.sm_config_json.clone(),
        sm_config_digest: header.sm_config_digest.clone(),
        level_meta_json: if meta.is_empty() { String::new() } else { Json::Object(meta).to_string() },
        ..FileFacts::default()
    };
    let frame = &reader.bytes()[..reader.first_record_offset()];
    // Another release's header, one with unknown fields, or `level_meta` in an order of its own.
    if header_frame(&new, &facts)? != frame {
        facts.lct_header = frame[PREFIX_BYTES..].to_vec();
    }
    Ok((new, facts))
}

/// What a copy of a native file says: the same.
pub(super) fn of_native(trace: &NativeTrace) -> (NewFile, FileFacts) {
    let (header, fixed) = (trace.header(), trace.header().fixed());
    let new = NewFile {
        chunk_bytes: fixed.chunk_bytes,
        header_align: HEADER_ALIGN,
        required_features: fixed.required_features,
        mono_start_ns: fixed.mono_start_ns,
        wall_start_ns: fixed.wall_start_ns,
        t_mono_start_s: header.t_mono_start_s(),
        t_wall_start_s: header.t_wall_start_s(),
        recording_id: fixed.recording_id,
        file_number: fixed.file_number,
    };
    (new, header.facts().clone())
}

/// Has the facts of a copy say what it was made of, if that is not all that was recorded. An LMCache file is kept to
/// its last byte, and what is cut of it is a record of the copy.
pub(super) fn say_origin(facts: &mut FileFacts, seen: &Conversion) {
    let mut lacks = Vec::new();
    for (count, what) in [
        (seen.damaged_chunks, "damaged chunks"),
        (seen.gap_bytes, "bytes where chunks should be"),
        (seen.unknown_records, "records of unknown kinds"),
        (seen.unknown_layouts, "calls of unknown layouts"),
    ] {
        if count > 0 {
            lacks.push(format!("{what}: {count}"));
        }
    }
    let origin = match (seen.is_unfinished, lacks.is_empty()) {
        (false, true) => return,
        (true, true) => "an unfinished file".to_owned(),
        (true, false) => format!("an unfinished and damaged file; left out: {}", lacks.join(", ")),
        (false, false) => format!("a damaged file; left out: {}", lacks.join(", ")),
    };
    facts.metadata.push((CONVERTED_FROM.to_owned(), origin));
}

/// The header's frame in an LMCache file.
pub(super) fn header_frame(new: &NewFile, facts: &FileFacts) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    if let Ok(body_bytes) = u32::try_from(facts.lct_header.len())
        && body_bytes > 0
    {
        frame.extend_from_slice(&body_bytes.to_be_bytes());
        frame.extend_from_slice(&facts.lct_header);
        return Ok(frame);
    }
    let level_meta = match facts.level_meta_json.as_str() {
        "" => Map::new(),
        text => serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Corrupt, "the level_meta in the file header is no JSON object")
                .with_source(error)
        })?,
    };
    let header = Header {
        level: Level::from(facts.level.as_str()),
        format_version: FORMAT_VERSION,
        trace_schema_version: TRACE_SCHEMA_VERSION,
        t_mono_start_s: new.t_mono_start_s,
        t_wall_start_s: new.t_wall_start_s,
        sm_config_json: facts.sm_config_json.clone(),
        sm_config_digest: facts.sm_config_digest.clone(),
        level_meta: level_meta.into_iter().collect(),
    };
    encode_header(&header, &mut frame)?;
    Ok(frame)
}

/// Between the seconds of LMCache's records and the nanoseconds of native ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    t_mono_start_s: f64,
    mono_start_ns: u64,
    wall_start_ns: u64,
}

impl Clocks {
    pub(super) fn of(new: &NewFile) -> Self {
        Self {
            t_mono_start_s: new.t_mono_start_s,
            mono_start_ns: new.mono_start_ns,
            wall_start_ns: new.wall_start_ns,
        }
    }

    /// The clocks of a file by its LMCache header.
    pub(super) fn of_header(header: &Header) -> Self {
        Self {
            t_mono_start_s: header.t_mono_start_s,
            mono_start_ns: nearest_ns(header.t_mono_start_s),
            wall_start_ns: nearest_ns(header.t_wall_start_s),
        }
    }

    /// The time of day at `t_ns` by the clock pair of the file's start.
    pub(super) fn wall_ns(&self, t_ns: u64) -> u64 {
        self.wall_start_ns.wrapping_add(t_ns.wrapping_sub(self.mono_start_ns))
    }

    /// LMCache's `t_mono` of a stamp.
    pub(super) fn t_mono_of(&self, stamp: &Stamp) -> f64 {
        stamp.t_mono_bits.map_or_else(|| self.t_mono_s(stamp.t_ns), f64::from_bits)
    }

    /// LMCache's `t_mono` of a moment.
    pub(super) fn t_mono_s(&self, t_ns: u64) -> f64 {
        t_mono_of(t_ns, self.t_mono_start_s)
    }

    /// LMCache's `t_wall` of a stamp.
    pub(super) fn t_wall_s(&self, stamp: &Stamp) -> f64 {
        t_wall_of(stamp.wall_ns.unwrap_or(self.wall_ns(stamp.t_ns)) as i64)
    }

    /// The stamp that leads back to the very times of `record`, if there is one.
    pub(super) fn exact_stamp(&self, record: &WireRecord<'_>) -> Option<Stamp> {
        let stamp = match monotonic_ns_of(record.t_mono_s, self.t_mono_start_s) {
            Some(t_ns) => Stamp { t_ns, ..Stamp::default() },
            None => {
                let (t_ns, t_mono_bits) =
                    (self.nearest_ns(record.t_mono_s)?, Some(record.t_mono_s.to_bits()));
                Stamp { t_ns, t_mono_bits, ..Stamp::default() }
            }
        };
        if self.t_wall_s(&stamp).to_bits() == record.t_wall_s.to_bits() {
            return Some(stamp);
        }
        let wall_ns = u64::try_from(wall_ns_of(record.t_wall_s)?).ok()?;
        Some(Stamp { wall_ns: Some(wall_ns), ..stamp })
    }

    /// The nanosecond that is nearest to `t_mono_s`; nothing if that is no number.
    pub(super) fn nearest_ns(&self, t_mono_s: f64) -> Option<u64> {
        let t_s = self.t_mono_start_s + t_mono_s;
        (!t_s.is_nan()).then(|| nearest_ns(t_s))
    }
}

/// From 0 to 2^63.
fn nearest_ns(seconds: f64) -> u64 {
    (seconds * 1e9).round().clamp(0.0, i64::MAX as f64) as u64
}
