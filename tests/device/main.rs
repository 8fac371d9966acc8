//! Paged caches, plans and the reference device, from outside.

mod cases;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod cuda_failures;
#[cfg(feature = "cuda")]
mod cuda_l1;
#[cfg(feature = "cuda")]
mod cuda_loss;
#[cfg(feature = "cuda")]
mod cuda_memory;
#[cfg(feature = "cuda")]
mod cuda_streams;
#[cfg(feature = "cuda")]
mod cuda_support;
#[cfg(feature = "cuda")]
mod cuda_waiting;
#[cfg(feature = "cuda")]
mod fake;
mod lmcache;
mod planes;
mod probe;
mod reference;
mod run;
mod streams;
