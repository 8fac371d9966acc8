//! What a storage call is made of, in the shape of LMCache 0.5.6, whatever release recorded it.
//!
//! * [`key`]: which object: [`ObjectKey`], owned and cheap to clone, and [`KeyView`], borrowed from a file. [`interner`]: the one
//!   out of the other.
//! * [`dtype`] and [`layout`]: how large an object is.
//! * [`op`]: the six calls by name; [`call`]: the six calls with their arguments; [`view`]: the same, borrowed.

pub mod call;
pub mod dtype;
pub mod interner;
pub mod key;
pub mod layout;
pub mod op;
pub mod view;

pub use call::{FetchingPolicy, GroupedObjectKeys, LockMode, PrefetchTaskSpec, StorageCall, WriteMode};
pub use dtype::Dtype;
pub use interner::KeyInterner;
pub use key::{ChunkHash, KeyScope, KeyView, ObjectKey};
pub use layout::MemoryLayoutDesc;
pub use op::Op;
pub use view::{CallView, RowView};
