//! Why something was missed: each cell of a prefetch that was no hit, and each key that a read did not get.
//!
//! * [`reason`]: the reasons, and counts of them. * [`fates`]: what became of each key last, in a table of fixed size.
//! * `explain`: from what is known of a key and of its prefetch to a reason. * `witness`: tells the table what happens in L2.
//!
//! All of it runs between calls, or on threads of the manager. A prefetch that goes to L2 is explained by what was known of
//! its keys when it was submitted, for what is written while it is under way is not what it missed.

pub(super) mod explain;
pub mod fates;
pub mod reason;
pub(super) mod witness;

pub use fates::KeyFates;
pub use reason::{MissCounts, MissReason, MissSummary};
