//! Files that something may be wrong with: looked at closely, and copied without what is wrong.
//!
//! * [`mod@verify`]: checks all that `docs/format.md` promises of a file; `threads` is its memory of who made which call.
//! * [`report`]: what was found, and how much was looked at.
//! * [`mod@repair`]: makes a sealed copy of what is left of a file.

pub mod repair;
pub mod report;
mod threads;
pub mod verify;

pub use repair::{RepairReport, repair};
pub use report::{Finding, VerifyReport};
pub use verify::{verify, verify_frames};
