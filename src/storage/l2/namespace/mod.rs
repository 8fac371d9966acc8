//! A place of its own in every L2 adapter, for as long as a replay lasts: what others stored there is not found, and what
//! the replay stores is nobody else's. So a second replay does not find what the first one left.
//!
//! | adapter | its place |
//! |---|---|
//! | `mock` | as it is: it begins empty and forgets all |
//! | `fs`, `fs_native` | a new folder in `base_path` |
//! | `raw_block` on a file | another file of the same size, in a new folder beside it |
//! | `resp`, `s3` | names with a prefix of their own |
//! | `fault_inject` | that of the adapter behind it |
//! | `raw_block` on a device, `plugin` | none: refused, for what is there would be overwritten, or found |
//!
//! **Nothing of the user's is ever removed.** What is removed at the end are folders that [`folder`] made, under names with 64
//! random bits that nobody had, and values whose names begin with such a mark.

pub mod folder;

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use self::folder::NamespaceFolder;
use super::resp;
use crate::error::{Error, Result};
use crate::os::host;
use crate::storage::config::l2::{RawBlockAdapterConfig, RespAdapterConfig, S3AdapterConfig};
use crate::storage::config::{AdapterKind, L2AdapterConfig, StorageManagerConfig};

/// What the names of all places begin with.
pub const PREFIX: &str = "lmcache-replay-";

/// What the adapters of a replay find, and what becomes of what they are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    /// `fresh`: they begin empty, and what they are given is removed at the end.
    #[default]
    Fresh,
    /// `fresh-kept`: they begin empty, and what they are given stays.
    FreshKept,
    /// `keep`: they have what they hold, as those of a server, and what they are given stays.
    Keep,
}

impl NamespaceMode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::FreshKept, Self::Keep];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::FreshKept => "fresh-kept",
            Self::Keep => "keep",
        }
    }

    /// Refuses adapters that cannot have a place of their own; changes nothing anywhere.
    ///
    /// # Errors
    /// If this mode needs one, and an adapter of `config` cannot have it.
    pub fn check(self, config: &StorageManagerConfig) -> Result<()> {
        if self == Self::Keep {
            return Ok(());
        }
        numbered(&config.l2_adapters).try_for_each(|(number, adapter)| {
            check_adapter(adapter)
                .map_err(|error| error.with_context("flag", format!("--l2-adapter #{number}")))
        })
    }
}

/// The places of one replay. They are removed by [`Self::close`], and when the value is dropped, unless they are to stay.
#[derive(Debug)]
pub struct Namespace {
    mode: NamespaceMode,
    config: StorageManagerConfig,
    mark: String,
    places: Vec<Place>,
    leftovers_removed: u64,
}

/// What is to be removed at the end.
#[derive(Debug)]
enum Place {
    Folder(NamespaceFolder),
    Redis(RespAdapterConfig),
    Bucket(S3AdapterConfig),
}

impl Namespace {
    /// Makes places for the adapters of `config`. In folders it also removes those of replays that were killed.
    ///
    /// # Errors
    /// Those of [`NamespaceMode::check`], or if a folder cannot be made.
    pub fn open(mode: NamespaceMode, config: &StorageManagerConfig) -> Result<Self> {
        mode.check(config)?;
        let mark = format!("{PREFIX}{:016x}", host::random_u64());
        let mut opened =
            Self { mode, config: config.clone(), mark, places: Vec::new(), leftovers_removed: 0 };
        if mode != NamespaceMode::Keep {
            let mut adapters = std::mem::take(&mut opened.config.l2_adapters);
            numbered(&mut adapters).try_for_each(|(number, adapter)| {
                opened
                    .give_place(adapter)
                    .map_err(|error| error.with_context("flag", format!("--l2-adapter #{number}")))
            })?;
            opened.config.l2_adapters = adapters;
        }
        Ok(opened)
    }

    /// The configuration whose adapters have these places. Its digest is that of the original.
    pub fn config(&self) -> &StorageManagerConfig {
        &self.config
    }

    /// What it was opened for.
    pub fn mode(&self) -> NamespaceMode {
        self.mode
    }

    /// Folders of replays that were killed, and that were removed at the start.
    pub fn leftovers_removed(&self) -> u64 {
        self.leftovers_removed
    }

    /// Where the places are, for whoever is to find them.
    pub fn places(&self) -> Vec<String> {
        let place = |place: &Place| match place {
            Place::Folder(folder) => folder.path().display().to_string(),
            Place::Redis(config) => format!("{}:{} {}*", config.host, config.port, config.name_prefix),
            Place::Bucket(config) => format!("{}/{}*", config.url(), config.name_prefix),
        };
        self.places.iter().map(place).collect()
    }

    /// Removes the places, unless they are to stay. To be called when no adapter uses them any more.
    ///
    /// # Errors
    /// The first that could not be removed; all are tried.
    pub fn close(mut self) -> Result<()> {
        self.remove()
    }

