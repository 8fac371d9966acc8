//! The storage manager: where a KV cache's objects are, who holds them, and which go when memory runs short.
//!
//! It behaves as LMCache 0.5.6 does with L1 in host memory and no L2: the same result codes, addresses,
//! locks, hits and victims, call by call. The names are LMCache's, so that who knows one can read the other:
//!
//! * [`manager`]: [`StorageManager`], the calls. * [`config`]: what it is told. * [`status`]: what it tells.
//! * [`l1`]: the objects and their states. [`allocator`] gives them addresses, [`arena`] memory,
//!   [`ttl_lock`] locks that expire; [`lease`] is what a caller holds between two calls.
//! * [`prefetch`]: looking a prompt up, and locking what is there.
//! * [`eviction`]: who goes first; [`eviction_controller`]: when.
//! * [`serde`]: what L2 keeps of an object instead of its plain bytes.
//! * [`hook`]: lets a recorder see the calls.
//!
//! Time comes from one [`Clock`](crate::clock::Clock), so that a replay can run on the trace's own time.

pub mod allocator;
pub mod arena;
pub mod config;
pub mod eviction;
pub mod eviction_controller;
pub mod hook;
pub mod l1;
pub mod lease;
pub mod manager;
pub mod prefetch;
pub mod serde;
pub mod status;
pub mod ttl_lock;

pub use l1::{KeyCodes, L1Error};
pub use lease::{ReadBuffer, ReadContext, ReadObjects, WriteBuffer, WriteReservation};
pub use manager::{L1ManagerId, StorageManager};
pub use prefetch::{Bitmap, PrefetchHandle, PrefetchResult};
