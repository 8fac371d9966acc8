//! The adapters `fs` and `fs_native`, on a real disk.

mod damage;
mod direct;
mod folder;
mod interop;
mod killed;
mod mounts;
mod names;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lmcache::error::Result;
use lmcache::storage::config::l2::{FileChecksum, FsAdapterConfig, FsIoEngine};
use lmcache::storage::config::{AdapterKind, Compat, L2AdapterConfig};
use lmcache::storage::l2::L2Adapter;
use lmcache::storage::l2::factory::{AdapterContext, create};
use tempfile::TempDir;

use crate::conformance::{Made, Traits, conformance};

/// A folder on the disk of the build, which is seldom one in memory.
pub(crate) fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

/// LMCache's defaults, and ours for what is ours but `durable`: these tests are not about power cuts.
pub(crate) fn config(base: &Path) -> FsAdapterConfig {
    FsAdapterConfig {
        base_path: base.to_owned(),
        relative_tmp_dir: None,
        read_ahead_bytes: None,
        use_odirect: false,
        num_workers: 4,
        max_capacity_bytes: None,
        checksum: FileChecksum::None,
        durable: false,
        io_engine: FsIoEngine::Auto,
    }
}

pub(crate) fn adapter(kind: AdapterKind, compat: Compat) -> Result<Arc<dyn L2Adapter>> {
    let context = AdapterContext { id: 0, compat, l1_align_bytes: 4096 };
    let adapter = create(&L2AdapterConfig::new(kind), &context)?;
    adapter.recover()?;
    Ok(adapter)
}

/// An `fs` adapter as LMCache would have it, and with nothing of its defects.
pub(crate) fn native(base: &Path) -> Arc<dyn L2Adapter> {
    adapter(AdapterKind::Fs(config(base)), Compat::Native).expect("an adapter")
}

/// The names of the files in a folder, sorted.
pub(crate) fn file_names(base: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(base).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The one object's file.
pub(crate) fn only_file(base: &Path) -> PathBuf {
    let names = file_names(base);
    assert_eq!(names.len(), 1, "{names:?}");
    base.join(&names[0])
}

/// io_uring, where kernel and container let the process use it.
fn ring_if_there_is_one() -> FsIoEngine {
    match lmcache::os::uring::Uring::new(1) {
        Ok(_) => FsIoEngine::IoUring,
        Err(error) => {
            println!("without io_uring: {error}");
            FsIoEngine::Posix
        }
    }
}

fn made(
    change: impl Fn(&mut FsAdapterConfig),
    kind: fn(FsAdapterConfig) -> AdapterKind,
    traits: Traits,
) -> Made {
    let base = folder();
    let mut config = config(base.path());
    change(&mut config);
    Made::new(adapter(kind(config), Compat::Native).expect("an adapter"), traits, base)
}

/// For the suite around it.
pub(crate) fn suite_folder() -> Made {
    made(|_| {}, AdapterKind::Fs, Traits::default())
}

/// With direct I/O, `fs_native` keeps the padding.
fn padded() -> Traits {
    Traits { charged_bytes: |bytes| bytes.next_multiple_of(4096), ..Traits::default() }
}

conformance!(plain, super::made(|_| {}, super::AdapterKind::Fs, super::Traits::default()));
conformance!(
    by_ring,
    super::made(
        |config| config.io_engine = super::ring_if_there_is_one(),
        super::AdapterKind::Fs,
        super::Traits::default()
    )
);
conformance!(
    durable_with_checksums,
    super::made(
        |config| {
            config.durable = true;
            config.io_engine = super::ring_if_there_is_one();
            config.checksum = super::FileChecksum::Crc32c;
            config.relative_tmp_dir = Some("tmp".into());
            config.read_ahead_bytes = Some(1000);
        },
        super::AdapterKind::Fs,
        super::Traits::default()
    )
);
conformance!(
    direct_io,
    super::made(|config| config.use_odirect = true, super::AdapterKind::Fs, super::Traits::default())
);
conformance!(
    fs_native_direct,
    super::made(|config| config.use_odirect = true, super::AdapterKind::FsNative, super::padded())
);
conformance!(
    one_worker,
    super::made(|config| config.num_workers = 1, super::AdapterKind::FsNative, super::Traits::default())
);
