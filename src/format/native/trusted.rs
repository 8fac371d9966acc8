//! Archives: checked when a chunk is verified, and taken as they are ever after.
#![expect(unsafe_code, reason = "the one cast that skips a check which was made before")]

use rkyv::Portable;
use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;

use super::kind::RecordKind;
use super::record::{RecordView, split_archive, strip_tail};
use super::schema::ArchivedPrefetchArgs;
use crate::format::model::Op;

/// The archive in `bytes`, if every byte of it is right. rkyv's own message says nothing in a release build: callers
/// make theirs from the place in the file.
pub(super) fn checked<'a, T>(bytes: &'a [u8]) -> Option<&'a T>
where
    T: Portable + for<'v> CheckBytes<HighValidator<'v, Failure>>,
{
    rkyv::access::<T, Failure>(bytes).ok()
}

/// The arguments of a prefetch, unchecked: `record` comes from a [`Chunk`](super::Chunk), and there is none whose every
/// prefetch was not checked.
pub(super) fn prefetch_args<'a>(record: &RecordView<'a>) -> Option<&'a ArchivedPrefetchArgs> {
    if record.kind() != Some(RecordKind::Call(Op::SubmitPrefetch)) {
        return None;
    }
    let (body, _) = strip_tail(record.prefix().flags, record.raw_body())?;
    let (_, raw) = split_archive(body)?;
    // SAFETY: `Verifier` accepted these very bytes, found in the same way, before the chunk was made; the chunk
    // borrows them, and whoever mapped the file promised to leave them alone.
    Some(unsafe { rkyv::access_unchecked::<ArchivedPrefetchArgs>(raw) })
}
