//! Replaying traces against a storage manager.
//!
//! * This file: the functions. [`options`], [`progress`], [`results`]: what goes in, what is told, what comes out.
//!
//! A replay is an object that threads share, though one at a time may do anything with it but cancel it: so what is behind the lock is
//! taken, or the call is BUSY, and the flag that cancels lies beside the lock.

pub mod options;
pub mod progress;
pub mod results;

use std::ffi::c_char;

use serde_json::{Map, Value, json};

use super::border::args::{growing, output};
use super::border::boundary::{Ended, OK, guard};
use super::border::growing_output::growing_output;
use super::border::status::Status;
use super::callbacks;
use super::handles::{self, Kind, Object, Shared};
use crate::error::Result;
use crate::replay::session::{Replayed, Session};
use crate::replay::traces::OpenTraces;
use crate::replay::{StopFlag, TraceExtent};
use crate::storage::l2::namespace::{Namespace, NamespaceMode};
use crate::sync::{Arc, Mutex, try_lock};
use options::{Asked, lmcache_replay_options};
use progress::Observer;
use results::{Results, lmcache_replay_results};

/// A replay: its traces, open, and how it is to go. One thread at a time may use it, whichever; any may cancel it.
#[allow(non_camel_case_types, reason = "the name in C")]
pub struct lmcache_replay(());

struct Replay {
    stop: StopFlag,
    state: Mutex<State>,
}

struct State {
    asked: Asked,
    traces: OpenTraces,
    results: Option<Results>,
}

impl Object for Replay {
    const KIND: Kind = Kind::Replay;
    const NAME: &'static str = "replay";
}

impl Shared for Replay {}

/// What became of the adapters' places.
fn close_namespace(namespace: Namespace) -> Map<String, Value> {
    let mode = namespace.mode();
    let kept_in = if mode == NamespaceMode::FreshKept { namespace.places() } else { Vec::new() };
    let failure = namespace.close().err().map(|error| error.to_string());
    let parts = [("mode", json!(mode.name())), ("kept_in", json!(kept_in)), ("failure", json!(failure))];
    parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl State {
    fn run(&mut self, stop: &StopFlag) -> Result<()> {
        self.results = None;
        let Asked { options, workers, part, config, namespace, teller, .. } = &self.asked;
        let keys = self.traces.key_tables()?;
        let nodes = self
            .traces
            .nodes(&keys, part.alignment, |trace, keys| TraceExtent::of_trace(trace, keys, |_| {}));
        let replayed = Replayed { extent: nodes.extent(), nodes, part: part.clone() };
        let mut session = Session::start(&replayed, *options, *workers, config, *namespace)?;
        let expected = replayed.part.expected(&replayed.extent, options.pace);
        let expected_s = replayed.is_duration_known(options.pace).then_some(expected.duration_s);
        let left_out = Arc::clone(session.left_out());
        let mut observer = teller.map(|teller| {
            Observer::begin(teller, stop, session.live_view(), Arc::clone(&left_out), &expected, expected_s)
        });
        let run = session.run(&replayed, stop, &mut observer)?;
        drop(observer);
        let (totals, namespace) = session.close()?;
        let notes = close_namespace(namespace);
        self.results = Some(Results::new(&replayed, &run, &totals, left_out.records(), notes));
        Ok(())
    }
}

/// A call that is alone with the state.
fn with_state(replay: *const lmcache_replay, call: impl FnOnce(&mut State, &StopFlag) -> Ended) -> Status {
    guard(|| {
        handles::with::<Replay, _>(replay, |replay| match try_lock(&replay.state) {
            Some(mut state) => call(&mut state, &replay.stop),
            None => Err(handles::busy::<Replay>()),
        })
    })
}

/// Makes a replay: looks at the options, copies them, and opens the traces, so that what is wrong is found before the first call. The storage
/// manager is made by `lmcache_replay_run`.
///
/// # Safety
/// `options` points to options whose pointers are what their fields say, and whose callback may be called with its data by
/// `lmcache_replay_run`; `out` points to room for a handle; with LMCACHE_READ_MAPPED nobody shortens the files or changes bytes in them
/// before the replay is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_replay_new(
    options: *const lmcache_replay_options,
    out: *mut *mut lmcache_replay,
) -> Status {
    guard(|| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        // SAFETY: as above.
        let given = unsafe { growing(options, "options") }?;
        // SAFETY: as above.
        let asked = unsafe { Asked::new(&given) }?;
        let traces = OpenTraces::open(&asked.paths, asked.read_mode)?;
        let state = Mutex::new(State { asked, traces, results: None });
        out.write(handles::new(Replay { stop: StopFlag::default(), state })?);
        OK
    })
}

/// Replays, and returns when all is done or the replay was cancelled, which is OK and stands in the results. Calls that fail are no error: they are
/// counted. It starts threads of its own: a decoder, the workers, and those of the storage manager; the calling thread tells the progress. It may
/// be run again, with a new storage manager. With one worker, the calling thread keeps off one CPU for the time of the run.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_replay_run(replay: *mut lmcache_replay) -> Status {
    with_state(replay, |state, stop| {
        if state.asked.teller.is_some() {
            callbacks::refuse_too_deep()?;
        }
        state.run(stop)?;
        OK
    })
}

/// Cancels a replay, from any thread, or from its own callback: it ends before its next call, at the latest 50 ms from now. Not before a run:
/// then that ends at once, and so does any run after.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_replay_cancel(replay: *const lmcache_replay) -> Status {
    guard(|| {
        handles::with::<Replay, _>(replay, |replay| {
            replay.stop.set();
            OK
        })
    })
}

/// What the last run found; PENDING if there was none, or it failed.
///
/// # Safety
/// `out` points to results whose `struct_size` is set, and has that many bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_replay_get_results(
    replay: *mut lmcache_replay,
    out: *mut lmcache_replay_results,
) -> Status {
    with_state(replay, |state, _| {
        // SAFETY: the caller's promise.
        let out = unsafe { growing_output(out, "out") }?;
        let Some(results) = &state.results else { return Ok(Status::LMCACHE_STATUS_PENDING) };
        out.write(&results.seen);
        OK
    })
}

/// The same as a JSON object, with what was measured of each operation: names and meanings are those of `lmcache-trace replay --format json`, of which it has
/// the part that needs no recording and no telemetry. PENDING as above. The text ends in NUL, and is valid until the next run, or until the replay is freed.
/// `length`, which may be NULL, gets its bytes without the NUL.
///
/// # Safety
/// `out` points to room for a pointer; `length` is NULL or points to room for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lmcache_replay_get_json(
    replay: *mut lmcache_replay,
    out: *mut *const c_char,
    length: *mut usize,
) -> Status {
    with_state(replay, |state, _| {
        // SAFETY: the caller's promise, here and below.
        let out = unsafe { output(out, "out") }?;
        let Some(results) = &state.results else { return Ok(Status::LMCACHE_STATUS_PENDING) };
        out.write(results.json.as_ptr());
        if !length.is_null() {
            // SAFETY: as above.
            unsafe { length.write_unaligned(results.json.count_bytes()) };
        }
        OK
    })
}

/// Gives a replay back, with what was borrowed from it. NULL is fine. BUSY from its own callback; while another thread runs it, the run
/// goes on to its end, so cancel it before.
#[unsafe(no_mangle)]
pub extern "C" fn lmcache_replay_free(replay: *mut lmcache_replay) -> Status {
    guard(|| handles::free::<Replay, _>(replay))
}
