//! `fs`: a file for each object, in one folder.

use std::path::{Component, Path, PathBuf};

use super::spec::Spec;
use crate::error::{Error, Result};
use crate::storage::config::fields::Fields;

/// The type in JSON.
pub const TYPE: &str = "fs";

/// The keys of its own.
pub const KEYS: &[&str] = &[
    "base_path",
    "relative_tmp_dir",
    "read_ahead_size",
    "use_odirect",
    "num_workers",
    "max_capacity_gb",
    "checksum",
    "durable",
    "io_engine",
];

/// LMCache's default for the workers of `fs_native`, and ours for those of `fs`.
const DEFAULT_WORKERS: u64 = 4;

/// The most workers that an adapter can have.
pub const MAX_WORKERS: u64 = 1024;

/// Files in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FsAdapterConfig {
    /// `base_path`: the folder of the files.
    pub base_path: PathBuf,
    /// `relative_tmp_dir`: a folder below it for files that are being written; nothing if they lie beside the
    /// others.
    pub relative_tmp_dir: Option<PathBuf>,
    /// `read_ahead_size`, above 0: how many bytes a load reads first, so that the file system reads ahead.
    pub read_ahead_bytes: Option<u64>,
    /// `use_odirect`: past the page cache. Off by default.
    pub use_odirect: bool,
    /// `num_workers`: how many files are read or written at once. LMCache's for `fs_native` alone; 4 by default.
    pub num_workers: usize,
    /// `max_capacity_gb`: what [`L2AdapterConfig::eviction`](super::L2AdapterConfig::eviction) measures use
    /// against; nothing, the default, if there is no limit. LMCache's for `fs_native` alone.
    pub max_capacity_bytes: Option<u64>,
    /// `checksum`. Ours.
    pub checksum: FileChecksum,
    /// `durable`: whether a store is complete only once it would outlive a power cut. Ours; on by default.
    pub durable: bool,
    /// `io_engine`. Ours.
    pub io_engine: FsIoEngine,
}

/// How the content of a file is vouched for. The files themselves stay LMCache's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileChecksum {
    /// `none`: by its length alone, as LMCache.
    #[default]
    None,
    /// `crc32c`.
    Crc32c,
}

impl FileChecksum {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::None, Self::Crc32c];

    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Crc32c => "crc32c",
        }
    }
}

/// How files are read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FsIoEngine {
    /// `auto`: io_uring, where the kernel allows it, for what waits for the disk: direct I/O, and writes that it has to
    /// keep. POSIX calls for the rest.
    #[default]
    Auto,
    /// `posix`: POSIX calls.
    Posix,
    /// `io_uring`: io_uring, or the adapter does not start.
    IoUring,
}

impl FsIoEngine {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Posix, Self::IoUring];

    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Posix => "posix",
            Self::IoUring => "io_uring",
        }
    }
}

pub(super) fn read(spec: Spec<'_>) -> Result<FsAdapterConfig> {
    let fields = spec.fields;
    let temporary = fields.optional_text("relative_tmp_dir")?;
    Ok(FsAdapterConfig {
        base_path: fields.required_text("base_path", "/data/kv")?.into(),
        relative_tmp_dir: temporary.filter(|path| !path.is_empty()).map(below).transpose()?,
        read_ahead_bytes: fields.optional_integer("read_ahead_size", 1..=u64::MAX)?,
        use_odirect: fields.bool("use_odirect", false)?,
        num_workers: workers(fields, "num_workers", DEFAULT_WORKERS)?,
        max_capacity_bytes: fields.capacity_gb("max_capacity_gb")?,
        checksum: fields.choice(
            "checksum",
            FileChecksum::default(),
            FileChecksum::ALL,
            FileChecksum::name,
        )?,
        durable: fields.bool("durable", true)?,
        io_engine: fields.choice("io_engine", FsIoEngine::default(), FsIoEngine::ALL, FsIoEngine::name)?,
    })
}

/// A path that stays below the folder that it is joined to. LMCache takes any: a temporary file on another
/// file system cannot be renamed into place.
fn below(path: &str) -> Result<PathBuf> {
    let stays =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if stays {
        return Ok(path.into());
    }
    Err(Error::invalid("relative_tmp_dir must be a path below base_path, without ..").with_hint(
        "write it without a slash in front, for instance \"tmp\": it has to be in base_path's file system",
    ))
}

/// A number of workers.
pub(super) fn workers(fields: Fields<'_>, name: &str, default: u64) -> Result<usize> {
    // In range, so it fits.
    fields.integer(name, default, 1..=MAX_WORKERS).map(|workers| workers as usize)
}
