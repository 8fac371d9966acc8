//! L2: where objects are kept behind L1. Disks, Redis, object stores, or a table in memory.
//!
//! The controllers of L1 hand an adapter whole tasks, store these objects, look these keys up, load these objects,
//! and are told once what came of each. Nothing here waits for anything: a task is answered by its [`Completion`],
//! from whatever thread has the answer.
//!
//! * [`L2Adapter`]: what every adapter can do. * [`task`]: what it is handed, and how it answers.
//! * [`ledger`]: what it holds, by the byte and by the tenant, and who listens to that.
//! * [`connector`]: the simpler trait for a store that is read and written object by object; [`connected`] makes an
//!   adapter of it, with worker threads from [`pool`], locks and a ledger.
//! * [`mock`]: a table in memory, as slow as it is told to be, by [`mock_delay`].
//! * [`raw_block`]: slots on a block device.
//! * [`plugin`]: a store in a shared library.
//! * [`serde_wrapper`]: another adapter, which keeps transformed objects; by way of `bounce` memory.
//! * [`fault_inject`]: another adapter, with the faults that [`fault_rule`] draws.
//! * [`fs`]: a file for each object.
//! * [`resp`]: Redis and Valkey. `s3`: a bucket, with the feature of that name. [`breaker`]: when to leave a server
//!   alone.
//! * [`namespace`]: a place of its own in each adapter for as long as a replay lasts.
//!
//! **Buffers belong to tasks.** What an adapter reads from and writes to is a
//! [`PinnedSpan`](crate::storage::memory::PinnedSpan): as long as one is held, the allocator does not give its bytes
//! to anybody else, whatever became of the request, the lock or the manager meanwhile. An adapter drops its buffers
//! before it answers.

mod bounce;
pub mod breaker;
pub mod connected;
pub mod connector;
pub mod factory;
pub mod fault_inject;
pub mod fault_rule;
pub mod fs;
pub mod ledger;
pub mod mock;
pub mod mock_delay;
pub mod namespace;
pub mod plugin;
pub mod pool;
pub mod raw_block;
pub mod registry;
pub mod resp;
#[cfg(feature = "s3")]
pub mod s3;
pub mod serde_wrapper;
pub mod status;
pub mod task;

use std::fmt;

use crate::error::Result;
use crate::format::model::ObjectKey;

pub use ledger::{AdapterUsage, L2Listener, Ledger};
pub use registry::{AdapterEntry, Adapters};
pub use status::AdapterStatus;
pub use task::{Completion, LoadTask, LookupTask, StoreOutcome, StoreTask, Transfer};

/// Which adapter of a storage manager. Numbered from 0 in the order of the configuration; an adapter that is added
/// later gets the next number, and a number is never used again.
pub type L2AdapterId = u32;

/// LMCache's `L2AdapterInterface`. Called by the store controllers, the prefetch controller and the eviction
/// controller, from several threads at once.
///
/// Every task is answered exactly once. A task that is dropped without an answer counts as failed.
pub trait L2Adapter: Send + Sync + fmt::Debug {
    /// LMCache's name of the adapter's type, as in `"type"` of its configuration.
    fn type_name(&self) -> &'static str;

    /// Counts what the store holds from before, where it can be listed. The storage manager calls it once, after it
    /// has attached its listeners and before the first task.
    ///
    /// # Errors
    /// If the store cannot be listed though it should.
    fn recover(&self) -> Result<()> {
        Ok(())
    }

    /// Copies objects from L1. The answer says which could not be stored.
    fn submit_store(&self, task: StoreTask);

    /// Looks keys up, and locks those that are there against deletion until as many
    /// [`submit_unlock`](Self::submit_unlock) came. A key counts once for each time that it stands in the task.
    fn submit_lookup_and_lock(&self, task: LookupTask);

    /// Takes back one lock for each key. Keys that are not locked are passed over.
    fn submit_unlock(&self, keys: &[ObjectKey]);

    /// Copies objects into L1. The answer has a bit for each object that came whole.
    fn submit_load(&self, task: LoadTask);

    /// Deletes keys, on the caller's thread, and returns how many were there and went. What an adapter cannot delete
    /// it keeps and counts.
    fn delete(&self, keys: &[ObjectKey]) -> usize;

    /// What it holds, and whom to tell of changes.
    fn ledger(&self) -> &Ledger;

    /// What it says of itself. Never waits for I/O.
    fn report_status(&self) -> AdapterStatus;

    /// Ends its threads. Tasks that it has not begun are dropped, those that it is in are finished first. Calls that
    /// come later are answered with failure.
    fn close(&self);
}
