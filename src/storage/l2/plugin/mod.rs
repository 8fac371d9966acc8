//! `plugin`: a store in a shared library, called through a table of C functions.
//!
//! * [`table`]: the table, as `include/lmcache_l2_plugin.h` has it for C. * [`library`]: loading one, and what is
//!   checked before anything of it is called.
//! * This file: the library as a [`Connector`].
//!
//! A library runs in our process: what it breaks is broken, and no check of ours helps. What can be checked is: that the
//! table is there, of our version, long enough and without holes, and that each answer is one of those that the table
//! has. Anything else is an error of that object, with the library's own words if it has any.

mod library;
pub mod table;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::library::Library;
pub use self::library::{HostFunctions, HostStore};
use self::table::{
    ABI_VERSION, GET_HIT, GET_MISS, PUT_NO_ROOM, PUT_PRESENT, PUT_WRITTEN, REMOVE_ABSENT, REMOVE_GONE,
};
use super::Transfer;
use super::connector::{Connector, Put, Removed};
use crate::error::{Error, Result};
use crate::format::model::ObjectKey;

/// A shared library that is open.
#[derive(Debug)]
pub struct Plugin {
    library: Library,
    path: PathBuf,
}

impl Plugin {
    /// Loads the library at `path`, and opens its store with `params`, the text of a JSON object.
    ///
    /// # Errors
    /// If it cannot be loaded, has no table or one that we cannot use, or does not open.
    pub fn load(path: &Path, params: &str) -> Result<Self> {
        let library =
            Library::open(path, params).map_err(|error| error.with_context("library", path.display()))?;
        Ok(Self { library, path: path.to_owned() })
    }

    /// A store of the host's own, which it calls `name`.
    pub fn of_host(store: HostStore, name: impl Into<PathBuf>) -> Self {
        Self { library: store.into_library(), path: name.into() }
    }

    /// What came of each object: `read` makes it of the number that the library gave.
    fn results<R>(
        &self,
        what: &'static str,
        codes: Result<Vec<i32>>,
        count: usize,
        read: impl Fn(i32) -> Option<R>,
    ) -> Vec<Result<R>> {
        let codes = match codes {
            Ok(codes) => codes,
            Err(error) => {
                let message = error.to_string();
                return (0..count).map(|_| Err(self.error(what, &message))).collect();
            }
        };
        let results = codes.into_iter().map(|code| match read(code) {
            Some(result) => Ok(result),
            None if code < 0 => {
                let words = self.library.last_error().unwrap_or_else(|| "it gave no reason".to_owned());
                Err(self.error(what, &words).with_context("code", code))
            }
            None => Err(self
                .error(what, "it answered with a number that the table does not have")
                .with_context("code", code)),
        });
        results.collect()
    }

    fn error(&self, what: &'static str, why: &str) -> Error {
        Error::invalid(format!("the plugin failed to {what} an object: {why}"))
            .with_context("library", self.path.display())
    }
}

impl Connector for Plugin {
    fn type_name(&self) -> &'static str {
        "plugin"
    }

    fn class_name(&self) -> &'static str {
        "PluginL2Adapter"
    }

    fn put(&self, objects: &[Transfer]) -> Vec<Result<Put>> {
        self.results("store", self.library.put(objects), objects.len(), |code| match code {
            PUT_WRITTEN => Some(Put::Written { added_bytes: None }),
            PUT_PRESENT => Some(Put::Present),
            PUT_NO_ROOM => Some(Put::NoRoom),
            _ => None,
        })
    }

    fn get(&self, objects: &[Transfer]) -> Vec<Result<bool>> {
        self.results("load", self.library.get(objects), objects.len(), hit_or_miss)
    }

    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<Result<bool>> {
        self.results("look up", self.library.exists(keys, sizes_bytes), keys.len(), hit_or_miss)
    }

    fn remove(&self, keys: &[ObjectKey]) -> Vec<Result<Removed>> {
        self.results("delete", self.library.remove(keys), keys.len(), |code| match code {
            REMOVE_GONE => Some(Removed::Gone(None)),
            REMOVE_ABSENT => Some(Removed::Absent),
            _ => None,
        })
    }

    fn status(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("library_path", json!(self.path.to_string_lossy())),
            ("plugin_name", json!(self.library.name())),
            ("plugin_abi_version", json!(ABI_VERSION)),
        ]
    }
}

fn hit_or_miss(code: i32) -> Option<bool> {
    match code {
        GET_HIT => Some(true),
        GET_MISS => Some(false),
        _ => None,
    }
}
