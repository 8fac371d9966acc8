//! Bytes to values and back, and nothing else: no file, no thread, no clock in this folder.
//!
//! * [`bytes`]: comparing short names, fast.
//! * [`model`]: the values that the rest of the crate speaks: keys, layouts, the six storage calls.
//! * [`native`]: the native trace file: what this crate records, read in place.
//! * [`lct`]: LMCache's msgpack `.lct` files, of every release since 0.4.4, and their mapping to the model.
//!
//! Because nothing here touches the world, all of it can be fuzzed: bytes go in, a value or an error comes out.

pub(crate) mod bytes;
pub mod lct;
pub mod model;
pub mod native;
