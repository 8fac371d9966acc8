//! Archives: checked when a chunk is verified, and taken as they are ever after.
#![expect(unsafe_code, reason = "the one cast that skips a check which was made before")]

use rkyv::Portable;
use rkyv::api::high::HighValidator;
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::Failure;

/// The archive in `bytes`, if every byte of it is right. rkyv's own message says nothing in a release build: callers
/// make theirs from the place in the file.
pub(super) fn checked<'a, T>(bytes: &'a [u8]) -> Option<&'a T>
where
    T: Portable + for<'v> CheckBytes<HighValidator<'v, Failure>>,
{
    rkyv::access::<T, Failure>(bytes).ok()
}

/// The archive in `bytes`, unchecked.
///
/// # Safety
/// [`checked`] has accepted these very bytes as a `T`, in this process, and nobody has changed them since.
pub(super) unsafe fn unchecked<T: Portable>(bytes: &[u8]) -> &T {
    // SAFETY: the caller's promise is all that rkyv asks.
    unsafe { rkyv::access_unchecked::<T>(bytes) }
}
