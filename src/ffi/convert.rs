//! Traces in another form, looked at closely, and mended.

use std::ffi::{CString, c_char, c_void};
use std::path::Path;

use super::border::args::{Growing, flag, growing, string};
use super::border::boundary::{Failure, OK, guard};
use super::border::growing_output::{GrowingOutput, optional_growing_output};
use super::border::status::Status;
use super::callbacks;
use super::reader::read_mode;
use super::reader::record::LMCACHE_NOT_KNOWN;
use crate::convert::{Conversion, ExportOptions, to_compact, to_lmcache_file, to_native};
use crate::error::{Error, Result};
use crate::format::lct::SaltPolicy;
use crate::trace::partial_file::{PartialFile, check_apart};
use crate::trace::recover::{RepairReport, VerifyReport, repair, verify, verify_frames};
use crate::trace::store::FileStore;
use crate::trace::{ReadMode, Trace};

/// The form that the input does not have: native of an LMCache file, LMCache's of a native one.
pub const LMCACHE_CONVERT_TO_OTHER: u32 = 0;
/// A native file. Of an LMCache file nothing is lost: the way back gives the same bytes.
pub const LMCACHE_CONVERT_TO_NATIVE: u32 = 1;
/// LMCache's file, for LMCache's tools. What it has no words for is counted.
pub const LMCACHE_CONVERT_TO_LMCACHE: u32 = 2;
/// A compact native file: each distinct key once.
pub const LMCACHE_CONVERT_TO_COMPACT: u32 = 3;

