//! How to record.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::native::pod::{DEFAULT_CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES};
use crate::format::native::schema::FileFacts;
use crate::trace::ring::{DEFAULT_RING_BYTES, MAX_RING_BYTES, MIN_RING_BYTES};

/// What a call does whose thread's ring is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullPolicy {
    /// The call is not recorded, and counted: the file says how many and where.
    #[default]
    Drop,
    /// The caller waits for the writer. Nothing is lost, and a slow disk slows the host.
    Wait,
}

/// Whether a list of keys that stands in the chunk already is named instead of repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interning {
    /// Unless the rings are filling up: then the writer only copies.
    #[default]
    WhenIdle,
    /// Always: the smallest file, and the same one whatever the load.
    Always,
    /// Never.
    Never,
}

/// When to begin another file, and how much to keep. Nothing rotates by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// A file of this length is followed by another one.
    pub max_file_bytes: Option<u64>,
    /// So is a file of this age.
    pub max_file_age: Option<Duration>,
    /// The oldest files of the recording are deleted before all of them together are longer; at least
    /// [`MIN_TOTAL_BYTES`].
    pub max_total_bytes: Option<u64>,
}

/// The smallest bound on all files of a recording: half of it is deleted at a time, and a round has to fit.
pub const MIN_TOTAL_BYTES: u64 = 4 << 20;

/// Told once when a recording stops by itself.
pub type StopCallback = Box<dyn FnOnce(&Error) + Send>;

/// How to record. [`RecorderOptions::new`] has the defaults.
pub struct RecorderOptions {
    /// The first file; those that follow it are `name.000001.lct` and so on.
    pub path: PathBuf,
    /// What the file says about the recording. Host, process and writer are filled in.
    pub facts: FileFacts,
    /// Bytes of each thread's ring; a power of two.
    pub ring_bytes: usize,
    /// Stride of chunks; a power of two.
    pub chunk_bytes: u32,
    /// What a call does whose ring is full.
    pub full_policy: FullPolicy,
    /// Whether key lists are interned.
    pub interning: Interning,
    /// When to begin another file.
    pub rotation: Rotation,
    /// Bounds what a power cut may lose: what was recorded is on the disk within about this time. Without it the
    /// kernel writes back when it likes. A file that is followed by another one is synced by the writer itself, and the
    /// rings wait for that.
    pub sync_interval: Option<Duration>,
    /// How long the writer sleeps when the rings are empty; while they stay empty, up to a millisecond. A ring has to
    /// last that long: the default ring takes 16,000 calls of one key, or 1,500 of sixteen.
    pub poll_interval: Duration,
    /// Whether recording is on from the start.
    pub is_enabled: bool,
    /// Called on the writer's thread if the recording stops by itself: the disk is full, a limit is reached, the
    /// folder is gone.
    pub on_stop: Option<StopCallback>,
}

impl RecorderOptions {
    /// Records to `path`, which is overwritten, with rings of 1 MiB that drop when they are full.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            facts: FileFacts { level: "storage".to_owned(), ..FileFacts::default() },
            ring_bytes: DEFAULT_RING_BYTES,
            chunk_bytes: DEFAULT_CHUNK_BYTES,
            full_policy: FullPolicy::default(),
            interning: Interning::default(),
            rotation: Rotation::default(),
            sync_interval: None,
            poll_interval: Duration::from_micros(100),
            is_enabled: true,
            on_stop: None,
        }
    }

    /// Records LMCache's storage configuration with its digest, as LMCache's `attach_storage_config` does.
    #[must_use]
    pub fn with_storage_config(mut self, json: impl Into<String>, digest: impl Into<String>) -> Self {
        (self.facts.sm_config_json, self.facts.sm_config_digest) = (json.into(), digest.into());
        self
    }

    /// Checks the numbers.
    pub(super) fn check(&self) -> Result<()> {
        let ring = self.ring_bytes;
        if !ring.is_power_of_two() || !(MIN_RING_BYTES..=MAX_RING_BYTES).contains(&ring) {
            return Err(Error::invalid("ring_bytes must be a power of two from 4 KiB to 1 GiB")
                .with_context("ring_bytes", ring));
        }
        let chunk = self.chunk_bytes;
        if !chunk.is_power_of_two() || !(MIN_CHUNK_BYTES..=MAX_CHUNK_BYTES).contains(&chunk) {
            return Err(Error::invalid("chunk_bytes must be a power of two from 64 KiB to 64 MiB")
                .with_context("chunk_bytes", chunk));
        }
        let limits = [self.rotation.max_file_bytes, self.rotation.max_total_bytes];
        if limits.iter().flatten().any(|limit| *limit < u64::from(chunk)) {
            return Err(Error::invalid("a rotation limit must be at least a chunk")
                .with_context("chunk_bytes", chunk));
        }
        if self.rotation.max_total_bytes.is_some_and(|limit| limit < MIN_TOTAL_BYTES) {
            return Err(Error::invalid("max_total_bytes must be at least 4 MiB")
                .with_context("minimum", MIN_TOTAL_BYTES));
        }
        Ok(())
    }
}

impl fmt::Debug for RecorderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecorderOptions").field("path", &self.path).finish_non_exhaustive()
    }
}
