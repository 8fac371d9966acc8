//! The header frame, and JSON as msgpack.

use serde_json::Value as Json;

use super::{wire, write_frame};
use crate::error::Result;
use crate::format::lct::header::{Header, MAGIC};

/// Appends the header's frame as LMCache's recorder writes it; `level_meta` is left out if it is empty.
///
/// # Errors
/// Those of [`encode_record`](super::encode_record).
pub fn encode_header(header: &Header, out: &mut Vec<u8>) -> Result<()> {
    write_frame(out, |out| {
        let has_meta = !header.level_meta.is_empty();
        wire::map(9 + usize::from(has_meta), out);
        out.extend_from_slice(b"\xa4type\xa6header\xa5magic");
        wire::bin(MAGIC, out);
        out.extend_from_slice(b"\xaeformat_version");
        wire::int(header.format_version, out);
        out.extend_from_slice(b"\xa5level");
        wire::str(header.level.name(), out);
        out.extend_from_slice(b"\xb4trace_schema_version");
        wire::int(header.trace_schema_version, out);
        out.extend_from_slice(b"\xact_mono_start");
        wire::float(header.t_mono_start_s, out);
        out.extend_from_slice(b"\xact_wall_start");
        wire::float(header.t_wall_start_s, out);
        out.extend_from_slice(b"\xaesm_config_json");
        wire::str(&header.sm_config_json, out);
        out.extend_from_slice(b"\xb0sm_config_digest");
        wire::str(&header.sm_config_digest, out);
        if has_meta {
            out.extend_from_slice(b"\xaalevel_meta");
            write_entries(header.level_meta.iter().map(|(name, value)| (name, value)), out);
        }
    })
}

fn write_entries<'a>(entries: impl ExactSizeIterator<Item = (&'a String, &'a Json)>, out: &mut Vec<u8>) {
    wire::map(entries.len(), out);
    for (name, value) in entries {
        wire::str(name, out);
        write_json(value, out);
    }
}

fn write_json(value: &Json, out: &mut Vec<u8>) {
    match value {
        Json::Null => wire::nil(out),
        Json::Bool(flag) => wire::boolean(*flag, out),
        Json::Number(number) => write_number(number, out),
        Json::String(text) => wire::str(text, out),
        Json::Array(elements) => {
            wire::array(elements.len(), out);
            elements.iter().for_each(|element| write_json(element, out));
        }
        Json::Object(entries) => write_entries(entries.iter(), out),
    }
}

fn write_number(number: &serde_json::Number, out: &mut Vec<u8>) {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(number), ..) => wire::uint(number, out),
        (_, Some(number), _) => wire::int(number, out),
        (.., Some(number)) => wire::float(number, out),
        // Without serde_json's `arbitrary_precision` a number is one of the three.
        (None, None, None) => wire::nil(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::lct::Level;
    use crate::format::lct::frame::PREFIX_BYTES;

    #[test]
    fn metadata_of_every_type_is_read_back_as_it_was() {
        let meta = serde_json::json!({
            "a list": [null, true, false, "text", [], {}],
            "floats": [1.0, -0.0, 1e300, 0.1],
            "numbers": [0, -1, 127, 128, -33, i64::MIN, i64::MAX, u64::MAX],
            "\u{e9}": {"nested": {"more": "\u{1f512}".repeat(100)}},
        });
        let Json::Object(meta) = meta else { panic!("an object") };
        let header = Header {
            level: Level::Other("gpu".to_owned()),
            format_version: 1,
            trace_schema_version: 1,
            t_mono_start_s: 5.0,
            t_wall_start_s: 0.1,
            sm_config_json: "{}".to_owned(),
            sm_config_digest: "x".repeat(64),
            level_meta: meta.into_iter().collect(),
        };
        let mut frame = Vec::new();
        encode_header(&header, &mut frame).unwrap();
        assert_eq!(Header::decode(&frame[PREFIX_BYTES..]).unwrap(), header);
    }
}
