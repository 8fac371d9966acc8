//! A store that is read and written object by object, and leaves threads, locks and books to
//! [`ConnectorAdapter`](super::connected::ConnectorAdapter). LMCache's "native connector".

use std::fmt;

use super::Transfer;
use crate::error::Result;
use crate::format::model::ObjectKey;

/// What became of an object that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Its bytes were written. `added_bytes` is what the store grew by: 0 where it overwrote an object of the same
    /// key, `None` where the connector cannot tell a new object from an overwritten one.
    Written {
        /// See above.
        added_bytes: Option<u64>,
    },
    /// It was there already, and was left alone.
    Present,
    /// There is no room for it.
    NoRoom,
}

/// What became of an object that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is gone, and gave back this many bytes; `None` where the connector does not know.
    Gone(Option<u64>),
    /// It was not there.
    Absent,
}

/// The calls come from the adapter's worker threads, several at once, each with a part of a task: as many objects as
/// one round trip should carry. They wait for their I/O. Each answers with one result an object, in the order of the
/// objects: an error concerns its object alone.
pub trait Connector: Send + Sync + fmt::Debug {
    /// LMCache's name of the adapter's type.
    fn type_name(&self) -> &'static str;

    /// LMCache's name of the adapter's class, for its status.
    fn class_name(&self) -> &'static str;

    /// Whether there is room for so many objects more, as far as the store knows. Where there is not, one thread puts the objects
    /// of a task in their order: which of them find room is not a matter of threads.
    fn has_room_for(&self, _objects: usize) -> bool {
        true
    }

    /// Writes objects, so that a reader sees either all of an object's bytes or none.
    fn put(&self, objects: &[Transfer]) -> Vec<Result<Put>>;

    /// Reads objects into their buffers. `Ok(false)` where an object is not there, or has fewer bytes than its
    /// buffer; the buffer's bytes mean nothing then.
    fn get(&self, objects: &[Transfer]) -> Vec<Result<bool>>;

    /// Whether objects are there, with at least so many bytes each, where the store knows sizes without reading.
    fn exists(&self, keys: &[ObjectKey], sizes_bytes: &[u64]) -> Vec<Result<bool>>;

    /// Removes objects.
    fn remove(&self, keys: &[ObjectKey]) -> Vec<Result<Removed>>;

    /// Calls `visit` for every object that the store holds, with its bytes. Returns false where the store cannot be
    /// listed.
    ///
    /// # Errors
    /// If listing fails half way; what was visited stands.
    fn scan(&self, _visit: &mut dyn FnMut(ObjectKey, u64)) -> Result<bool> {
        Ok(false)
    }

    /// Whether it can do its work, as far as it knows without asking.
    fn is_healthy(&self) -> bool {
        true
    }

    /// What its type adds to the adapter's status.
    fn status(&self) -> Vec<(&'static str, serde_json::Value)> {
        Vec::new()
    }

    /// Lets go of what it holds. No call comes afterwards.
    fn close(&self) {}
}
