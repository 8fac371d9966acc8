//! Records the calls of our own storage manager: the hook of [`storage`](crate::storage::hook) and the recorder of
//! [`trace`](crate::trace::recorder), joined.
//!
//! The qualified names and arguments are those that LMCache's recorder writes, with the salts that it loses, and each
//! call has a completion: how long it took and what came of it.

use std::path::PathBuf;

use crate::error::Result;
use crate::storage::StorageManager;
use crate::storage::config::StorageManagerConfig;
use crate::storage::hook::{CallEnd, CallHook, CallToken, HookedCall};
use crate::sync::Arc;
use crate::trace::recorder::{CallId, Completion, RecorderOptions, ThreadRecorder, TraceRecorder};

/// Options for recording a manager under `config` to `path`: with the configuration and its digest in the file.
pub fn options_for(config: &StorageManagerConfig, path: impl Into<PathBuf>) -> RecorderOptions {
    RecorderOptions::new(path).with_storage_config(config.to_json(), config.digest())
}

/// Records every traced call of `manager` from now on, while `recorder` is on.
///
/// A `reserve_write` in a mode other than `New`, which LMCache 0.5.6 does not have, is recorded without its mode.
///
/// # Errors
/// If the manager has a hook already.
pub fn attach(manager: &StorageManager, recorder: Arc<TraceRecorder>) -> Result<()> {
    manager.attach_hook(Arc::new(Capture { recorder }))
}

#[derive(Debug)]
struct Capture {
    recorder: Arc<TraceRecorder>,
}

impl CallHook for Capture {
    fn begin(&self, call: &HookedCall<'_>) -> Option<CallToken> {
        let recorded = self.recorder.with_thread(|thread| record(thread, call))?;
        Some(CallToken(recorded.to_bits()))
    }

    fn end(&self, token: CallToken, end: &CallEnd) {
        let completion = Completion {
            outcome: end.outcome,
            duration_ns: end.duration_ns,
            data_ready_ns: end.data_ready_ns,
            requested_keys: end.requested_keys,
            hit_keys: end.hit_keys,
            bytes: end.bytes,
        };
        // What is lost of it is counted.
        self.recorder
            .with_thread(|thread| Some(thread.complete(CallId::from_bits(token.0, end.op), &completion)));
    }
}

fn record(thread: &mut ThreadRecorder, call: &HookedCall<'_>) -> Option<CallId> {
    match *call {
        HookedCall::ReserveWrite { keys, layout } => thread.reserve_write(keys, layout),
        HookedCall::FinishWrite(keys) => thread.finish_write(keys),
        HookedCall::ReadEnter(keys) => thread.read_enter(keys),
        HookedCall::ReadExit(keys) => thread.read_exit(keys),
        HookedCall::FinishRead { keys, read_locks } => thread.finish_read_prefetched(keys, read_locks),
        HookedCall::SubmitPrefetch { spec, external_request_id, skip_l2 } => {
            thread.submit_prefetch_task(spec, external_request_id, skip_l2)
        }
    }
}