/// How to convert. Zero is always the default.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_convert_options {
    /// `sizeof(lmcache_convert_options)`.
    pub struct_size: u32,
    /// LMCACHE_READ_BUFFERED or LMCACHE_READ_MAPPED.
    pub read_mode: u32,
    /// LMCACHE_CONVERT_TO_*.
    pub form: u32,
    /// To LMCache's form: 1 to leave out the tenants of keys, as LMCache's recorder does.
    pub omits_salts: u32,
    /// To LMCache's form: 1 to write no record where the recorder lost calls.
    pub omits_losses: u32,
    /// To LMCache's form: 1 to write a record for each completion, too.
    pub with_completions: u32,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_convert_options {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// What a conversion read and wrote. It begins with its size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_conversion {
    /// `sizeof(lmcache_conversion)`.
    pub struct_size: u32,
    /// 1 if the input holds frames that are no records, is damaged, was cut short, or was not closed.
    pub is_incomplete: u32,
    /// Calls of the six operations.
    pub calls: u64,
    /// Records of LMCache's that were kept as they stand in its file.
    pub foreign_calls: u64,
    /// Calls that a host defined.
    pub host_calls: u64,
    /// Completions.
    pub completions: u64,
    /// Calls that the recorder lost.
    pub lost_calls: u64,
    /// Distinct keys; LMCACHE_NOT_KNOWN unless the output is compact.
    pub distinct_keys: u64,
    /// Frames that are no records; kept in native files.
    pub undecodable_frames: u64,
    /// Bytes of a frame that is cut short at the end; kept likewise.
    pub cut_bytes: u64,
    /// Chunks that are damaged; they are not in the output.
    pub damaged_chunks: u64,
    /// Bytes where chunks should be.
    pub gap_bytes: u64,
    /// Records of kinds, and calls with layouts, that this library does not know; they are not in the output.
    pub unknown_records: u64,
    /// To LMCache's form: calls whose thread and number are gone,
    pub unexpressed_threads: u64,
    /// completions that were not written,
    pub unexpressed_completions: u64,
    /// losses that were not written,
    pub unexpressed_losses: u64,
    /// and keys whose salt was not written.
    pub unexpressed_salts: u64,
    /// Bytes of the input.
    pub input_bytes: u64,
    /// Bytes of the output.
    pub output_bytes: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_conversion {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// What a repair copied, and what it could not. It begins with its size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_repair_report {
    /// `sizeof(lmcache_repair_report)`.
    pub struct_size: u32,
    /// 1 if the original was closed by its recorder.
    pub was_closed: u32,
    /// Chunks in the copy,
    pub chunks: u64,
    /// records in it,
    pub records: u64,
    /// and calls.
    pub calls: u64,
    /// Calls that the recorder lost, as the original says itself.
    pub lost_calls: u64,
    /// Places of the original that are not in the copy; 0 if all that a checksum covers is.
    pub holes: u64,
    /// Bytes in them.
    pub missing_bytes: u64,
    /// Calls in them, at least.
    pub missing_calls: u64,
    /// Bytes of the copy.
    pub output_bytes: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_repair_report {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// What a close look at a trace found. It begins with its size.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_verify_report {
    /// `sizeof(lmcache_verify_report)`.
    pub struct_size: u32,
    /// 1 if the file was closed by its recorder; LMCache's do not tell.
    pub is_closed: u32,
    /// How many things were found that are not as they should be.
    pub findings: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Chunks in it,
    pub chunks: u64,
    /// and those that are as they should be.
    pub good_chunks: u64,
    /// Records.
    pub records: u64,
    /// Calls.
    pub calls: u64,
    /// Completions.
    pub completions: u64,
    /// Calls that the recorder lost.
    pub lost_calls: u64,
    /// Records that came late.
    pub late_records: u64,
    /// Threads.
    pub threads: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_verify_report {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// Told of a finding within `lmcache_verify`, on the thread that called it: its kind in a word, its place in the file (LMCACHE_NOT_KNOWN if it has none), and a
/// sentence. Both texts end in NUL and are borrowed for the time of the call. Of each kind the first 16 are told. It may call the library, as any callback.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_finding_callback = Option<
    unsafe extern "C" fn(kind: *const c_char, offset: u64, sentence: *const c_char, user_data: *mut c_void),
>;

fn write<T: Growing>(out: Option<GrowingOutput<T>>, report: &T) {
    if let Some(out) = out {
        out.write(report);
    }
}

/// What options come to.
struct Asked {
    read_mode: ReadMode,
    form: u32,
    export: ExportOptions,
}

impl Asked {
    fn new(given: &lmcache_convert_options) -> Result<Self, Failure> {
        if given.form > LMCACHE_CONVERT_TO_COMPACT {
            return Err(Failure::invalid(format!(
                "form is {}; it is LMCACHE_CONVERT_TO_OTHER (0) to LMCACHE_CONVERT_TO_COMPACT (3)",
                given.form
            )));
        }
        let omits_salts = flag("omits_salts", given.omits_salts)?;
        let export = ExportOptions {
            salts: if omits_salts { SaltPolicy::Omitted } else { SaltPolicy::Written },
            with_losses: !flag("omits_losses", given.omits_losses)?,
            with_completions: flag("with_completions", given.with_completions)?,
        };
        Ok(Self { read_mode: read_mode(given.read_mode)?, form: given.form, export })
    }

    fn convert(&self, input: &Path, output: &Path) -> Result<Conversion> {
        check_apart(&[output], &[input])?;
        let trace = Trace::open(input, self.read_mode)?;
        let partial = PartialFile::beside(output)?;
        let (place, progress) = (partial.place(), &mut |_| Ok(()));
        let form = match (self.form, &trace) {
            (LMCACHE_CONVERT_TO_OTHER, Trace::Lct(_)) => LMCACHE_CONVERT_TO_NATIVE,
            (LMCACHE_CONVERT_TO_OTHER, Trace::Native(_)) => LMCACHE_CONVERT_TO_LMCACHE,
            (form, _) => form,
        };
        let converted = match form {
            LMCACHE_CONVERT_TO_LMCACHE => to_lmcache_file(&trace, place, self.export, progress),
            LMCACHE_CONVERT_TO_COMPACT => FileStore::create(place)
                .and_then(|store| to_compact(&trace, store, progress))
                .map(|(report, _)| report),
            _ => FileStore::create(place)
                .and_then(|store| to_native(&trace, store, progress))
                .map(|(report, _)| report),
        };
        let report = converted.map_err(|error| error.with_context("output", output.display()))?;
        partial.keep()?;
        Ok(report)
    }
}

/// Writes the trace `input` to `output` in another form. The output is written beside and moved to its place once it is whole and on the disk, so that
/// whatever was there is replaced or as it was. `options` may be NULL, which is the defaults, and so may `report`. Takes as long as it takes to read the
/// input once or twice. Any thread may call this at any time.
///
/// # Safety
/// The paths end in NUL; `options` is NULL or points to options whose `struct_size` is set; `report` likewise; with LMCACHE_READ_MAPPED
/// nobody shortens the input or changes bytes in it meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_convert(
    input: *const c_char,
    output: *const c_char,
    options: *const lmcache_convert_options,
    report: *mut lmcache_conversion,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let input = unsafe { string(input, "input") }?;
        // SAFETY: as above.
        let output = unsafe { string(output, "output") }?;
        // SAFETY: as above.
        let out = unsafe { optional_growing_output(report, "report") }?;
        let given = match options.is_null() {
            // Its size is not looked at any more.
            true => lmcache_convert_options::default(),
            // SAFETY: as above.
            false => unsafe { growing(options, "options") }?,
        };
        let conversion = Asked::new(&given)?.convert(Path::new(input), Path::new(output))?;
        write(out, &seen(&conversion));
        OK
    })
}

fn seen(conversion: &Conversion) -> lmcache_conversion {
    let lacks = &conversion.not_expressed;
    lmcache_conversion {
        struct_size: size_of::<lmcache_conversion>() as u32,
        is_incomplete: u32::from(conversion.is_incomplete()),
        calls: conversion.calls,
        foreign_calls: conversion.foreign_calls,
        host_calls: conversion.host_calls,
        completions: conversion.completions,
        lost_calls: conversion.lost_calls,
        distinct_keys: conversion.distinct_keys.unwrap_or(LMCACHE_NOT_KNOWN),
        undecodable_frames: conversion.undecodable,
        cut_bytes: conversion.cut_bytes,
        damaged_chunks: conversion.damaged_chunks,
        gap_bytes: conversion.gap_bytes,
        unknown_records: conversion.unknown_records + conversion.unknown_layouts,
        unexpressed_threads: lacks.threads,
        unexpressed_completions: lacks.completions,
        unexpressed_losses: lacks.losses,
        unexpressed_salts: lacks.salts,
        input_bytes: conversion.bytes_in,
        output_bytes: conversion.bytes_out,
    }
}

fn repair_file(input: &Path, output: &Path) -> Result<RepairReport> {
    check_apart(&[output], &[input])?;
    let Trace::Native(trace) = Trace::open(input, ReadMode::buffered())? else {
        return Err(Error::invalid(
            "a file in LMCache's format cannot be repaired: it has no checksums to tell what is whole",
        )
        .with_context("path", input.display())
        .with_hint("lmcache_convert reads such a file as far as it goes"));
    };
    let partial = PartialFile::beside(output)?;
    let store = FileStore::create(partial.place())?;
    let repaired = repair(&trace, store, &mut |_| Ok(()));
    let (report, _) = repaired.map_err(|error| error.with_context("output", output.display()))?;
    partial.keep()?;
    Ok(report)
}

/// Copies what is left of a native trace that was not closed or is damaged: a sealed file, whose facts say what it is without. What was committed is copied
/// byte for byte. The output is written as by `lmcache_convert`; `report` may be NULL. Any thread may call this at any time.
///
/// # Safety
/// The paths end in NUL; `report` is NULL or points to a report whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_repair(
    input: *const c_char,
    output: *const c_char,
    report: *mut lmcache_repair_report,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let input = unsafe { string(input, "input") }?;
        // SAFETY: as above.
        let output = unsafe { string(output, "output") }?;
        // SAFETY: as above.
        let out = unsafe { optional_growing_output(report, "report") }?;
        let repaired = repair_file(Path::new(input), Path::new(output))?;
        write(
            out,
            &lmcache_repair_report {
                struct_size: size_of::<lmcache_repair_report>() as u32,
                was_closed: u32::from(repaired.was_closed),
                chunks: repaired.chunks,
                records: repaired.records,
                calls: repaired.calls,
                lost_calls: repaired.lost,
                holes: repaired.hole_count,
                missing_bytes: repaired.missing_bytes,
                missing_calls: repaired.missing_calls,
                output_bytes: repaired.file_bytes,
            },
        );
        OK
    })
}

