//! The way back: frames as the recorder of LMCache 0.5.6 writes them, byte for byte.
//!
//! * `wire` appends msgpack's shortest forms; everything else here is names and their order.
//! * [`encode_header`] writes the header's frame, [`encode_record`] the frame of a record around arguments that its
//!   caller writes, and [`encode_call`] the arguments of a storage call, borrowed from wherever they lie.
//! * [`encode_args`] writes arguments of records that LMCache does not have.
//! * [`is_canonical`] asks whether a frame says nothing but its call, so that the call can stand for it.
//!
//! What LMCache's recorder leaves out can be written where LMCache's decoder does not look: see [`SaltPolicy`].

mod args;
mod call;
mod header;
mod wire;

pub use args::{Arg, encode_args};
pub use call::{SaltPolicy, encode_call};
pub use header::encode_header;

use super::frame::PREFIX_BYTES;
use super::record::WireRecord;
use crate::error::{Error, Result};
use crate::format::model::StorageCall;

/// Appends the frame of a record. `args` appends the arguments: one msgpack map with strings for names.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`](crate::error::ErrorKind::InvalidArgument) if the frame is longer than the four bytes
/// of its length can say; `out` is left as it was.
pub fn encode_record(
    t_mono_s: f64,
    t_wall_s: f64,
    qualname: &str,
    args: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) -> Result<()> {
    write_frame(out, |out| {
        out.extend_from_slice(b"\x85\xa4type\xa6record\xa6t_mono");
        wire::float(t_mono_s, out);
        out.extend_from_slice(b"\xa6t_wall");
        wire::float(t_wall_s, out);
        out.extend_from_slice(b"\xa8qualname");
        wire::str(qualname, out);
        out.extend_from_slice(b"\xa4args");
        args(out);
    })
}

/// Whether `body` is exactly what [`encode_record`] and [`encode_call`] make of `record`, which was read from it, and
/// of `call`, which was read from the record: then nothing is lost by keeping the call instead of the bytes. Other
/// releases' arguments, unknown fields and longer forms of a number all make a frame something else.
///
/// The frame is written into `scratch` and compared; a caller that asks often keeps it for the next time.
pub fn is_canonical(body: &[u8], record: &WireRecord<'_>, call: &StorageCall, scratch: &mut Vec<u8>) -> bool {
    scratch.clear();
    let args = |out: &mut Vec<u8>| encode_call(call.view(), SaltPolicy::Written, out);
    encode_record(record.t_mono_s, record.t_wall_s, record.qualname, args, scratch).is_ok()
        && scratch[PREFIX_BYTES..] == *body
}

/// Appends a frame whose body `write_body` appends.
fn write_frame(out: &mut Vec<u8>, write_body: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
    let start = out.len();
    out.extend_from_slice(&[0; PREFIX_BYTES]);
    let body_start = out.len();
    write_body(out);
    match prefix_of(out.len() - body_start) {
        Ok(prefix) => {
            out[start..body_start].copy_from_slice(&prefix);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

fn prefix_of(body_bytes: usize) -> Result<[u8; PREFIX_BYTES]> {
    match u32::try_from(body_bytes) {
        Ok(body_bytes) => Ok(body_bytes.to_be_bytes()),
        Err(_) => Err(Error::invalid("a record is too long for a trace frame")
            .with_context("bytes", body_bytes)
            .with_context("at most", u32::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_record_has_the_real_bytes() {
        // `Record(0.0, 1.0, "q", {})` as LMCache 0.5.6 writes it.
        let body = b"\x85\xa4type\xa6record\xa6t_mono\xcb\0\0\0\0\0\0\0\0\xa6t_wall\xcb\x3f\xf0\0\0\0\0\0\0\xa8qualname\xa1q\xa4args\x80";
        let mut out = vec![7];
        encode_record(0.0, 1.0, "q", |out| wire::map(0, out), &mut out).unwrap();
        assert_eq!(out, [b"\x07\0\0\0\x3e", &body[..]].concat());
    }

    #[test]
    fn lengths_are_accepted_to_the_limit_and_refused_past_it() {
        assert_eq!(prefix_of(u32::MAX as usize).unwrap(), [0xff; PREFIX_BYTES]);
        assert!(prefix_of(u32::MAX as usize + 1).is_err());
    }
}
