//! The storage manager: where a KV cache's objects are, who holds them, and which go when memory runs short.
//!
//! It behaves as LMCache 0.5.6 does: the same result codes, addresses, locks, hits and victims, call by call. The names
//! are LMCache's, so that who knows one can read the other. LMCache's known defects are there under
//! [`Compat::Lmcache`](config::Compat) only:
//!
//! * [`manager`]: [`StorageManager`], the calls; [`build`]: how it is put together; [`runtime`]: adapters that come and
//!   go, and its end; [`config`]: what it is told; [`status`]: what it tells; [`events`]: what happens inside.
//! * [`l1`]: the objects and their states. [`memory`] gives them addresses and bytes, [`ttl_lock`] locks that
//!   expire; [`lease`] is what a caller holds between two calls, `reader` where it is read from, `writes` both ends of a write.
//! * [`l2`]: the adapters. [`store`]: objects on their way there. [`prefetch`]: looking a prompt up, and bringing it
//!   back.
//! * [`device`]: objects from and to an engine's pages.
//! * [`serde`]: what L2 keeps of an object instead of its plain bytes.
//! * [`eviction`]: who goes first; [`l1_eviction`] and [`l2_eviction`]: when. [`quota`]: how much a tenant may have.
//! * [`hook`]: lets a recorder see the calls. [`metrics`]: what Prometheus is told.
//! * `agent`: a controller that works on messages. `ticker`: a thread that does something once a second, and when it is woken.
//!
//! Time comes from one [`Clock`](crate::clock::Clock), so that a replay can run on the trace's own time.

mod agent;
pub mod build;
pub mod config;
pub mod device;
pub mod events;
pub mod eviction;
pub mod hook;
mod key_runs;
pub mod l1;
pub mod l1_eviction;
pub mod l2;
pub mod l2_eviction;
mod layouts;
pub mod lease;
pub mod manager;
pub mod memory;
pub mod metrics;
pub mod prefetch;
pub mod quota;
mod reader;
mod report;
pub mod runtime;
pub mod serde;
pub mod status;
pub mod store;
mod striped;
mod ticker;
pub mod ttl_lock;
mod writes;

pub use build::StorageManagerBuilder;
pub use l1::{KeyCodes, L1Error};
pub use lease::{ReadBuffer, ReadContext, ReadObjects, WriteBuffer, WriteReservation};
pub use manager::StorageManager;
pub use prefetch::{Bitmap, PrefetchHandle, PrefetchResult};
pub use reader::L1ManagerId;
pub use reader::L1Owners;
