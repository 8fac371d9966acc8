//! The recorder: one for the process, a producer for each thread.

use std::ffi::{c_char, c_void};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::args::{Growing, flag, growing, optional_string, output, string};
use super::boundary::{Ended, Failure, OK, guard};
use super::callbacks;
use super::growing_output::growing_output;
use super::handle::{self, Object, Shared};
use super::log;
use super::status::Status;
use crate::error::Error;
use crate::sync::Arc;
use crate::trace::TraceRecorder;
use crate::trace::recorder::{FullPolicy, Interning, RecorderOptions, RecorderStats, Rotation};

/// A recording. Any number of threads may use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorder(());

/// Told once if a recording stops by itself, on the recorder's own thread: the disk is full, a limit is reached, the folder is gone.
/// `reason` ends in NUL and is borrowed for the time of the call. It must return, and may call anything but
/// `lmcache_recorder_close` and `lmcache_recorder_free` on this recorder, which wait for that thread.
#[allow(non_camel_case_types, reason = "the name in C")]
pub type lmcache_stop_callback = Option<unsafe extern "C" fn(reason: *const c_char, user_data: *mut c_void)>;

/// How to record. `LMCACHE_RECORDER_OPTIONS_INIT` has the defaults, which are zero; `path` has to be set.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorder_options {
    /// `sizeof(lmcache_recorder_options)`.
    pub struct_size: u32,
    /// What a call does whose thread's ring is full: 0 it is dropped and counted, 1 it waits for the writer.
    pub full_policy: u32,
    /// The file, which is overwritten; files that follow it are `name.000001.lct` and so on.
    pub path: *const c_char,
    /// What the operator calls this node, for the file; may be NULL.
    pub node: *const c_char,
    /// LMCache's configuration of the storage manager as JSON, for the file; may be NULL. Its SHA-256 goes with it.
    pub storage_config_json: *const c_char,
    /// Bytes of each thread's ring, a power of two from 64 KiB to 1 GiB; 0 for 1 MiB.
    pub ring_bytes: u64,
    /// A file of this length is followed by another; 0 for never.
    pub max_file_bytes: u64,
    /// So is a file of this age; 0 for never.
    pub max_file_age_ns: u64,
    /// The oldest files are deleted before all of them together are longer; 0 for never, else at least 4 MiB.
    pub max_total_bytes: u64,
    /// What was recorded is on the disk within about this time, so that a power cut loses no more; 0 leaves that to the kernel.
    pub sync_interval_ns: u64,
    /// How long the writer sleeps when the rings are empty; 0 for 100 us.
    pub poll_interval_ns: u64,
    /// 1 to begin with the gate shut, until `lmcache_recorder_set_enabled`.
    pub starts_disabled: u32,
    /// Whether a list of keys that stands in the file already is named instead of repeated: 0 when the writer has time, 1 always, 2
    /// never.
    pub interning: u32,
    /// Told if the recording stops by itself; may be NULL. Beside it the log callback is told.
    pub on_stop: lmcache_stop_callback,
    /// What it gets back.
    pub on_stop_user_data: *mut c_void,
}

// SAFETY: numbers, pointers, and a function pointer that may be NULL; the first field is the size.
unsafe impl Growing for lmcache_recorder_options {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

/// What a recording has done so far. Calls and losses are right once it is flushed or closed. It begins with its size;
/// `LMCACHE_RECORDER_STATS_INIT` sets it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorder_stats {
    /// `sizeof(lmcache_recorder_stats)`.
    pub struct_size: u32,
    /// Nothing; 0.
    pub reserved: u32,
    /// Calls that are in the files.
    pub calls: u64,
    /// Calls that were attempted and are not; the file says which and where.
    pub lost: u64,
    /// Calls that came late: after later ones had been written.
    pub late: u64,
    /// Completions in the files.
    pub completions: u64,
    /// Completions that found the ring full.
    pub lost_completions: u64,
    /// Bytes of all files, those that were deleted since included.
    pub file_bytes: u64,
    /// Files, those included.
    pub files: u64,
    /// Files that were deleted to keep to the bound.
    pub deleted_files: u64,
    /// Threads that have recorded.
    pub threads: u64,
}

// SAFETY: numbers; the first field is the size.
unsafe impl Growing for lmcache_recorder_stats {
    const SIZES: &'static [usize] = &[size_of::<Self>()];
}

pub(super) struct Recorder(pub(super) Arc<TraceRecorder>);

impl Object for Recorder {
    const KIND: u8 = 3;
    const NAME: &'static str = "recorder";
}

impl Shared for Recorder {}

/// The callback of a host, which may be called from another thread.
struct OnStop(unsafe extern "C" fn(*const c_char, *mut c_void), *mut c_void);

// SAFETY: the host says that its callback is called on the recorder's thread.
unsafe impl Send for OnStop {}

impl OnStop {
    fn tell(&self, sentence: &str) {
        let Ok(text) = std::ffi::CString::new(sentence.replace('\0', "\u{fffd}")) else { return };
        // SAFETY: the host's promise; the text stays for the time of the call.
        callbacks::call_host([0, 0], || unsafe { (self.0)(text.as_ptr(), self.1) });
    }
}

