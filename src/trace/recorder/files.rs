//! The files of a recording: one, or one after the other with a bound on all of them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::clock::{monotonic_ns, wall_ns};
use crate::error::Result;
use crate::format::native::NewFile;
use crate::format::native::pod::LIVE_HEADER_ALIGN;
use crate::format::native::schema::FileFacts;
use crate::os::host;
use crate::trace::recorder::options::{RecorderOptions, Rotation};
use crate::trace::store::FileStore;
use crate::trace::writer::{ClockPair, TraceWriter};

/// What a file may grow by between two looks at its length: a round, a chunk's rest, and the index.
const ROUND_RESERVE_BYTES: u64 = 1 << 20;

/// Makes the files of a recording.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    facts: FileFacts,
    chunk_bytes: u32,
    rotation: Rotation,
    recording_id: u64,
    next_number: u32,
    /// Files that were closed, oldest first, with their lengths.
    closed: VecDeque<(PathBuf, u64)>,
    closed_bytes: u64,
    opened_ns: u64,
    /// Bytes of all files that were closed, those that were deleted since included.
    pub(super) closed_bytes_ever: u64,
    /// Files that were deleted to keep to the bound.
    pub(super) deleted: u64,
}

impl Files {
    pub(super) fn new(options: &RecorderOptions) -> Self {
        let mut facts = options.facts.clone();
        let fill = |field: &mut String, value: String| {
            if field.is_empty() {
                *field = value;
            }
        };
        fill(&mut facts.host, host::host_name());
        fill(&mut facts.process, host::process_name());
        fill(&mut facts.writer, format!("lmcache {}", env!("CARGO_PKG_VERSION")));
        facts.pid = std::process::id();
        Self {
            path: options.path.clone(),
            facts,
            chunk_bytes: options.chunk_bytes,
            rotation: options.rotation,
            recording_id: host::random_u64(),
            next_number: 0,
            closed: VecDeque::new(),
            closed_bytes: 0,
            opened_ns: 0,
            closed_bytes_ever: 0,
            deleted: 0,
        }
    }

    /// Creates the next file and writes its header.
    pub(super) fn open_next(&mut self) -> Result<TraceWriter<FileStore>> {
        let path = numbered(&self.path, self.next_number);
        let clock = now();
        let file = NewFile {
            chunk_bytes: self.chunk_bytes,
            header_align: LIVE_HEADER_ALIGN,
            required_features: 0,
            mono_start_ns: clock.mono_ns,
            wall_start_ns: clock.wall_ns,
            t_mono_start_s: clock.mono_ns as f64 / 1e9,
            t_wall_start_s: clock.wall_ns as f64 / 1e9,
            recording_id: self.recording_id,
            file_number: self.next_number,
        };
        let writer = TraceWriter::create(FileStore::create(&path)?, file, self.facts.clone())
            .map_err(|error| error.with_context("path", path.display()))?;
        self.next_number += 1;
        self.opened_ns = clock.mono_ns;
        Ok(writer)
    }

    /// How many files were opened.
    pub(super) fn opened(&self) -> u64 {
        u64::from(self.next_number)
    }

    /// The path of the file that was opened last.
    pub(super) fn current_path(&self) -> PathBuf {
        numbered(&self.path, self.next_number.saturating_sub(1))
    }

    /// The length of the file that was opened last, as far as the system says.
    pub(super) fn current_len_bytes(&self) -> u64 {
        std::fs::metadata(self.current_path()).map_or(0, |metadata| metadata.len())
    }

    /// Whether a file of `file_bytes` is to be followed by another one.
    pub(super) fn is_time(&self, file_bytes: u64) -> bool {
        let is_long = self.rotation.max_file_bytes.is_some_and(|limit| file_bytes >= limit);
        let is_old = |limit: std::time::Duration| {
            u128::from(monotonic_ns().saturating_sub(self.opened_ns)) >= limit.as_nanos()
        };
        // Half the bound, so that there is something left when the other half is deleted; what a round may still add
        // is kept free.
        let is_half = self
            .rotation
            .max_total_bytes
            .is_some_and(|limit| file_bytes >= (limit / 2).saturating_sub(ROUND_RESERVE_BYTES));
        is_long || is_half || self.rotation.max_file_age.is_some_and(is_old)
    }

    /// Counts a file that was closed, and deletes the oldest ones that are past the bound.
    pub(super) fn closed(&mut self, file_bytes: u64) {
        self.closed.push_back((self.current_path(), file_bytes));
        self.closed_bytes += file_bytes;
        self.closed_bytes_ever += file_bytes;
        let Some(limit) = self.rotation.max_total_bytes else { return };
        // The file that comes next may grow to half the bound.
        while self.closed_bytes > limit / 2 && self.closed.len() > 1 {
            let Some((path, bytes)) = self.closed.pop_front() else { return };
            // A file that somebody else removed is no longer counted either.
            let _ = std::fs::remove_file(&path);
            self.closed_bytes -= bytes;
            self.deleted += 1;
        }
    }
}

/// Both clocks, now.
pub(super) fn now() -> ClockPair {
    ClockPair { mono_ns: monotonic_ns(), wall_ns: wall_ns() }
}

/// `trace.lct`, `trace.000001.lct`, ...
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy()));
    path.with_file_name(format!("{stem}.{number:06}{}", extension.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_before_their_extension() {
        assert_eq!(numbered(Path::new("a/trace.lct"), 0), Path::new("a/trace.lct"));
        assert_eq!(numbered(Path::new("a/trace.lct"), 7), Path::new("a/trace.000007.lct"));
        assert_eq!(numbered(Path::new("trace"), 1), Path::new("trace.000001"));
    }
}
