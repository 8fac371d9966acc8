//! The native trace file, version 1: `docs/format.md` in code.
//!
//! Reading, top down; each step is a type that the one before makes:
//!
//! ```text
//! bytes -> UnverifiedHeader -> Header                            header
//! bytes -> UnverifiedChunk (slots) -> Chunk (verify) -> RecordView -> Body -> CallView -> StorageCall
//!          slots                      chunk, verify     record                            call
//! bytes -> EndMark -> FileIndex                                  index
//! ```
//!
//! * [`pod`]: the structures that are plain bytes; [`kind`]: the numbers in them; [`schema`]: the archives.
//! * [`slots`]: which of a chunk's checksums to believe. [`chunk`]: a chunk that was checked, and its tables;
//!   `verify` is that check. [`record`] and [`keys`]: what records say, borrowed. [`table`]: keys of compact files.
//! * [`json`]: a call's arguments in the form in which those of LMCache's files are printed.
//! * [`tally`]: what an index counts, from chunks in the making and from chunks that are read.
//! * [`builder`]: makes a chunk from [`parts`]; `numbered` knows what is defined in it, `row_index` which keys stand in
//!   it already.
//!
//! Everything is checked once, by `verify`; after that a record is read without a check or an allocation. The one
//! unsafe step, taking an archive as it is, is in `trusted`.

pub mod builder;
mod call;
pub mod chunk;
mod chunk_tally;
pub mod header;
pub mod index;
pub mod json;
pub mod keys;
pub mod kind;
mod layouts;
mod numbered;
pub mod parts;
pub mod pod;
pub mod record;
mod row_index;
pub mod schema;
pub mod slots;
pub mod table;
pub mod tally;
mod trusted;
mod verify;

pub use builder::{ChunkBuilder, ChunkFull};
pub use call::{ChunkScopes, KeyMaker};
pub use chunk::Chunk;
pub use header::{Header, NewFile, UnverifiedHeader, is_native};
pub use keys::KeyList;
pub use kind::{ChunkKind, LossReason, Outcome, RecordKind};
pub use parts::{KeysToPush, PrefetchToPush, RowToPush, Stamp};
pub use record::{Body, CallView, PrefetchRow, PrefetchView, RecordView};
pub use schema::{FileFacts, FileIndex};
pub use slots::UnverifiedChunk;
pub use table::KeyTable;
