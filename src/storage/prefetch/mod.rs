//! Prefetch: finding out how much of a prompt is there, bringing it to L1, and holding on to it until its readers
//! come.
//!
//! A request is a grid: one row per (object group, rank), one column per chunk of the prompt. It read-locks
//! every cell that L1 has, has the adapters look the keys up, plans which cells are of use ([`fold`] for a prefix,
//! common columns for the full policy), reserves buffers for what comes from L2, loads it, and leaves the hits locked
//! for their readers. The hits count as used.
//!
//! * [`controller`]: takes requests, and serves those that need no L2. `flow`: those that do.
//! * `request`: what a request holds. `plan`: which cells from where. `reserve`: their buffers. `load`: their way.
//!   `board`: loads that several requests wait for.
//! * [`handle`]: what the caller holds, and gets. [`journey`]: when a request was where. `counters`: what the controller says of itself.
//! * [`bitmap`] and `grid`: sets of cells. [`fold`]: how long a prefix rows can serve.
//!
//! Where LMCache 0.5.6 is known to lose something, ours differs unless it is told to be like LMCache:
//!
//! | LMCache | ours |
//! |---|---|
//! | a row that does not fit into L1 loses all | the longest prefix that fits is loaded |
//! | an object that became resident after the lookup is a miss | it is locked, and a hit |
//! | an object that was deleted by force is a hit | it is a miss |
//! | each request loads its own copy | requests share a load |
//! | a request waits for its adapters for ever | it ends after a time, with what L1 has |
//! | a load that outlived its reservation is a hit | it is a miss |

pub mod bitmap;
mod board;
pub mod controller;
mod counters;
mod flow;
pub mod fold;
mod grid;
pub mod handle;
pub mod journey;
mod load;
mod plan;
mod request;
mod reserve;

pub use bitmap::{Bitmap, Rows};
pub use controller::validate_spec;
pub(super) use controller::{PrefetchController, PrefetchSettings};
pub use handle::{PrefetchHandle, PrefetchResult, Windows};
pub use journey::{JourneyEnd, PrefetchJourney, PrefetchTimes};
pub(super) use request::Tiers;
