//! `fs` and `fs_native`: a file for each object, in one folder. LMCache's files: what either writes the other reads.
//!
//! A file is named after its key ([`names`]) and holds the object's bytes and nothing else. It is written without a
//! name, or under another one, and gets its own once it is whole, so that who reads it finds all of it or none. `put`
//! and `get` do that, for as many objects as a task has, through an `engine` that has their transfers under way at
//! once: io_uring, or system calls that wait. `folder` knows the paths, and [`checksum`] what vouches for the bytes.
//!
//! What is LMCache's: names, payloads, keys of the configuration, an object that is there is left alone, a file that is
//! too short is a miss, direct I/O only where the size is a multiple of the file system's block, and `fs_native` with
//! direct I/O moving the padded object.
//!
//! What is ours, under [`Compat::Native`]:
//!
//! * A model name that LMCache would confuse with another gets a name that LMCache passes over.
//! * A file is taken for an object only if its size is the object's, up to the padding that direct I/O leaves. LMCache
//!   takes the beginning of any longer one. A file of another size does not keep its object from being stored.
//! * What is there at the start is counted, so that it can be evicted.
//! * A lookup that fails, other than because nothing is there, is counted as failed.
//!
//! And in both modes: `fsync`, files that have no name while they are written, or one that no two writers share,
//! leftovers of a writer that died removed at the start, direct I/O that falls back to the page cache where a buffer or
//! the file system is not up to it, padding that is zeroed before it reaches the disk, and the checksum.

pub mod checksum;
mod engine;
mod folder;
mod get;
pub mod names;
mod put;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::engine::Engine;
use self::folder::Folder;
use super::Transfer;
use super::connector::{Connector, Put, Removed};
use crate::error::{Error, Result};
use crate::format::model::ObjectKey;
use crate::os::file;
use crate::storage::config::Compat;
use crate::storage::config::l2::{FileChecksum, FsAdapterConfig};
use crate::storage::memory::ArenaBytes;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Mutex, lock};

/// Files that one call has open at most, which bounds its transfers in flight, too.
const MAX_OPEN_FILES: usize = 64;

/// The least padding that a file may have behind its object, whatever the alignment of our L1: LMCache's default.
const MIN_PADDING_ALIGN_BYTES: u64 = 4096;

/// Which of LMCache's two adapters it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FsKind {
    /// `fs`.
    Fs,
    /// `fs_native`.
    Native,
}

/// See the module.
#[derive(Debug)]
pub struct FsConnector {
    folder: Folder,
    engine: Engine,
    kind: FsKind,
    compat: Compat,
    config: FsAdapterConfig,
    /// The unit of direct I/O; `None` without.
    direct_block_bytes: Option<u64>,
    /// Up to a multiple of this, a file may be longer than its object.
    padding_align_bytes: u64,
    /// Files whose bytes were found not to be what was stored. They count as absent, and are replaced.
    damaged: Mutex<hashbrown::HashSet<String, foldhash::fast::RandomState>>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    foreign_files: AtomicU64,
    buffered_transfers: AtomicU64,
    checksum_mismatches: AtomicU64,
    wrong_sizes: AtomicU64,
}

impl FsConnector {
    /// Opens the folder of `config`, and makes it if it is not there. `l1_align_bytes` is the alignment of the buffers
    /// that transfers will have.
    ///
    /// # Errors
    /// If the folder cannot be made, read or written, or cannot do what is asked for: checksums, io_uring.
    pub fn open(config: &FsAdapterConfig, kind: FsKind, compat: Compat, l1_align_bytes: u64) -> Result<Self> {
        let folder = Folder::open(&config.base_path, config.relative_tmp_dir.as_deref())?;
        if compat == Compat::Native {
            folder.check_renames()?;
        }
        if config.checksum != FileChecksum::None {
            folder.check_attributes()?;
        }
        let direct_block_bytes = match config.use_odirect {
            false => None,
            true => Some(file::block_size_bytes(folder.base()).map_err(|error| {
                failed("cannot ask for the block size of the file system", folder.base(), error)
            })?),
        };
        Ok(Self {
            folder,
            engine: Engine::open(config.io_engine)?,
            kind,
            compat,
            config: config.clone(),
            direct_block_bytes,
            padding_align_bytes: l1_align_bytes.max(MIN_PADDING_ALIGN_BYTES),
            damaged: Mutex::default(),
            counters: Counters::default(),
        })
    }