    fn give_place(&mut self, adapter: &mut L2AdapterConfig) -> Result<()> {
        match &mut adapter.kind {
            AdapterKind::Mock(_) | AdapterKind::Plugin(_) => Ok(()),
            AdapterKind::Fs(fs) | AdapterKind::FsNative(fs) => {
                fs.base_path = self.folder_in(&fs.base_path.clone())?;
                Ok(())
            }
            AdapterKind::RawBlock(raw_block) => self.give_file(raw_block),
            AdapterKind::Resp(resp) => {
                resp.name_prefix = self.name_prefix();
                self.places.push(Place::Redis(resp.clone()));
                Ok(())
            }
            AdapterKind::S3(s3) => {
                s3.name_prefix = self.name_prefix();
                self.places.push(Place::Bucket(s3.clone()));
                Ok(())
            }
            AdapterKind::FaultInject(wrapper) => self.give_place(&mut wrapper.inner),
        }
    }

    /// The folder that goes by our mark in `parent`. Adapters that share a folder share ours in it.
    fn folder_in(&mut self, parent: &Path) -> Result<std::path::PathBuf> {
        let is_kept = self.mode == NamespaceMode::FreshKept;
        // However each adapter spells it. One that is not there yet has no links to follow.
        let parent = &std::fs::canonicalize(parent)
            .or_else(|_| std::path::absolute(parent))
            .unwrap_or_else(|_| parent.to_owned());
        let path = NamespaceFolder::path_in(parent, &self.mark, is_kept);
        let is_there = |place: &Place| matches!(place, Place::Folder(folder) if folder.path() == path);
        if !self.places.iter().any(is_there) {
            self.leftovers_removed += folder::remove_leftovers(parent);
            self.places.push(Place::Folder(NamespaceFolder::create(parent, &self.mark, is_kept)?));
        }
        Ok(path)
    }

    /// A file as long as the adapter's, with nothing in it. A file that is not there is left to the adapter to tell.
    fn give_file(&mut self, raw_block: &mut RawBlockAdapterConfig) -> Result<()> {
        let device = &raw_block.device_path;
        let Ok(found) = std::fs::metadata(device) else { return Ok(()) };
        let parent = device.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).to_owned();
        let file = self.folder_in(&parent)?.join(device.file_name().unwrap_or(device.as_os_str()));
        let made = std::fs::File::create(&file).and_then(|made| made.set_len(found.len()));
        made.map_err(|error| {
            Error::io("cannot make the file of a fresh namespace", error).with_context("path", file.display())
        })?;
        raw_block.device_path = file;
        Ok(())
    }

    /// Its folder is for S3, which lists by folders; the sign behind it, for names that begin with `/`.
    fn name_prefix(&self) -> String {
        format!("{}/@", self.mark)
    }

    fn remove(&mut self) -> Result<()> {
        let places = std::mem::take(&mut self.places);
        if self.mode != NamespaceMode::Fresh {
            return Ok(());
        }
        let removed = places.into_iter().map(|place| match place {
            Place::Folder(folder) => folder.remove(),
            Place::Redis(config) => resp::remove_all(&config).map(drop),
            Place::Bucket(config) => remove_from_bucket(&config),
        });
        removed.fold(Ok(()), Result::and)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Whoever wants to know calls `close`.
        let _ = self.remove();
    }
}

#[cfg(feature = "s3")]
fn remove_from_bucket(config: &S3AdapterConfig) -> Result<()> {
    super::s3::remove_all(config).map(drop)
}

/// There is no such adapter that could have written anything.
#[cfg(not(feature = "s3"))]
fn remove_from_bucket(_: &S3AdapterConfig) -> Result<()> {
    Ok(())
}

/// Adapters with their numbers, counted from 1 as in all messages.
fn numbered<T>(adapters: impl IntoIterator<Item = T>) -> impl Iterator<Item = (usize, T)> {
    adapters.into_iter().enumerate().map(|(position, adapter)| (position + 1, adapter))
}

fn check_adapter(adapter: &L2AdapterConfig) -> Result<()> {
    match &adapter.innermost().kind {
        AdapterKind::Plugin(_) => Err(Error::unsupported(
            "a plugin cannot have a fresh L2 namespace: only it knows what it keeps",
        )
        .with_hint(
            "give --l2-namespace keep, and see to it that what it keeps is what the replay is to find",
        )),
        AdapterKind::RawBlock(raw_block) => {
            let found = std::fs::metadata(&raw_block.device_path);
            match found.is_ok_and(|found| found.file_type().is_block_device()) {
                true => Err(Error::unsupported("a block device cannot have a fresh L2 namespace: the replay would overwrite what is there")
                    .with_context("path", raw_block.device_path.display())
                    .with_hint("name a file of fixed size in \"device_path\", or give --l2-namespace keep to use the device as it is")),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}
