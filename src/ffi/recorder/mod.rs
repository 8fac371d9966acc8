//! The recorder: one for the process, a [`producer`] for each thread. `gates`: whether recording is on, for hosts that look by themselves.

mod gates;
pub mod producer;

use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::ffi::border::args::{Growing, flag, growing, optional_string, output, string};
use crate::ffi::border::boundary::{Ended, Failure, OK, guard};
use crate::ffi::border::growing_output::growing_output;
use crate::ffi::border::status::Status;
use crate::ffi::callbacks;
use crate::ffi::handles::{self, Kind, Object, Shared};
use crate::ffi::log;
use crate::sync::{Arc, Mutex, lock};
use crate::trace::TraceRecorder;
use crate::trace::recorder::{FullPolicy, Interning, RecorderOptions, RecorderStats, Rotation, StopCallback};

/// A recording. Any number of threads may use it at once.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_recorder(());

/// Told once if a recording stops by itself, on the recorder's own thread: the disk is full, a limit is reached, the folder is gone.
/// `reason` ends in NUL and is borrowed for the time of the call. It must return. What waits for threads of the library is BUSY in it, as in
/// every callback: `lmcache_recorder_close` and `lmcache_recorder_flush` among them, of whichever recorder.
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
    /// Bytes of each thread's ring, a power of two from 4 KiB to 1 GiB; 0 for 1 MiB.
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

/// What a recording has done so far. Calls and losses are right once it is flushed or closed: every call that was attempted while recording
/// was on, and has returned, is in one of them. It begins with its size; `LMCACHE_RECORDER_STATS_INIT` sets it.
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
    /// Calls that were attempted and are not. The file says which and where, but for those that came while it was closed.
    pub lost: u64,
    /// Calls that came late: after later ones had been written.
    pub late: u64,
    /// Completions in the files.
    pub completions: u64,
    /// Completions that are not: they found the ring full, the recording had stopped, or was being closed.
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

/// A recording, which a storage manager can have a part of.
pub(in crate::ffi) struct Recorder(pub(in crate::ffi) ManuallyDrop<Arc<TraceRecorder>>);

impl Object for Recorder {
    const KIND: Kind = Kind::Recorder;
    const NAME: &'static str = "recorder";
}

impl Shared for Recorder {}

impl Drop for Recorder {
    /// Whoever drops the last reference closes the recording, and waits for its thread. On which thread a callback may be; then another
    /// one waits.
    fn drop(&mut self) {
        // SAFETY: nobody looks at it after this.
        let recorder = unsafe { ManuallyDrop::take(&mut self.0) };
        if !callbacks::is_in_callback() {
            return;
        }
        let kept = Arc::new(Mutex::new(Some(recorder)));
        let theirs = Arc::clone(&kept);
        let closer = std::thread::Builder::new().name("lmcache-closer".to_owned());
        if closer.spawn(move || drop(lock(&theirs).take())).is_err() {
            log::say("a recorder is not closed: there is no thread for it");
            std::mem::forget(kept);
        }
    }
}