/// Looks at every byte of a trace that a checksum covers, and at every frame of an LMCache file. What it finds is no error: the status is OK, and
/// `findings` says how many things are not as they should be, a trace that was not closed and calls that were lost among them. `on_finding`
/// and `report` may be NULL. Any thread may call this at any time.
///
/// # Safety
/// `path` ends in NUL; `on_finding` may be called with `user_data` within this call; `report` is NULL or points to a report whose
/// `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_verify(
    path: *const c_char,
    on_finding: lmcache_finding_callback,
    user_data: *mut c_void,
    report: *mut lmcache_verify_report,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let path = unsafe { string(path, "path") }?;
        // SAFETY: as above.
        let out = unsafe { optional_growing_output(report, "report") }?;
        if on_finding.is_some() {
            callbacks::refuse_too_deep()?;
        }
        let found = match Trace::open(path, ReadMode::buffered())? {
            Trace::Native(trace) => verify(&trace),
            Trace::Lct(reader) => verify_frames(&reader),
        };
        if let Some(on_finding) = on_finding {
            for finding in found.findings() {
                let text = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
                let (kind, sentence) = (text(finding.kind()), text(&finding.to_string()));
                let offset = finding.offset().unwrap_or(LMCACHE_NOT_KNOWN);
                // SAFETY: the host's promise; the texts stay for the time of the call.
                let tell = || unsafe { on_finding(kind.as_ptr(), offset, sentence.as_ptr(), user_data) };
                callbacks::call_host([0, 0], tell);
            }
        }
        write(out, &verified(&found));
        OK
    })
}

fn verified(found: &VerifyReport) -> lmcache_verify_report {
    lmcache_verify_report {
        struct_size: size_of::<lmcache_verify_report>() as u32,
        is_closed: u32::from(found.is_closed),
        findings: found.total(),
        file_bytes: found.file_bytes,
        chunks: found.chunks,
        good_chunks: found.good_chunks,
        records: found.records,
        calls: found.calls,
        completions: found.completions,
        lost_calls: found.lost,
        late_records: found.late,
        threads: found.threads,
    }
}
