//! Reading traces of either kind.
//!
//! * This file: the functions. [`record`], [`header`], [`damage`]: what a host sees.
//! * `opened`: a trace and the walk over it. `native_records` and `lmcache_records`: the two walks. `draft`: the record in the
//!   making. `names`: scopes and layouts, which stay at one address.

pub mod damage;
mod draft;
pub mod header;
mod lmcache_records;
mod names;
mod native_records;
mod opened;
pub mod record;

use std::ffi::c_char;

use super::border::args::{output, slice, string};
use super::border::boundary::{Ended, Failure, OK, guard};
use super::border::growing_output::growing_output;
use super::border::status::Status;
use super::handles;
use crate::trace::{ReadMode, Trace};
use damage::{lmcache_damage, lmcache_reader_stats};
use header::lmcache_trace_header;
use opened::Reader;
use record::lmcache_record;

/// Reads the whole file into memory first. Always safe.
pub const LMCACHE_READ_BUFFERED: u32 = 0;
/// Maps the file and reads it in place: nobody may shorten it, or change bytes that are in it, while it is open. A recorder that appends to it
/// is fine.
pub const LMCACHE_READ_MAPPED: u32 = 1;

/// An open trace, LMCache's or native, and a place in it. One thread at a time may use it, whichever.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_reader(());

/// How a file is read.
pub(super) fn read_mode(number: u32) -> Result<ReadMode, Failure> {
    match number {
        LMCACHE_READ_BUFFERED => Ok(ReadMode::buffered()),
        // SAFETY: the host says that nobody shortens the file or changes bytes in it.
        LMCACHE_READ_MAPPED => Ok(unsafe { ReadMode::mapped() }),
        other => Err(Failure::invalid(format!(
            "the read mode is {other}; it is LMCACHE_READ_BUFFERED (0) or LMCACHE_READ_MAPPED (1)"
        ))),
    }
}

/// Opens a trace of either kind; "-" is the standard input. `read_mode` is LMCACHE_READ_BUFFERED or LMCACHE_READ_MAPPED. A file that is being
/// written is read to where it is now. CORRUPT, TRUNCATED and UNSUPPORTED_VERSION are about its header, and in a compact file about its
/// table of keys; whatever else is damaged is stepped over, see `lmcache_reader_get_stats`.
///
/// # Safety
/// `path` ends in NUL; `out` points to room for a handle; with LMCACHE_READ_MAPPED nobody shortens the file or changes bytes in it
/// before the reader is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_reader_open(
    path: *const c_char,
    read_mode: u32,
    out: *mut *mut lmcache_reader,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let path = unsafe { string(path, "path") }?;
        let trace = Trace::open(path, self::read_mode(read_mode)?)?;
        out.write(handles::new(Reader::new(trace)?)?);
        OK
    })
}

/// Opens a trace that is in memory; the bytes are copied.
///
/// # Safety
/// `bytes` points to `length` bytes; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_reader_open_bytes(
    bytes: *const u8,
    length: usize,
    out: *mut *mut lmcache_reader,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let bytes = unsafe { slice(bytes, length, isize::MAX as usize, "bytes") }?;
        let trace = Trace::from_bytes("bytes in memory", bytes)?;
        out.write(handles::new(Reader::new(trace)?)?);
        OK
    })
}

/// What the file says about itself. Costs nothing: the header was read when the file was opened.
///
/// # Safety
/// `out` points to a header whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_reader_get_header(
    reader: *mut lmcache_reader,
    out: *mut lmcache_trace_header,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        handles::with_exclusive::<Reader, _>(reader, |reader| {
            out.write(&reader.header.seen);
            OK
        })
    })
}

/// The next record, or END, which leaves `out` as it is. Records come in the order of the file. Of a native file nothing is copied or allocated;
/// calls of LMCache's files are given as LMCache 0.5.6 would have recorded them, whatever release did. What is damaged is stepped over and
/// counted.
///
/// # Safety
/// `out` points to a record whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_reader_next(
    reader: *mut lmcache_reader,
    out: *mut lmcache_record,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        handles::with_exclusive::<Reader, _>(reader, |reader| match reader.next() {
            Some(record) => {
                out.write(record);
                OK
            }
            None => Ok(Status::LMCACHE_STATUS_END),
        })
    })
}

/// Goes back to the first record; what was counted begins anew.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_reader_rewind(reader: *mut lmcache_reader) -> Status {
    guard(|| {
        handles::with_exclusive::<Reader, _>(reader, |reader| {
            reader.rewind();
            OK
        })
    })
}

/// How a search ended.
fn found(is_found: bool) -> Ended {
    if is_found { OK } else { Ok(Status::LMCACHE_STATUS_END) }
}

/// Goes to the call that so many calls come before in the file, which the next `lmcache_reader_next` gives; if that one cannot be read, to the
/// first after it that can. END if there is none: then the reader stands at the end. A native file has the numbers in its chunks, and one chunk is
/// walked; an LMCache file is walked from its beginning.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_reader_seek_call(reader: *mut lmcache_reader, number: u64) -> Status {
    guard(|| handles::with_exclusive::<Reader, _>(reader, |reader| found(reader.seek_call(number))))
}

/// Goes to the first call, in the order of the file, that was made `t_mono_s` seconds after the recording began or later. END if there is none:
/// then the reader stands at the end. In a native file it is looked for from the first chunk on that can hold it, by the chunks' times; a record
/// that came late may stand before. An LMCache file is walked from its beginning.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_reader_seek_time(reader: *mut lmcache_reader, t_mono_s: f64) -> Status {
    guard(|| {
        if t_mono_s.is_nan() {
            return Err(Failure::invalid("t_mono_s is no number"));
        }
        handles::with_exclusive::<Reader, _>(reader, |reader| found(reader.seek_time(t_mono_s)))
    })
}

/// What was met since the reader was opened, rewound or sent to another place.
///
/// # Safety
/// `out` points to numbers whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_reader_get_stats(
    reader: *mut lmcache_reader,
    out: *mut lmcache_reader_stats,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        handles::with_exclusive::<Reader, _>(reader, |reader| {
            out.write(&reader.met.stats);
            OK
        })
    })
}

/// One of the damages that were met since then, from 0 in the order of the walk; END if there are not so many. The first
/// LMCACHE_MAX_KEPT_DAMAGES are kept.
///
/// # Safety
/// `out` points to a damage whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_reader_get_damage(
    reader: *mut lmcache_reader,
    position: usize,
    out: *mut lmcache_damage,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        handles::with_exclusive::<Reader, _>(reader, |reader| match reader.met.damage(position) {
            Some(damage) => {
                out.write(&damage);
                OK
            }
            None => Ok(Status::LMCACHE_STATUS_END),
        })
    })
}

/// Gives a reader back, and with it everything that was borrowed from it. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_reader_free(reader: *mut lmcache_reader) -> Status {
    guard(|| handles::free::<Reader, _>(reader))
}