/// # Safety
/// The pointers of `options` are what their fields say.
unsafe fn options(options: &lmcache_recorder_options) -> Result<RecorderOptions, Failure> {
    // SAFETY: the caller's promise, here and below.
    let path = unsafe { string(options.path, "path") }?;
    let mut made = RecorderOptions::new(path);
    // SAFETY: as above.
    if let Some(node) = unsafe { optional_string(options.node, "node") }? {
        made.facts.node = node.to_owned();
    }
    // SAFETY: as above.
    if let Some(json) = unsafe { optional_string(options.storage_config_json, "storage_config_json") }? {
        let digest = Sha256::digest(json.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        made = made.with_storage_config(json, digest);
    }
    made.full_policy = match options.full_policy {
        0 => FullPolicy::Drop,
        1 => FullPolicy::Wait,
        other => return Err(Failure::invalid(format!("full_policy is {other}; it is 0 or 1"))),
    };
    made.interning = match options.interning {
        0 => Interning::WhenIdle,
        1 => Interning::Always,
        2 => Interning::Never,
        other => return Err(Failure::invalid(format!("interning is {other}; it is 0, 1 or 2"))),
    };
    if options.ring_bytes > 0 {
        made.ring_bytes = usize::try_from(options.ring_bytes).unwrap_or(usize::MAX);
    }
    let given = |number: u64| (number > 0).then_some(number);
    made.rotation = Rotation {
        max_file_bytes: given(options.max_file_bytes),
        max_file_age: given(options.max_file_age_ns).map(Duration::from_nanos),
        max_total_bytes: given(options.max_total_bytes),
    };
    made.sync_interval = given(options.sync_interval_ns).map(Duration::from_nanos);
    if let Some(interval_ns) = given(options.poll_interval_ns) {
        made.poll_interval = Duration::from_nanos(interval_ns);
    }
    made.is_enabled = !flag("starts_disabled", options.starts_disabled)?;
    let on_stop = options.on_stop.map(|callback| OnStop(callback, options.on_stop_user_data));
    made.on_stop = Some(Box::new(move |error: &Error| {
        let sentence = format!("no more is recorded: {error}");
        log::say(&sentence);
        if let Some(on_stop) = on_stop {
            on_stop.tell(&sentence);
        }
    }));
    Ok(made)
}

/// Opens a recording and starts its writer's thread.
///
/// # Safety
/// `options` points to options whose strings end in NUL and whose callback may be called from another thread with its data, until the
/// recorder and all its producers are freed; `out` points to room for a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_recorder_open(
    options: *const lmcache_recorder_options,
    out: *mut *mut lmcache_recorder,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let given = unsafe { growing(options, "options") }?;
        // SAFETY: as above.
        let options = unsafe { self::options(&given) }?;
        let recorder = TraceRecorder::open(options)?;
        out.write(handle::new(Recorder(Arc::new(recorder)))?);
        OK
    })
}

/// The gate of a recorder: 1 while calls are recorded, else 0. The pointer is valid for as long as the process; when the recorder is
/// gone the number is 0. See `lmcache_is_recording`.
///
/// # Safety
/// `out` points to room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_recorder_gate(
    recorder: *const lmcache_recorder,
    out: *mut *const u32,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { output(out, "out") }?;
        handle::with::<Recorder, _>(recorder, |recorder| {
            out.write(std::ptr::from_ref(recorder.0.gate()).cast());
            OK
        })
    })
}

/// Switches recording on (1) or off (0). A recording that has stopped by itself stays off.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_set_enabled(recorder: *const lmcache_recorder, is_enabled: u32) -> Status {
    guard(|| {
        let is_enabled = flag("is_enabled", is_enabled)?;
        handle::with::<Recorder, _>(recorder, |recorder| {
            recorder.0.set_enabled(is_enabled);
            OK
        })
    })
}

/// Waits until everything that was recorded before is in the file, where a killed process does not lose it.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_flush(recorder: *const lmcache_recorder) -> Status {
    guard(|| {
        handle::with::<Recorder, _>(recorder, |recorder| {
            recorder.0.flush()?;
            OK
        })
    })
}

/// What the recording has done so far; losses among it.
///
/// # Safety
/// `out` points to numbers whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_recorder_get_stats(
    recorder: *const lmcache_recorder,
    out: *mut lmcache_recorder_stats,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        handle::with::<Recorder, _>(recorder, |recorder| {
            out.write(&stats(&recorder.0.stats()));
            OK
        })
    })
}

/// Stops recording, writes what is in the rings, closes the file with its index and syncs it. Closing twice does no harm. Producers may be
/// freed before or after; calls on them are dropped from now on.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_close(recorder: *const lmcache_recorder) -> Status {
    guard(|| handle::with::<Recorder, _>(recorder, close))
}

fn close(recorder: &Recorder) -> Ended {
    recorder.0.close()?;
    OK
}

/// Gives a recorder back; one that was not closed is closed, and what goes wrong then is not told. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_free(recorder: *mut lmcache_recorder) -> Status {
    guard(|| handle::free::<Recorder, _>(recorder))
}

fn stats(stats: &RecorderStats) -> lmcache_recorder_stats {
    lmcache_recorder_stats {
        struct_size: size_of::<lmcache_recorder_stats>() as u32,
        reserved: 0,
        calls: stats.calls,
        lost: stats.lost,
        late: stats.late,
        completions: stats.completions,
        lost_completions: stats.lost_completions,
        file_bytes: stats.file_bytes,
        files: stats.files,
        deleted_files: stats.deleted_files,
        threads: stats.threads,
    }
}