    /// The bytes that a transfer moves: with the padding where LMCache's native adapter would move that.
    fn bytes<'t>(&self, object: &'t Transfer) -> ArenaBytes<'t> {
        if self.kind == FsKind::Native && self.direct_block_bytes.is_some() {
            object.buffer.phy_bytes()
        } else {
            object.buffer.bytes()
        }
    }

    /// Whether bytes can be moved past the page cache. If that is wanted but cannot be, it is counted.
    fn goes_direct(&self, bytes: &ArenaBytes<'_>) -> bool {
        let Some(block_bytes) = self.direct_block_bytes else { return false };
        let is_aligned = |value: u64| value.checked_rem(block_bytes) == Some(0);
        let goes = is_aligned(bytes.len() as u64) && is_aligned(bytes.as_ptr().addr() as u64);
        self.counters.buffered_transfers.fetch_add(u64::from(!goes), Ordering::Relaxed);
        goes
    }

    /// Opens a file with direct I/O, or without where the file system has none.
    fn open_with<F>(&self, direct: bool, open: impl Fn(bool) -> std::io::Result<F>) -> std::io::Result<F> {
        match open(direct) {
            Err(error) if direct && file::is_no_direct_io(&error) => {
                // Relaxed, here and below: counters that order nothing.
                self.counters.buffered_transfers.fetch_add(1, Ordering::Relaxed);
                open(false)
            }
            other => other,
        }
    }

    /// Whether a file of `file_bytes` can be an object of `size_bytes`. Ours: LMCache takes the beginning of any.
    fn is_size_of(&self, file_bytes: u64, size_bytes: u64) -> bool {
        let padded = size_bytes.checked_next_multiple_of(self.padding_align_bytes).unwrap_or(u64::MAX);
        (size_bytes..=padded).contains(&file_bytes)
    }

    fn is_damaged(&self, name: &str) -> bool {
        lock(&self.damaged).contains(name)
    }

    fn path_of(&self, key: &ObjectKey) -> Result<(String, PathBuf)> {
        let name = names::file_name(key, self.compat)?;
        let path = self.folder.path(&name);
        Ok((name, path))
    }

    fn is_there(&self, key: &ObjectKey, size_bytes: u64) -> Result<bool> {
        let Ok((name, path)) = self.path_of(key) else {
            // What no file can be named after is not there.
            return Ok(false);
        };
        match (self.compat, std::fs::metadata(&path)) {
            (Compat::Lmcache, found) => Ok(found.is_ok()),
            (Compat::Native, Ok(found)) => {
                // 0: the caller cannot tell the size. A serde that needs the layout looks keys up so.
                let is_size = match size_bytes {
                    0 => found.len() > 0,
                    _ => self.is_size_of(found.len(), size_bytes),
                };
                Ok(found.is_file() && is_size && !self.is_damaged(&name))
            }
            (Compat::Native, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            (Compat::Native, Err(error)) => Err(failed("cannot look up an object's file", &path, error)),
        }
    }

    fn remove_one(&self, key: &ObjectKey) -> Result<Removed> {
        let Ok((name, path)) = self.path_of(key) else {
            return Ok(Removed::Absent);
        };
        // The size first; who unlinks the file is the one who counts it.
        let removed = std::fs::symlink_metadata(&path)
            .and_then(|found| std::fs::remove_file(&path).map(|()| found.len()));
        match removed {
            Ok(bytes) => {
                lock(&self.damaged).remove(&name);
                Ok(Removed::Gone(Some(bytes)))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Removed::Absent),
            Err(error) => Err(failed("cannot delete an object's file", &path, error)),
        }
    }
}

impl Connector for FsConnector {
    fn type_name(&self) -> &'static str {
        match self.kind {
            FsKind::Fs => "fs",
            FsKind::Native => "fs_native",
        }
    }

    fn class_name(&self) -> &'static str {
        match self.kind {
            FsKind::Fs => "FSL2Adapter",
            FsKind::Native => "FSNativeL2Adapter",
        }
    }

    fn put(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        self.put_all(objects)
    }

    fn get(&self, objects: &[Transfer]) -> Vec<Result<bool>> {
        objects.chunks(MAX_OPEN_FILES).flat_map(|batch| self.get_batch(batch)).collect()
    }

    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<Result<bool>> {
        keys.iter().zip(sizes_bytes).map(|(key, size_bytes)| self.is_there(key, *size_bytes)).collect()
    }

    fn remove(&self, keys: &[ObjectKey]) -> Vec<Result<Removed>> {
        keys.iter().map(|key| self.remove_one(key)).collect()
    }

    fn scan(&self, visit: &mut dyn FnMut(ObjectKey, u64)) -> Result<bool> {
        let foreign = self.folder.list(&mut |name, bytes| {
            let key = names::key_of(name, self.compat);
            let is_ours = key.is_some();
            key.into_iter().for_each(|key| visit(key, bytes));
            is_ours
        })?;
        self.counters.foreign_files.store(foreign, Ordering::Relaxed);
        Ok(true)
    }

    fn status(&self) -> Vec<(&'static str, Value)> {
        let count = |counter: &AtomicU64| json!(counter.load(Ordering::Relaxed));
        let mut fields = vec![
            ("base_path", json!(self.folder.base().display().to_string())),
            ("use_odirect", json!(self.config.use_odirect)),
        ];
        match self.kind {
            FsKind::Fs => fields.push(("event_loop_alive", json!(true))),
            FsKind::Native => {
                fields.push(("read_ahead_size", json!(self.config.read_ahead_bytes)));
                fields.push(("pad_buffers_to_alignment", json!(self.config.use_odirect)));
            }
        }
        fields.extend([
            ("io_engine", json!(self.engine.name())),
            ("checksum", json!(self.config.checksum.name())),
            ("durable", json!(self.config.durable)),
            ("leftovers_removed", json!(self.folder.leftovers_removed())),
            ("foreign_files", count(&self.counters.foreign_files)),
            ("buffered_transfers", count(&self.counters.buffered_transfers)),
            ("checksum_mismatches", count(&self.counters.checksum_mismatches)),
            ("wrong_sizes", count(&self.counters.wrong_sizes)),
            ("io_uring_fallbacks", json!(self.engine.fallbacks())),
        ]);
        fields
    }
}

