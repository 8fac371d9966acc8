//! Objects from and to an engine's pages, through the storage manager, on the reference device.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, in its helpers as in itself")]

#[path = "../device/cases.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod cases;
mod failures;
mod identity;
mod meanwhile;
mod refusals;
mod registered;
mod stress;
mod support;
mod traces;
