//! `--record`: the calls of the replay's own storage manager go into a native trace.

use std::path::{Path, PathBuf};

use crate::capture;
use crate::cli::exit::print_warning;
use crate::cli::files::is_device;
use crate::error::{Error, Result};
use crate::storage::StorageManager;
use crate::storage::config::StorageManagerConfig;
use crate::sync::Arc;
use crate::trace::TraceRecorder;
use crate::trace::recorder::{FullPolicy, RecorderStats};

/// A recording under way.
pub(super) struct Recording {
    recorder: Arc<TraceRecorder>,
    path: PathBuf,
}

/// How a recording went.
#[derive(Clone, Debug)]
pub(super) struct RecordingReport {
    pub(super) path: PathBuf,
    pub(super) stats: RecorderStats,
    /// The length of the file, also if it was not closed.
    pub(super) size_bytes: u64,
    /// Why the recording stopped by itself, or could not be closed: then calls are missing in it.
    pub(super) failure: Option<String>,
}

impl Recording {
    /// Starts to record the calls of `manager` to `path`. A full ring makes the replay wait, so that no call is lost.
    pub(super) fn start(
        path: &Path,
        manager: &StorageManager,
        config: &StorageManagerConfig,
    ) -> Result<Self> {
        let mut options = capture::options_for(config, path);
        options.full_policy = FullPolicy::Wait;
        options.on_stop = Some(Box::new(|error| {
            print_warning(&format!("the replay is not recorded any more, and goes on: {error}"));
        }));
        let recorder = Arc::new(TraceRecorder::open(options)?);
        capture::attach(manager, Arc::clone(&recorder))?;
        Ok(Self { recorder, path: path.to_owned() })
    }

    /// Closes the file. What is wrong with it is in the report: the replay's results are worth having all the same.
    pub(super) fn close(self) -> RecordingReport {
        let failure = self.recorder.close().err().map(|error| error.to_string());
        let stats = self.recorder.stats();
        // A file that somebody took away has no length any more.
        let size_bytes = std::fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        RecordingReport { path: self.path, stats, size_bytes, failure }
    }
}

impl RecordingReport {
    /// Whether each call is in the file, and what became of it.
    pub(super) fn is_complete(&self) -> bool {
        self.failure.is_none() && self.stats.lost + self.stats.lost_completions == 0
    }
}

/// Refuses places that a recording cannot be written to.
pub(super) fn check_path(path: &Path) -> Result<()> {
    if !is_device(path) {
        return Ok(());
    }
    Err(Error::invalid("a replay can only be recorded into a regular file")
        .with_context("path", path.display())
        .with_hint("name a file; it is made if it is not there"))
}
