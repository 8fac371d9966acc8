//! What a trace file says about itself.

use std::ffi::{CString, c_char};

use super::record::LMCACHE_NOT_KNOWN;
use crate::ffi::border::args::Growing;
use crate::format::native::pod::FileHeader;
use crate::format::native::schema::{FileFacts, FileIndex};
use crate::sync::Arc;
use crate::trace::Trace;
use crate::trace::native::NativeEnding;

/// One of LMCache's files.
pub const LMCACHE_FORMAT_LMCACHE: u32 = 1;
/// A native file.
pub const LMCACHE_FORMAT_NATIVE: u32 = 2;

/// The file does not tell whether it was closed: LMCache's never do.
pub const LMCACHE_ENDING_NOT_TOLD: u32 = 0;
/// The recorder closed the file.
pub const LMCACHE_ENDING_CLOSED: u32 = 1;
/// It did not: the file is being written, its recorder was killed, or its end was cut off.
pub const LMCACHE_ENDING_UNFINISHED: u32 = 2;

/// What a trace file says about itself. It begins with its size; `LMCACHE_TRACE_HEADER_INIT` sets it. Strings end in NUL and are valid until
/// the reader is freed; what the file does not have is "" or 0, numbers that it does not tell are LMCACHE_NOT_KNOWN.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_trace_header {
    /// `sizeof(lmcache_trace_header)`.
    pub struct_size: u32,
    /// LMCACHE_FORMAT_LMCACHE or LMCACHE_FORMAT_NATIVE.
    pub format: u32,
    /// LMCACHE_ENDING_*.
    pub ending: u32,
    /// 1 if each distinct key is in the file once: a compact file.
    pub is_compact: u32,
    /// LMCache's level: "storage" or "events".
    pub level: *const c_char,
    /// What the operator calls the node.
    pub node: *const c_char,
    /// The name of the recording machine.
    pub host: *const c_char,
    /// The name of the recording process.
    pub process: *const c_char,
    /// Name and version of the library that wrote the file.
    pub writer: *const c_char,
    /// LMCache's configuration of the storage manager as JSON.
    pub storage_config_json: *const c_char,
    /// Its SHA-256 in hexadecimal.
    pub storage_config_digest: *const c_char,
    /// When the recording began: `CLOCK_REALTIME` in seconds, as LMCache counts them. Comes from the file: may be NaN.
    pub t_wall_start_s: f64,
    /// The same moment on `CLOCK_MONOTONIC` of the recording host.
    pub t_mono_start_s: f64,
    /// The same moment on both clocks in nanoseconds; LMCACHE_NOT_KNOWN in LMCache's files.
    pub wall_start_ns: u64,
    /// See `wall_start_ns`.
    pub mono_start_ns: u64,
    /// The same in all files of a recording.
    pub recording_id: u64,
    /// Which file of the recording this is, from 0.
    pub file_number: u32,
    /// The number of the recording process.
    pub process_id: u32,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Calls in the file. This and the numbers below are known of native files that were closed.
    pub calls: u64,
    /// Calls that the recorder lost: they were attempted and are not in the file.
    pub lost_calls: u64,
    /// Completions in the file.
    pub completions: u64,
    /// Keys that the calls name, each as often as it is named.
    pub keys: u64,
    /// The time of the earliest call, on the clock of `mono_start_ns`,
    pub first_ns: u64,
    /// and of the latest one.
    pub last_ns: u64,
}

// SAFETY: numbers and pointers; the first field is the size.
unsafe impl Growing for lmcache_trace_header {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// The strings of a header, with their NULs.
struct Texts {
    level: CString,
    node: CString,
    host: CString,
    process: CString,
    writer: CString,
    storage_config_json: CString,
    storage_config_digest: CString,
}

/// A header, and the strings that it points to.
pub(super) struct TraceHeader {
    pub(super) seen: lmcache_trace_header,
    /// What `seen` points to.
    _texts: Arc<Texts>,
}

impl TraceHeader {
    pub(super) fn of(trace: &Trace) -> Self {
        let none = FileFacts::default();
        let facts = match trace {
            Trace::Native(native) => native.header().facts(),
            Trace::Lct(_) => &none,
        };
        let text = |text: &str| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
        let texts = Arc::new(Texts {
            level: text(trace.level()),
            node: text(&facts.node),
            host: text(&facts.host),
            process: text(&facts.process),
            writer: text(&facts.writer),
            storage_config_json: text(trace.sm_config_json()),
            storage_config_digest: text(trace.sm_config_digest()),
        });
        let seen = seen(trace, &texts, facts.pid);
        Self { seen, _texts: texts }
    }
}

fn seen(trace: &Trace, texts: &Texts, process_id: u32) -> lmcache_trace_header {
    let of_lmcache = |known: u64| if matches!(trace, Trace::Lct(_)) { LMCACHE_NOT_KNOWN } else { known };
    let (fixed, index) = match trace {
        Trace::Native(native) => (Some(native.header().fixed()), native.index()),
        Trace::Lct(_) => (None, None),
    };
    let number = |field: fn(&FileHeader) -> u64| fixed.map_or(0, field);
    let counted = |field: fn(&FileIndex) -> u64| index.map_or(LMCACHE_NOT_KNOWN, field);
    let (format, ending, is_compact, t_mono_start_s, file_bytes) = match trace {
        Trace::Lct(reader) => {
            let (start_s, bytes) = (reader.header().t_mono_start_s, reader.bytes().len() as u64);
            (LMCACHE_FORMAT_LMCACHE, LMCACHE_ENDING_NOT_TOLD, false, start_s, bytes)
        }
        Trace::Native(native) => {
            let ending = match native.ending() {
                NativeEnding::Closed => LMCACHE_ENDING_CLOSED,
                NativeEnding::Unfinished => LMCACHE_ENDING_UNFINISHED,
            };
            let (header, bytes) = (native.header(), native.size_bytes());
            (LMCACHE_FORMAT_NATIVE, ending, header.is_compact(), header.t_mono_start_s(), bytes)
        }
    };
    lmcache_trace_header {
        struct_size: size_of::<lmcache_trace_header>() as u32,
        format,
        ending,
        is_compact: u32::from(is_compact),
        level: texts.level.as_ptr(),
        node: texts.node.as_ptr(),
        host: texts.host.as_ptr(),
        process: texts.process.as_ptr(),
        writer: texts.writer.as_ptr(),
        storage_config_json: texts.storage_config_json.as_ptr(),
        storage_config_digest: texts.storage_config_digest.as_ptr(),
        t_wall_start_s: trace.t_wall_start_s(),
        t_mono_start_s,
        wall_start_ns: of_lmcache(number(|fixed| fixed.wall_start_ns)),
        mono_start_ns: of_lmcache(number(|fixed| fixed.mono_start_ns)),
        recording_id: number(|fixed| fixed.recording_id),
        file_number: fixed.map_or(0, |fixed| fixed.file_number),
        process_id,
        file_bytes,
        calls: counted(|index| index.calls),
        lost_calls: counted(|index| index.lost),
        completions: counted(|index| index.completions),
        keys: counted(|index| index.keys),
        first_ns: counted(|index| index.first_ns),
        last_ns: counted(|index| index.last_ns),
    }
}