/// An error of the file system, with what an operator can do about it.
fn failed(what: &'static str, path: &Path, error: std::io::Error) -> Error {
    let is_full = file::is_full(&error);
    let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
    let is_read_only = error.kind() == std::io::ErrorKind::ReadOnlyFilesystem;
    let failed = Error::io(what, error).with_context("path", path.display());
    if is_full {
        failed.with_hint("the disk or the quota is full: free space there, or give the adapter an eviction and max_capacity_gb")
    } else if is_denied {
        failed.with_hint("the process has to be allowed to read and write base_path and the files in it")
    } else if is_read_only {
        failed
            .with_hint("its file system is mounted read-only: mount it to be written, or name another folder")
    } else {
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::model::{ChunkHash, KeyScope};
    use crate::storage::config::l2::FsIoEngine;
    use crate::storage::memory::{Arena, Span};
    use crate::sync::Arc;

    fn connector(base: &Path) -> FsConnector {
        let config = FsAdapterConfig {
            base_path: base.to_owned(),
            relative_tmp_dir: Some("tmp".into()),
            read_ahead_bytes: None,
            use_odirect: false,
            num_workers: 1,
            max_capacity_bytes: None,
            checksum: FileChecksum::None,
            durable: true,
            io_engine: FsIoEngine::Auto,
        };
        FsConnector::open(&config, FsKind::Fs, Compat::Native, 4096).unwrap()
    }

    fn transfers(filled: u8) -> Vec<Transfer> {
        let arena = Arc::new(Arena::new(3 * 4096, 4096).unwrap());
        let scope = Arc::new(KeyScope::new("m", 1, 0, "").unwrap());
        let transfer = |number: u8| {
            let span =
                Span { offset_bytes: u64::from(number) * 4096, phy_size_bytes: 4096, size_bytes: 1000 };
            let buffer = arena.pin(span);
            buffer.write_from(0, &[filled; 1000]).unwrap();
            Transfer::new(ObjectKey::new(ChunkHash::new(&[number]), Arc::clone(&scope)), buffer)
        };
        (0..3).map(transfer).collect()
    }

    /// NFS and others have no files without names.
    #[test]
    fn a_file_system_that_wants_names_gets_them() {
        for has_unnamed_files in [true, false] {
            let base = tempfile::tempdir().unwrap();
            let mut fs = connector(base.path());
            fs.folder.set_has_unnamed_files(has_unnamed_files);
            let written = Put::Written { added_bytes: Some(1000) };
            assert!(fs.put(&transfers(7)).into_iter().all(|put| put.unwrap() == written));
            assert!(fs.put(&transfers(8)).into_iter().all(|put| put.unwrap() == Put::Present));
            let wrong = fs.folder.path("m@0x00000001@0@01.data");
            std::fs::write(&wrong, [7; 400]).unwrap();
            let puts: Vec<_> = fs.put(&transfers(9)).into_iter().map(Result::unwrap).collect();
            assert_eq!(puts, [Put::Present, Put::Written { added_bytes: Some(600) }, Put::Present]);
            assert_eq!(std::fs::read(&wrong).unwrap(), [9; 1000]);
            let found = transfers(0);
            assert!(fs.get(&found).into_iter().all(|hit| hit.unwrap()));
            let mut byte = [0];
            let bytes: Vec<u8> = found
                .iter()
                .map(|transfer| {
                    transfer.buffer.read_into(999, &mut byte);
                    byte[0]
                })
                .collect();
            assert_eq!(bytes, [7, 9, 7]);
            assert_eq!(std::fs::read_dir(base.path().join("tmp")).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_file_of_a_living_writer_is_no_leftover() {
        let base = tempfile::tempdir().unwrap();
        let mut fs = connector(base.path());
        fs.folder.set_has_unnamed_files(false);
        let (file, path) = fs.folder.create_temporary(false).unwrap();
        let path = path.unwrap();
        assert_eq!(connector(base.path()).folder.leftovers_removed(), 0);
        assert!(path.exists());
        drop(file);
        assert_eq!(connector(base.path()).folder.leftovers_removed(), 1);
        assert!(!path.exists());
    }
}
