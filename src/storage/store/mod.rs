//! From L1 to L2: what became readable is copied to every adapter of its L1. LMCache's `StoreController`.
//!
//! * [`controller`]: the messages, and what happens to a finished write. * `lane`: the way to one adapter: what waits
//!   for it, what is under way, what is tried again. * `deletions`: what leaves L1 once it is in L2 (`skip_l1`).
//! * [`counters`]: what it says of itself.
//!
//! An object is held in L1 from the moment that its task is submitted until the task is answered. Where LMCache is
//! known to lose something, ours differs unless it is told to be like LMCache:
//!
//! | LMCache | ours |
//! |---|---|
//! | a task mixes layouts | a task has objects of one model, rank and group |
//! | everything is submitted at once | [`lane::MAX_TASKS`] tasks an adapter, the rest waits, up to a bound, and what exceeds it is counted |
//! | a failed store is lost | it is tried again, after a pause that doubles, and then counted |
//! | `skip_l1` deletes when the last store is over, though another failed | not if one failed |
//! | `skip_l1` does not come back to what a reader had locked | it does |

pub mod controller;
pub mod counters;
mod deletions;
pub mod lane;

pub(super) use controller::{Message, StoreFlow};
pub use counters::StoreCounters;
