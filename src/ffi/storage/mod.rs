//! The storage manager, as hosts in C see it.
//!
//! * [`manager`]: making one, closing it, and what stands behind its handle. * [`writing`] and [`reading`]: the calls of LMCache that
//!   move data. * [`prefetch`]: the handle of a prefetch, and the four ways to hear of its end. * [`housekeeping`]: deleting, touching,
//!   quotas, usage. [`transfers`]: objects from and to an engine's pages. * [`report`]: what it tells of itself, as text.
//! * [`adapter`]: L2 adapters that come and go, those of the host's own among them.
//! * [`outputs`]: arrays and texts that the caller has room for. [`scratch`]: keys, for the time of a call.
//!
//! A call that moves data makes no handle and leaves nothing allocated: keys are built in memory that the thread keeps.

pub mod adapter;
pub mod housekeeping;
pub mod manager;
mod outputs;
pub mod prefetch;
pub mod reading;
pub mod report;
mod scratch;
pub mod transfers;
pub mod writing;
