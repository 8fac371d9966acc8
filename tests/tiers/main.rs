//! A storage manager with L2: what it does where LMCache 0.5.6 is known to lose something, and what it does with threads.
//!
//! What both do alike is in the test `oracle`, call by call. Where a test here says "LMCache", it shows LMCache's
//! behaviour beside ours, under `--compat lmcache`.

#[path = "../oracle/gate.rs"]
#[expect(dead_code, reason = "the recordings need more of it")]
mod gate;

mod adapters;
mod journeys;
mod l1;
mod lmcache;
mod metrics;
mod prefetch;
mod shared_loads;
mod store;
mod stress;
mod support;
mod threads;
mod waiters;
