//! LMCache's msgpack `.lct` files: frames, header, records, and what the arguments mean.
//!
//! A file is a stream of frames: a big-endian `u32` length and a msgpack map. The first frame is the header,
//! the others are records. All releases since 0.4.4 call this format version 1 and schema version 1, although
//! the shapes of the arguments changed five times; the only way to tell is to look.
//!
//! Bottom up:
//! * [`cursor`] walks msgpack bytes and refuses what is not msgpack; [`value`] gives one value a face.
//! * [`frame`] cuts a file into frames; [`header`] and [`record`] read the two kinds, as strictly as LMCache.
//! * [`walk`] visits the [`keys`] of any record, borrowed; [`layout`] sizes layouts; [`events`] reads the
//!   batches of an `events`-level file.
//! * [`call`] and [`prefetch`] turn a record into a [`StorageCall`](crate::format::model::StorageCall) of the
//!   0.5.6 model, whatever release wrote it.
//! * [`json`] writes any arguments as JSON.
//! * [`encode`] is the way back: it writes what LMCache 0.5.6 would have written, byte for byte; [`times`] turns the
//!   seconds of a file into the nanoseconds that the recorder's clocks read, and back to the same seconds.
//!
//! Nothing is allocated per record until somebody asks for a call or for JSON. A length that lies costs
//! nothing: it is compared with the bytes that are there. Nesting is bounded by [`cursor::MAX_DEPTH`].

mod arguments;
pub mod call;
pub mod cursor;
pub mod encode;
pub mod events;
pub mod frame;
pub mod header;
pub mod json;
pub mod keys;
pub mod layout;
pub mod prefetch;
pub mod record;
pub mod times;
mod usual_key;
pub mod value;
pub mod walk;

pub use call::decode_call;
pub use cursor::WireError;
pub use encode::{Arg, SaltPolicy, encode_args, encode_call, encode_header, encode_record, is_canonical};
pub use frame::{Ending, Frame, FrameCursor};
pub use header::{Header, Level};
pub use keys::WireKey;
pub use record::WireRecord;
pub use value::Value;
pub use walk::for_each_key;
