//! The storage manager, where the recordings of the real one do not reach: time, threads, limits, old modes.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

mod alike;
mod guesses;
mod l1;
mod leases;
mod manager;
mod prefetch;
mod reservations;
mod stress;
mod support;
mod ttl;
mod write_modes;
