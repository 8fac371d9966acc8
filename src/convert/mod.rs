//! Traces from one form into another: LMCache's files, native files, and native files that are made small.
//!
//! ```text
//!  LMCache's file  --lmcache_source-->           --NativeSink-->   native file, keys as rows
//!                                       Item by
//!  native file     --native_source-->   item     --NativeSink-->   compact file, keys as ids of a table
//!                                                --LmcacheSink-->  LMCache's file
//! ```
//!
//! * [`sink`]: what a walk over a file hands out, one `Sink` method for each kind of record. [`source`] is that walk, of
//!   [`lmcache_source`] and
//!   [`native_source`].
//! * [`native_sink`] writes native files; [`keys`] says how its key lists are written. [`lmcache_sink`] writes LMCache's.
//! * [`facts`]: the two kinds of file header. [`report`]: what was converted, and what could not be.
//! * This file: the three conversions.
//!
//! **Nothing is lost on the way from LMCache's files.** A record that says nothing but its call, at a time that a clock
//! can have read, becomes that call; any other frame is kept as it is, and so is an end that was cut off. The way back
//! gives the same bytes. The way from a native file to LMCache's loses what LMCache has no words for, and says so.

mod facts;
mod keys;
mod lmcache_sink;
mod lmcache_source;
mod native_sink;
mod native_source;
mod report;
mod sink;
mod source;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

pub use lmcache_sink::{COMPLETION_QUALNAME, ExportOptions, LOSS_QUALNAME};
pub use report::{Conversion, NotExpressed};
pub use sink::Progress;

use self::keys::{IdMaker, KeyIds, RowMaker};
use self::lmcache_sink::LmcacheSink;
use self::native_sink::NativeSink;
use self::sink::Nowhere;
use crate::error::{Error, Result};
use crate::format::native::NewFile;
use crate::format::native::pod::{DEFAULT_CHUNK_BYTES, FEATURE_KEY_TABLE, MIN_COMPACT_CHUNK_BYTES};
use crate::format::native::schema::FileFacts;
use crate::trace::Trace;
use crate::trace::store::TraceStore;

/// Writes the records of `file` to `store` as a native file. A native `file` is walked twice: what the copy is without
/// stands in its header, which is written first.
///
/// # Errors
/// What the store and `progress` say, and a record that is longer than a chunk may be.
pub fn to_native<S: TraceStore>(
    file: &Trace,
    store: S,
    progress: &mut Progress<'_>,
) -> Result<(Conversion, S)> {
    let (new, mut facts) = new_file(file, DEFAULT_CHUNK_BYTES, 0)?;
    let (total_bytes, is_native) = (size_bytes(file), matches!(file, Trace::Native(_)));
    if is_native {
        let seen = source::walk(file, &mut Nowhere, &mut |done_bytes| progress(done_bytes / 2))?;
        facts::say_origin(&mut facts, &seen);
    }
    let mut sink = NativeSink::create(store, new, facts, RowMaker)?;
    let mut report = source::walk(file, &mut sink, &mut |done_bytes| {
        progress(if is_native { total_bytes / 2 + done_bytes / 2 } else { done_bytes })
    })?;
    let written = sink.finish(None)?;
    (report.bytes_in, report.bytes_out) = (total_bytes, written.file_bytes);
    Ok((report, written.store))
}

/// Writes the records of `file` to `store` as a compact native file. The file is walked twice; memory grows with the
/// distinct keys.
///
/// # Errors
/// As [`to_native`]; and if there are more distinct keys than ids.
pub fn to_compact<S: TraceStore>(
    file: &Trace,
    mut store: S,
    progress: &mut Progress<'_>,
) -> Result<(Conversion, S)> {
    if let Trace::Native(trace) = file
        && let Some(report) = native_source::intact_compact(trace, progress)?
    {
        store.write_at(0, trace.bytes()).map_err(|error| Error::io("cannot write trace file", error))?;
        store.sync().map_err(|error| Error::io("cannot write trace file", error))?;
        return Ok((report, store));
    }
    let total_bytes = size_bytes(file);
    let mut ids = KeyIds::default();
    let seen = source::walk(file, &mut ids, &mut |done_bytes| progress(done_bytes / 2))?;
    let (new, mut facts) = new_file(file, MIN_COMPACT_CHUNK_BYTES, FEATURE_KEY_TABLE)?;
    facts::say_origin(&mut facts, &seen);
    let table = ids.into_table();
    let mut sink = NativeSink::create(store, new, facts, IdMaker::new(&table))?;
    sink.write_key_table(&table)?;
    let mut report =
        source::walk(file, &mut sink, &mut |done_bytes| progress(total_bytes / 2 + done_bytes / 2))?;
    let written = sink.finish(Some(table.distinct_keys()))?;
    (report.bytes_in, report.bytes_out) = (total_bytes, written.file_bytes);
    report.distinct_keys = Some(table.distinct_keys());
    Ok((report, written.store))
}

/// Writes the records of `file` to `out` as LMCache's recorder writes them.
///
/// # Errors
/// What `out` says, what `progress` says, and a record that is longer than a frame may be.
pub fn to_lmcache(
    file: &Trace,
    out: impl Write,
    options: ExportOptions,
    progress: &mut Progress<'_>,
) -> Result<Conversion> {
    let (new, facts) = new_file(file, DEFAULT_CHUNK_BYTES, 0)?;
    let mut sink = LmcacheSink::create(out, &new, &facts, options)?;
    let mut report = source::walk(file, &mut sink, progress)?;
    sink.finish(&mut report)?;
    report.bytes_in = size_bytes(file);
    Ok(report)
}

/// Bytes of an LMCache file that are gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// [`to_lmcache`], into a new file that is on the disk when this returns.
///
/// # Errors
/// As [`to_lmcache`], and what the system says.
pub fn to_lmcache_file(
    file: &Trace,
    path: &Path,
    options: ExportOptions,
    progress: &mut Progress<'_>,
) -> Result<Conversion> {
    let not_written = |error| Error::io("cannot write trace file", error);
    let out = File::create(path).map_err(|error| Error::io("cannot create trace file", error))?;
    let report = to_lmcache(file, BufWriter::with_capacity(BUFFER_BYTES, &out), options, progress)?;
    out.sync_all().map_err(not_written)?;
    Ok(report)
}

/// The header of a native file with the records of `file`.
fn new_file(file: &Trace, chunk_bytes: u32, required_features: u32) -> Result<(NewFile, FileFacts)> {
    let (new, facts) = match file {
        Trace::Lct(reader) => facts::of_lmcache(reader)?,
        Trace::Native(trace) => facts::of_native(trace),
    };
    Ok((NewFile { chunk_bytes, required_features, ..new }, facts))
}

fn size_bytes(file: &Trace) -> u64 {
    match file {
        Trace::Lct(reader) => reader.bytes().len() as u64,
        Trace::Native(trace) => trace.size_bytes(),
    }
}