/// The callback of a host, which is called on the recorder's thread.
struct OnStop {
    callback: unsafe extern "C" fn(*const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the host says that its callback is called on the recorder's thread.
unsafe impl Send for OnStop {}

impl OnStop {
    fn tell(&self, sentence: &str) {
        let Ok(text) = std::ffi::CString::new(sentence.replace('\0', "\u{fffd}")) else { return };
        // SAFETY: the host's promise; the text stays for the time of the call.
        callbacks::call_host([0, 0], || unsafe { (self.callback)(text.as_ptr(), self.user_data) });
    }
}

/// What is written into the file is shown to people, and compared with other configurations.
fn check_json(json: &str) -> Result<(), Failure> {
    let looked_at: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(json);
    looked_at
        .map(drop)
        .map_err(|error| Failure::invalid(format!("storage_config_json is no JSON object: {error}")))
}

/// # Safety
/// The pointers of `given` are what their fields say.
unsafe fn read_options(given: &lmcache_recorder_options) -> Result<RecorderOptions, Failure> {
    // SAFETY: the caller's promise, here and below.
    let mut options = RecorderOptions::new(unsafe { string(given.path, "path") }?);
    // SAFETY: as above.
    if let Some(node) = unsafe { optional_string(given.node, "node") }? {
        options.facts.node = node.to_owned();
    }
    // SAFETY: as above.
    if let Some(json) = unsafe { optional_string(given.storage_config_json, "storage_config_json") }? {
        check_json(json)?;
        options = options.with_storage_config(json, sha256_hex(json));
    }
    options.full_policy = full_policy(given.full_policy)?;
    options.interning = interning(given.interning)?;
    read_sizes_and_times(given, &mut options);
    options.is_enabled = !flag("starts_disabled", given.starts_disabled)?;
    options.on_stop = Some(on_stop(given));
    Ok(options)
}

fn sha256_hex(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn full_policy(number: u32) -> Result<FullPolicy, Failure> {
    match number {
        0 => Ok(FullPolicy::Drop),
        1 => Ok(FullPolicy::Wait),
        other => Err(Failure::invalid(format!("full_policy is {other}; it is 0 or 1"))),
    }
}

fn interning(number: u32) -> Result<Interning, Failure> {
    match number {
        0 => Ok(Interning::WhenIdle),
        1 => Ok(Interning::Always),
        2 => Ok(Interning::Never),
        other => Err(Failure::invalid(format!("interning is {other}; it is 0, 1 or 2"))),
    }
}

/// Those that are not 0; what they may be is checked where the recording is opened.
fn read_sizes_and_times(given: &lmcache_recorder_options, options: &mut RecorderOptions) {
    let unless_zero = |number: u64| (number > 0).then_some(number);
    if let Some(bytes) = unless_zero(given.ring_bytes) {
        options.ring_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    options.rotation = Rotation {
        max_file_bytes: unless_zero(given.max_file_bytes),
        max_file_age: unless_zero(given.max_file_age_ns).map(Duration::from_nanos),
        max_total_bytes: unless_zero(given.max_total_bytes),
    };
    options.sync_interval = unless_zero(given.sync_interval_ns).map(Duration::from_nanos);
    if let Some(interval_ns) = unless_zero(given.poll_interval_ns) {
        options.poll_interval = Duration::from_nanos(interval_ns);
    }
}

/// Tells the log callback and the host's own that a recording has stopped.
fn on_stop(given: &lmcache_recorder_options) -> StopCallback {
    let on_stop = given.on_stop.map(|callback| OnStop { callback, user_data: given.on_stop_user_data });
    Box::new(move |error: &Error| {
        let sentence = format!("no more is recorded: {error}");
        log::say(&sentence);
        if let Some(on_stop) = on_stop {
            on_stop.tell(&sentence);
        }
    })
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
        let recorder = TraceRecorder::open(unsafe { read_options(&given) }?)?;
        out.write(handles::new(Recorder(ManuallyDrop::new(Arc::new(recorder))))?);
        OK
    })
}

/// The gate of a recorder: 1 while calls are recorded, else 0. The pointer is valid for as long as the process; when the recorder is
/// gone, and in a child of `fork`, the number is 0. See `lmcache_is_recording`.
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
        handles::with::<Recorder, _>(recorder, |recorder| {
            out.write(std::ptr::from_ref(recorder.0.gate(gates::add)).cast());
            OK
        })
    })
}

/// Switches recording on (1) or off (0). A recording that has stopped by itself stays off; one that was closed is CLOSED.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_set_enabled(recorder: *const lmcache_recorder, is_enabled: u32) -> Status {
    guard(|| {
        let is_enabled = flag("is_enabled", is_enabled)?;
        handles::with::<Recorder, _>(recorder, |recorder| {
            if is_enabled {
                recorder.0.check_open()?;
            }
            recorder.0.set_enabled(is_enabled);
            OK
        })
    })
}

/// Waits until everything that was recorded before is in the file, where a killed process does not lose it. After
/// `lmcache_recorder_close` it is there already. Within a callback it is BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_flush(recorder: *const lmcache_recorder) -> Status {
    guard(|| {
        handles::with::<Recorder, _>(recorder, |recorder| {
            callbacks::refuse_in_callback("lmcache_recorder_flush")?;
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
        handles::with::<Recorder, _>(recorder, |recorder| {
            out.write(&stats(&recorder.0.stats()));
            OK
        })
    })
}

/// Stops recording, writes what is in the rings, closes the file with its index and syncs it. Closing twice does no harm: whoever comes
/// second waits, too, until the file is closed. Producers may be freed before or after; calls on them are dropped from now on. A call that
/// another thread is making meanwhile can be OK and still come too late for the file: it is one of `lost` then. Within a callback this is
/// BUSY.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_close(recorder: *const lmcache_recorder) -> Status {
    guard(|| handles::with::<Recorder, _>(recorder, close))
}

fn close(recorder: &Recorder) -> Ended {
    callbacks::refuse_in_callback("lmcache_recorder_close")?;
    recorder.0.close()?;
    OK
}

/// Gives a recorder back; one that was not closed is closed, and what goes wrong then is not told. A storage manager that records to it
/// keeps it open (`lmcache_storage_record`), producers do not. Within a callback this does not wait until it is closed. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_recorder_free(recorder: *mut lmcache_recorder) -> Status {
    guard(|| handles::free::<Recorder, _>(recorder))
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
